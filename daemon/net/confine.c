/* confine.c - a filter of system calls, as BPF; see confine.h
 *
 * What may be asked for stands in tables, and a program for the kernel is made of them:
 *
 *   another architecture -> kill
 *   a call of `allowed` -> allow
 *   one of `refused` -> an error, as if there were no such file
 *   one of `without` -> allow without the flag, kill with it
 *   all else -> kill
 *
 * The lists are what glibc, libsndfile with its codecs, and soxr ask for once they are loaded. */
#include "net/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#if defined(OUR_ARCHITECTURE) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static const unsigned allowed[] = {
    __NR_read,          __NR_write,           __NR_recvfrom,  __NR_sendto,
    __NR_shutdown, /* its two ends */
    __NR_brk,           __NR_munmap,          __NR_mremap,    __NR_madvise,
    __NR_futex,                                                                /* memory */
    __NR_sysinfo,                                                              /* qsort */
    __NR_clock_gettime, __NR_gettimeofday,    __NR_getrandom,                  /* codecs' seeds */
    __NR_rt_sigreturn,  __NR_restart_syscall, __NR_exit,      __NR_exit_group, /* its end */
};

/* For libsndfile looks beside a file that it does not know for another with its head (SD2), though
 * it has no file at all. */
static const unsigned refused[] = { __NR_openat };

/* Memory that can be run is not to be had. */
static const struct {
    unsigned call, argument, flag;
} without[] = {
    { __NR_mmap, 2, PROT_EXEC },
    { __NR_mprotect, 2, PROT_EXEC },
};

enum {
    ALLOWED = sizeof allowed / sizeof allowed[0],
    REFUSED = sizeof refused / sizeof refused[0],
    WITHOUT = sizeof without / sizeof without[0],
    MOST_STEPS = 5 + 2 * ALLOWED + 2 * REFUSED + 5 * WITHOUT
};

typedef struct program {
    struct sock_filter step[MOST_STEPS];
    unsigned short count;
} program;

static void add(program *p, unsigned short code, unsigned k, unsigned char yes, unsigned char no)
{
    p->step[p->count++] = (struct sock_filter)BPF_JUMP(code, k, yes, no);
}

static void load(program *p, size_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void end(program *p, unsigned what)
{
    add(p, BPF_RET | BPF_K, what, 0, 0);
}

static void answer(program *p, const unsigned *calls, int n, unsigned what)
{
    for (int i = 0; i < n; i++) {
        add(p, BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        end(p, what);
    }
}

/* The flags lie in the lower half of the argument, which comes first. */
static void allow_without(program *p, unsigned call, unsigned argument, unsigned flag)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4);
    load(p, offsetof(struct seccomp_data, args) + argument * sizeof(unsigned long long));
    add(p, BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1);
    end(p, SECCOMP_RET_KILL_PROCESS);
    end(p, SECCOMP_RET_ALLOW);
}

static void write_program(program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0);
    end(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
    answer(p, allowed, ALLOWED, SECCOMP_RET_ALLOW);
    answer(p, refused, REFUSED, SECCOMP_RET_ERRNO | ENOENT);
    for (int i = 0; i < WITHOUT; i++)
        allow_without(p, without[i].call, without[i].argument, without[i].flag);
    end(p, SECCOMP_RET_KILL_PROCESS);
}

int shoald_confine(void)
{
    program p = { .count = 0 };
    write_program(&p);
    const struct sock_fprog f = { p.count, p.step };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f, 0, 0) < 0
               ? -1
               : 0;
}

#else

int shoald_confine(void)
{
    return 0;
}

#endif

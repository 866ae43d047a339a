/* check_confine.c - what a decoder of files may ask the kernel for, and what ends it */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/confine.h"
#include "suite.h"

enum { NOT_CONFINED = 3, STILL_THERE = 4 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WITH_FILTER = 0 };
#else
enum { WITH_FILTER = 1 };
#endif

static const struct rlimit no_core; /* nobody wants one of these ends */

/* How a confined process ends that does this. */
static int end_of(void (*act)(void))
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        if (shoald_confine() < 0)
            _exit(NOT_CONFINED);
        act();
        _exit(STILL_THERE);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void read_directory(void)
{
    (void)!chdir("/");
}

static void open_socket(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void run_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
}

static void make_process(void)
{
    (void)!fork();
}

static void signal_parent(void)
{
    kill(getppid(), 0);
}

static void map_code(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_code(void)
{
    static char page[8192];
    (void)!mprotect(page + 4096 - (size_t)page % 4096, 4096, PROT_READ | PROT_EXEC);
}

START_TEST(what_it_does_not_need_ends_it)
{
    static void (*const acts[])(void) = { read_directory, open_socket, run_program, make_process,
                                          signal_parent,  map_code,    make_code };
    int status = end_of(acts[_i]);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "act %d: status %d", _i,
                  status);
}
END_TEST

/* Small and large blocks, which the allocator gets and gives back in different ways. */
static void have_memory(void)
{
    for (size_t n = 16; n < 64u << 20; n *= 4) {
        char *p = malloc(n);
        if (!p || !(p = realloc(p, 2 * n)))
            _exit(1);
        memset(p, 1, 2 * n);
        free(p);
    }
}

static void talk(void)
{
    char byte = 'x';
    if (write(STDERR_FILENO, "", 0) < 0 || send(-1, &byte, 1, MSG_NOSIGNAL) != -1 || errno != EBADF)
        _exit(1);
}

static void find_no_file(void)
{
    if (open("/dev/null", O_RDONLY) != -1 || errno != ENOENT || openat(AT_FDCWD, "/", O_PATH) != -1)
        _exit(1);
}

START_TEST(what_it_needs_it_has)
{
    static void (*const acts[])(void) = { have_memory, talk, find_no_file };
    int status = end_of(acts[_i]);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == STILL_THERE, "act %d: status %d", _i,
                  status);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("confine");
    TCase *t = tcase_create("calls");
    if (WITH_FILTER)
        tcase_add_loop_test(t, what_it_does_not_need_ends_it, 0, 7);
    tcase_add_loop_test(t, what_it_needs_it_has, 0, WITH_FILTER ? 3 : 2);
    suite_add_tcase(s, t);
    return suite_run(s);
}

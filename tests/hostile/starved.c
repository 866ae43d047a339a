/* starved.c - a program of ours in which the n-th allocation fails, as another process says
 *
 * The linker sends the allocations of the program's own objects here (-Wl,--wrap=...,
 * tests/Makefile.am); what shared libraries allocate is theirs. STARVE_FILE is a file of the two
 * numbers below, which the test maps as well: it writes which allocation from then on is to fail,
 * and reads how many there were. Any thread may be the one; each number fails once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct starve {
    _Atomic int64_t count;   /* allocations since the test set it to 0 */
    _Atomic int64_t fail_at; /* the one that fails, counted from 1; 0: none */
} starve;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *s);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static starve *shared;

__attribute__((constructor)) static void map_shared(void)
{
    const char *path = getenv("STARVE_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        fputs("starved: no STARVE_FILE\n", stderr);
        _exit(99);
    }
    close(fd);
    shared = at;
}

static int fails(void)
{
    if (!shared || atomic_fetch_add(&shared->count, 1) + 1 != atomic_load(&shared->fail_at))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    if (fails())
        return -1;
    va_start(args, format);
    int n = vasprintf(out, format, args);
    va_end(args);
    return n;
}

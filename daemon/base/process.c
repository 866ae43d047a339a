/* process.c - see process.h */
#include "base/process.h"

#include "base/journal.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is asked for and printed must not vanish where there was no output: that one can only be
 * read. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != fd)
            return; /* no /dev/null: nothing to be done */
}

int shoald_process_finish_output(int status)
{
    if (status != 0 || (fflush(stdout) == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "shoald: the standard output cannot be written\n");
    return 1;
}

/* What a session leaves is there for the next: where each gave its blocks back by itself, all
 * threads would wait for it each time (munmap), and clients that come and go by the hundred would
 * hold up those who speak. What is left over goes back by and by (clock.c). Left to itself glibc
 * would choose thresholds by what it saw first. */
static void keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}

void shoald_process_return_pages(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void shoald_process_prepare(void)
{
    fill_standard_descriptors();
    keep_memory();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); /* decoders are not waited for (net/decode.c) */
    shoald_log_open(SHOALD_JOURNAL_SOCKET);
}

int shoald_process_want_descriptors(size_t need, char *why, size_t why_size)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need)
        return 0;
    limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= need)
        return 0;
    snprintf(why, why_size,
             "max_sessions, max_http_connections and max_uploads need %zu descriptors, but the "
             "limit is %llu: raise it (ulimit -n, LimitNOFILE=) or lower max_sessions",
             need, (unsigned long long)limit.rlim_max);
    return -1;
}

/* ---- a file of ours ------------------------------------------------------------------------ */

/* Under a name that no other process uses, for it is moved over the real one when it is whole. 0 or
 * -1 (errno); then there is none. */
static int write_temporary(char temporary[PATH_MAX], struct stat *st, const char *path,
                           const char *line)
{
    if (snprintf(temporary, PATH_MAX, "%s.%ld", path, (long)getpid()) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    FILE *f = fopen(temporary, "we");
    int ok = f && fprintf(f, "%s\n", line) > 0 && fstat(fileno(f), st) == 0;
    if (f && fclose(f) != 0)
        ok = 0;
    if (ok)
        return 0;
    int error = errno;
    unlink(temporary);
    errno = error;
    return -1;
}

int shoald_process_write_file(shoald_owned_file *file, const char *path, const char *line)
{
    char temporary[PATH_MAX];
    struct stat st;
    if (write_temporary(temporary, &st, path, line) < 0)
        return -1;
    if (rename(temporary, path) < 0) {
        int error = errno;
        unlink(temporary);
        errno = error;
        return -1;
    }
    *file = (shoald_owned_file){ path, st.st_dev, st.st_ino };
    return 0;
}

/* What no file can be moved over. 0 or errno. */
static int forbids_move(const char *path)
{
    struct stat st;
    size_t n = strlen(path);
    if (n == 0)
        return ENOENT;
    if (path[n - 1] == '/' || (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return EISDIR;
    return 0;
}

int shoald_process_try_file(const char *path)
{
    char temporary[PATH_MAX];
    struct stat st;
    errno = forbids_move(path);
    if (errno || write_temporary(temporary, &st, path, "127.0.0.1:65535") < 0)
        return -1;
    unlink(temporary);
    return 0;
}

void shoald_process_remove_file(shoald_owned_file *file)
{
    struct stat st;
    if (file->path && stat(file->path, &st) == 0 && st.st_dev == file->device &&
        st.st_ino == file->inode)
        unlink(file->path);
    file->path = NULL;
}

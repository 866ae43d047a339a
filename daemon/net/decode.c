/* decode.c - starting and ending a decoder; what it does is in decoding.c, see decode.h
 *
 * posix_spawn, because a fork would copy the tables of all our memory while the loop waits. Nobody
 * waits for the process (SIGCHLD is ignored, so the system buries it); it is held by a descriptor,
 * because its number may be another's once it has ended. */
#include "net/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REPORT = 3, FIRST_CLOSED }; /* descriptors of the process; the socket is its 0 */

struct shoald_decoder {
    int socket, report, process; /* -1: none */
    char why[400];               /* "" until it has ended */
};

static const char crashed[] = "the file cannot be decoded: its decoder broke off";

/* ---- the process --------------------------------------------------------------------- */

static int spawn_with(pid_t *pid, const posix_spawn_file_actions_t *files,
                      const posix_spawnattr_t *how)
{
    static char name[] = "shoald", what[] = SHOALD_DECODE_ARGUMENT;
    char *const arguments[] = { name, what, NULL };
    return posix_spawn(pid, "/proc/self/exe", files, how, arguments, environ) == 0 ? 0 : -1;
}

/* A group of its own: what a terminal sends to ours is not meant for it. */
static int spawn(pid_t *pid, int theirs, int report)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&files) != 0)
        return -1;
    if (posix_spawnattr_init(&how) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -1;
    }
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&how, &none);
    int bad = posix_spawn_file_actions_adddup2(&files, theirs, STDIN_FILENO) |
              posix_spawn_file_actions_adddup2(&files, report, REPORT) |
              posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) |
              posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0) |
              posix_spawn_file_actions_addclosefrom_np(&files, FIRST_CLOSED);
    int result = bad ? -1 : spawn_with(pid, &files, &how);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return result;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int start(shoald_decoder *d)
{
    int pair[2], report[2];
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
        close_all(pair, 2);
        return -1;
    }
    int result = spawn(&pid, pair[1], report[1]);
    close(pair[1]);
    close(report[1]);
    d->socket = pair[0];
    d->report = report[0];
    fcntl(d->socket, F_SETFL, O_NONBLOCK);
    if (result == 0)
        d->process = (int)syscall(SYS_pidfd_open, pid, 0);
    return result;
}

/* ---- the loop's side ----------------------------------------------------------------- */

shoald_decoder *shoald_decoder_start(void)
{
    shoald_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->socket = d->report = d->process = -1;
    if (start(d) == 0)
        return d;
    shoald_decoder_end(d);
    return NULL;
}

int shoald_decoder_fd(const shoald_decoder *d)
{
    return d->socket;
}

/* Its last words lie in the pipe before the socket's end does. */
const char *shoald_decoder_why(shoald_decoder *d)
{
    if (d->report < 0)
        return d->why;
    ssize_t n = read(d->report, d->why, sizeof d->why - 1);
    close(d->report);
    d->report = -1;
    if (n <= 0)
        memcpy(d->why, crashed, sizeof crashed);
    return d->why;
}

void shoald_decoder_end(shoald_decoder *d)
{
    const int fds[] = { d->socket, d->report, d->process };
    if (d->process >= 0)
        syscall(SYS_pidfd_send_signal, d->process, SIGKILL, NULL, 0);
    close_all(fds, 3);
    free(d);
}

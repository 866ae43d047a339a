/* daemon.c - starting and stopping shoald and other programs: see integration.h */
#include "integration.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGS = 32 };

daemon_process shared;
int shared_failures;

static const char *from_environment(const char *name, const char *fallback)
{
    const char *value = getenv(name);

    return value && *value ? value : fallback;
}

const char *shoald_path(void)
{
    return from_environment("SHOALD", TOP_BUILDDIR "/daemon/shoald");
}

const char *slow_shoald_path(void)
{
    return from_environment("SLOW_SHOALD", TOP_BUILDDIR "/tests/integration/slow_shoald");
}

const char *shoal_file_path(void)
{
    return from_environment("SHOAL_FILE", TOP_BUILDDIR "/clients/shoal-file");
}

const char *test_model_path(void)
{
    return SRCDIR "/tests/data/tiny.safetensors";
}

/* ---- processes ---- */

static void pause_ms(int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

static pid_t spawn(const char *const *argv, const char *out_path, const char *err_path)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    int out = open(out_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int err = open(err_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    signal(SIGPIPE, SIG_DFL);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives a test that fails */
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

/* Exit code, 128 + signal, or -1 when it had to be killed. */
static int wait_for(pid_t pid)
{
    int status;

    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        pause_ms(10);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

static void read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, room - 1);

    text[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *f)
{
    (void)s, (void)kind, (void)f;
    return remove(path);
}

static void make_dir(char *dir, size_t room)
{
    snprintf(dir, room, "/tmp/shoal-test.XXXXXX");
    ck_assert_msg(mkdtemp(dir) != NULL, "mkdtemp: %s", strerror(errno));
}

static void remove_dir(const char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int run_program(const char *const *argv, char *out, size_t out_room, char *err, size_t err_room)
{
    char dir[64], out_path[96], err_path[96];
    int code;

    make_dir(dir, sizeof dir);
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    snprintf(err_path, sizeof err_path, "%s/err", dir);
    code = wait_for(spawn(argv, out_path, err_path));
    read_file(out_path, out, out_room);
    read_file(err_path, err, err_room);
    remove_dir(dir);
    return code;
}

/* ---- shoald ---- */

static void show_log(const daemon_process *d)
{
    char path[96];
    static char log[32768];

    snprintf(path, sizeof path, "%s/log", d->dir);
    read_file(path, log, sizeof log);
    fprintf(stderr, "---- log of shoald ----\n%s---- end of log ----\n", log);
}

static int read_port(const daemon_process *d)
{
    char path[96], text[128];
    char *colon;

    snprintf(path, sizeof path, "%s/ready", d->dir);
    read_file(path, text, sizeof text);
    colon = strrchr(text, ':');
    return colon && strchr(colon, '\n') ? atoi(colon + 1) : 0;
}

void daemon_start(daemon_process *d, const char *const *args)
{
    daemon_start_program(d, shoald_path(), args);
}

void daemon_start_program(daemon_process *d, const char *program, const char *const *args)
{
    char ready[96], log[96];
    const char *argv[MAX_ARGS] = { program,     "--listen", "127.0.0.1:0", "--ready-file",   ready,
                                   "--workers", "2",        "--model",     test_model_path() };
    int n = 9, status;

    make_dir(d->dir, sizeof d->dir);
    snprintf(ready, sizeof ready, "%s/ready", d->dir);
    snprintf(log, sizeof log, "%s/log", d->dir);
    while (args && *args && n < MAX_ARGS - 1)
        argv[n++] = *args++;
    d->pid = spawn(argv, log, log);
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        d->port = read_port(d);
        if (d->port)
            return;
        if (waitpid(d->pid, &status, WNOHANG) == d->pid)
            break;
        pause_ms(10);
    }
    show_log(d);
    fprintf(stderr, "%s did not come up\n", program);
    abort();
}

int daemon_fail(const char *const *args, char *log, size_t room)
{
    const char *argv[MAX_ARGS] = { shoald_path() };
    static char out[4096];

    for (int i = 1; *args && i < MAX_ARGS - 1; i++)
        argv[i] = *args++;
    return run_program(argv, out, sizeof out, log, room);
}

int daemon_stop(daemon_process *d, int signal)
{
    int code;

    kill(d->pid, signal);
    code = wait_for(d->pid);
    if (code && signal != SIGKILL)
        show_log(d);
    remove_dir(d->dir);
    return code;
}

double daemon_metric(const daemon_process *d, const char *name)
{
    static char page[1 << 18];
    size_t n = strlen(name);

    if (raw_http_get(d->port, "/metrics", page, sizeof page) != 200)
        return -1;
    for (char *line = page; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, name, n) && line[n] == ' ')
            return atof(line + n);
    }
    return -1;
}

void daemon_wait_empty(const daemon_process *d)
{
    double sessions = -1;

    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        sessions = daemon_metric(d, "shoal_sessions");
        if (sessions == 0)
            return;
        pause_ms(20);
    }
    ck_abort_msg("%g sessions are left", sessions);
}

long daemon_rss_kb(const daemon_process *d)
{
    char path[64], text[4096];
    char *line;

    snprintf(path, sizeof path, "/proc/%d/status", (int)d->pid);
    read_file(path, text, sizeof text);
    line = strstr(text, "VmRSS:");
    return line ? atol(line + 6) : 0;
}

void shared_setup(void)
{
    static const char *const args[] = { ANY_SPEED, NULL };

    daemon_start(&shared, args);
}

void shared_teardown(void)
{
    if (daemon_stop(&shared, SIGTERM) != 0)
        shared_failures++;
}

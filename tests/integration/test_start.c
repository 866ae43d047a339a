/* test_start.c - what a supervisor may do to shoald: an unread stderr, closed descriptors, a second
 * instance, a signal in the midst of the start */
#include "integration.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Run before exec, in the child. */
typedef void prepare(void *arg);

static void nap(void)
{
    struct timespec t = { 0, 10000000 };

    nanosleep(&t, NULL);
}

static void make_folder(daemon_process *d)
{
    snprintf(d->dir, sizeof d->dir, "/tmp/shoal-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(d->dir));
}

static void launch(daemon_process *d, const char *model, prepare *how, void *arg)
{
    static char ready[128];
    sigset_t term;

    snprintf(ready, sizeof ready, "%s/ready", d->dir);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL); /* Check's handler, in the child too, ends the test */
    d->pid = fork();
    if (d->pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    if (d->pid)
        return;
    how(arg);
    execl(shoald_path(), shoald_path(), "--listen", "127.0.0.1:0", "--ready-file", ready,
          "--workers", "1", "--model", model, (char *)NULL);
    _exit(127);
}

static void wait_ready(daemon_process *d)
{
    char path[128], text[128] = "";

    snprintf(path, sizeof path, "%s/ready", d->dir);
    for (int waited = 0; waited < PATIENCE_MS && !strchr(text, '\n'); waited += 10) {
        FILE *f = fopen(path, "r");
        if (f && fgets(text, sizeof text, f) && strrchr(text, ':'))
            d->port = atoi(strrchr(text, ':') + 1);
        if (f)
            fclose(f);
        nap();
    }
    ck_assert_msg(d->port > 0, "shoald did not come up");
}

/* Wait status, or -1 when it had to be killed. */
static int end_of(daemon_process *d)
{
    int status;

    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (waitpid(d->pid, &status, WNOHANG) == d->pid)
            return status;
        nap();
    }
    kill(d->pid, SIGKILL);
    waitpid(d->pid, &status, 0);
    return -1;
}

static void to_pipe(void *arg)
{
    dup2(((int *)arg)[1], STDERR_FILENO);
}

/* 400 sessions are 800 lines, more than a pipe takes. */
START_TEST(a_log_that_nobody_reads_holds_nothing_up)
{
    int fds[2];
    daemon_process d = { 0 };
    raw_ws w;

    ck_assert_int_eq(pipe(fds), 0);
    make_folder(&d);
    launch(&d, test_model_path(), to_pipe, fds);
    wait_ready(&d);
    for (int i = 0; i < 400; i++) {
        ck_assert_int_eq(raw_ws_open(&w, d.port, SHOAL_PATH "?depth=1", SHOAL_SUBPROTOCOL), 101);
        raw_ws_close(&w);
    }
    daemon_wait_empty(&d);
    ck_assert_double_gt(daemon_metric(&d, "shoal_log_lost_total"), 0);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static void without(void *arg)
{
    for (const char *fd = arg; *fd; fd++)
        close(*fd - '0');
}

/* Else the loop's own pipe gets their numbers: lines of the log in it, and an abort at the end. */
START_TEST(standard_descriptors_may_be_closed)
{
    static char sets[][4] = { "0", "1", "2", "012" };
    daemon_process d = { 0 };
    raw_ws w;

    make_folder(&d);
    launch(&d, test_model_path(), without, sets[_i]);
    wait_ready(&d);
    ck_assert_int_eq(raw_ws_open(&w, d.port, SHOAL_PATH "?depth=1", SHOAL_SUBPROTOCOL), 101);
    raw_ws_close(&w);
    daemon_wait_empty(&d);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

static void nothing(void *arg)
{
    (void)arg;
}

START_TEST(a_fifo_is_no_model)
{
    char path[128];
    daemon_process d = { 0 };

    make_folder(&d);
    snprintf(path, sizeof path, "%s/model", d.dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    launch(&d, path, nothing, NULL);
    int status = end_of(&d);
    ck_assert(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1);
    unlink(path);
    rmdir(d.dir);
}
END_TEST

/* Whenever it comes: before the loop runs it ends the process like any other, then by draining. */
START_TEST(sigterm_is_obeyed_at_any_moment_of_the_start)
{
    char path[128];
    daemon_process d = { 0 };

    make_folder(&d);
    launch(&d, SRCDIR "/models/shoal-base.safetensors", nothing, NULL);
    for (int i = 0; i < _i; i++)
        nap();
    kill(d.pid, SIGTERM);
    int status = end_of(&d);
    ck_assert_int_ge(status, 0);
    ck_assert_msg((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) ||
                      (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                  "status %x", (unsigned)status);
    snprintf(path, sizeof path, "%s/ready", d.dir);
    unlink(path);
    rmdir(d.dir);
}
END_TEST

/* It finds the port taken and leaves what belongs to the first as it is. */
START_TEST(a_second_instance_does_the_first_no_harm)
{
    char ready[128], address[64], log[4096];
    const char *args[] = { "--listen",        address, "--ready-file", ready, "--model",
                           test_model_path(), NULL };
    daemon_process d;
    struct stat before, after;

    daemon_start(&d, NULL);
    snprintf(ready, sizeof ready, "%s/ready", d.dir);
    snprintf(address, sizeof address, "127.0.0.1:%d", d.port);
    ck_assert_int_eq(stat(ready, &before), 0);
    ck_assert_int_eq(daemon_fail(args, log, sizeof log), 1);
    ck_assert_int_eq(stat(ready, &after), 0);
    ck_assert(before.st_ino == after.st_ino);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

TCase *start_case(void)
{
    TCase *t = tcase_create("start");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, a_log_that_nobody_reads_holds_nothing_up);
    tcase_add_loop_test(t, standard_descriptors_may_be_closed, 0, 4);
    tcase_add_test(t, a_fifo_is_no_model);
    tcase_add_loop_test(t, sigterm_is_obeyed_at_any_moment_of_the_start, 1, 20);
    tcase_add_test(t, a_second_instance_does_the_first_no_harm);
    return t;
}

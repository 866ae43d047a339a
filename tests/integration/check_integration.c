/* check_integration.c - shoald and its clients over real sockets: see integration.h
 *
 * Most of a case is waiting, so LANES of them run at once, each in a process of its own with its
 * own daemons; what they print is put together case by case. CK_RUN_CASE=wire runs one.
 */
#include "integration.h"
#include "suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LANES = 3 };

typedef struct run {
    const char *name;
    TCase *(*make)(void);
    pid_t pid; /* 0: not started, or over */
    FILE *output;
    time_t start;
} run;

/* (the long ones first, so that no lane is left with one at the end) */
static run runs[] = {
    { .name = "resume", .make = resume_case },
    { .name = "shoal-file, slow", .make = shoal_file_slow_case },
    { .name = "decoder", .make = decoder_case },
    { .name = "smooth", .make = smooth_case },
    { .name = "overload", .make = overload_case },
    { .name = "streams", .make = streams_case },
    { .name = "activity", .make = activity_case },
    { .name = "shoal-file", .make = shoal_file_case },
    { .name = "taps", .make = taps_case },
    { .name = "start", .make = start_case },
    { .name = "prices", .make = prices_case },
    { .name = "life cycle", .make = lifecycle_case },
    { .name = "wire", .make = wire_case },
    { .name = "migration", .make = migration_case },
    { .name = "admission", .make = admission_case },
    { .name = "robust", .make = robust_case },
    { .name = "mimic", .make = mimic_case },
    { .name = "program", .make = program_case },
    { .name = "post", .make = post_case },
    { .name = "post, options", .make = post_options_case },
    { .name = "post, wrong", .make = post_wrong_case },
    { .name = "detector", .make = detector_case },
    { .name = "shoal-file out", .make = shoal_file_out_case },
};

enum { RUNS = sizeof runs / sizeof *runs };

/* The child: one case. */
static int run_case(const run *r)
{
    Suite *s = suite_create("integration");
    int failed;

    suite_add_tcase(s, r->make());
    failed = suite_run(s);
    if (shared_failures)
        fprintf(stderr, "%d daemons did not end well\n", shared_failures);
    fflush(NULL);
    return failed || shared_failures;
}

static void begin(run *r)
{
    r->output = tmpfile();
    r->start = time(NULL);
    fflush(NULL);
    r->pid = r->output ? fork() : -1;
    if (r->pid < 0) {
        perror(r->name);
        exit(99);
    }
    if (r->pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(fileno(r->output), STDOUT_FILENO) < 0 || dup2(fileno(r->output), STDERR_FILENO) < 0)
        _exit(99);
    exit(run_case(r));
}

/* Wait for any; 0: it was as it should be. */
static int finish_one(void)
{
    char line[4096];
    int status;
    pid_t pid = wait(&status);
    run *r = runs;

    while (r < runs + RUNS && r->pid != pid)
        r++;
    if (pid < 0 || r == runs + RUNS)
        return -1;
    rewind(r->output);
    while (fgets(line, sizeof line, r->output))
        fputs(line, stdout);
    printf("%s: %ld s, status %d\n", r->name, (long)(time(NULL) - r->start), status);
    fclose(r->output);
    r->pid = 0;
    return status ? -1 : 0;
}

static int chosen(const run *r)
{
    const char *only = getenv("CK_RUN_CASE");

    return !only || !strcmp(only, r->name);
}

int main(void)
{
    int under_way = 0, failed = 0;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < RUNS; i++) {
        if (!chosen(&runs[i]))
            continue;
        if (under_way == LANES) {
            failed |= finish_one();
            under_way--;
        }
        begin(&runs[i]);
        under_way++;
    }
    for (; under_way > 0; under_way--)
        failed |= finish_one();
    return failed != 0;
}

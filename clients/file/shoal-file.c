/* shoal-file.c - stream audio files to a shoal server: see file.h and shoal-file.1
 *
 * A session a file. One that fails is named on stderr, the rest go on, and the exit code tells.
 */
#include "file/file_jobs.h"
#include "file/file_priors.h"
#include "out/out_screen.h"
#include "tool/tool_paths.h"

#include <stdlib.h>
#include <unistd.h>

enum { DRAIN_MS = 50 };

static file_signals signals;

static void on_interrupt(int number)
{
    (void)number;
    signals.interrupts++;
    for (int i = 0; i < FILE_MAX_JOBS; i++) {
        shoal_client *c = atomic_load(&signals.clients[i]);

        if (c)
            shoal_client_wake(c);
    }
}

/* Wait for the reader of stdout, who may take his time, but not beyond Ctrl-C. */
static int finish_output(out_print *p, int code)
{
    int r, at_first = signals.interrupts;
    size_t waiting;

    do {
        r = out_print_drain(p, DRAIN_MS);
    } while (r == 0 && signals.interrupts == at_first && !at_first);
    waiting = out_print_waiting(p);
    if (r < 0)
        return out_screen_end("shoal-file", out_print_error(p), code);
    if (r == 0)
        fprintf(stderr, "shoal-file: interrupted; nobody read the last %zu bytes of the output\n",
                waiting);
    return r == 0 ? EXIT_INTERRUPTED : code;
}

/* The program's exit code, or 0. */
static int take_priors(const file_options *o, out_run *run, double **priors)
{
    const shoal__server server = file_server(o);
    char why[512];

    if (!o->priors)
        return 0;
    run->prior_count = file_priors_read(priors, o->priors, &server, why, sizeof why);
    run->priors = *priors;
    if (run->prior_count > 0)
        return 0;
    fprintf(stderr, "shoal-file: %s\n", why);
    return EXIT_FAILED;
}

static int has_colour(void)
{
    const char *no = getenv("NO_COLOR");

    return out_screen_is_live(STDOUT_FILENO) && !(no && *no);
}

int main(int argc, char **argv)
{
    double *priors = NULL;
    file_options o;
    int code = file_options_parse(&o, argc, argv);

    if (code < 0)
        code = tool_check_server("shoal-file", &o.server, o.proxy);
    if (code < 0)
        code = tool_make_folder("shoal-file", "--out-dir", o.out_dir);
    if (code < 0)
        code = tool_make_folder("shoal-file", "--utterances", o.utterances);
    if (code >= 0)
        return out_screen_end_stdout("shoal-file", code);
    out_names names = OUT_NAMES_INIT;
    out_run run = { .dir = o.out_dir,
                    .inputs = o.files,
                    .input_count = o.file_count,
                    .printer = out_print_open(STDOUT_FILENO),
                    .on_tty = isatty(STDOUT_FILENO),
                    .colour = has_colour(),
                    .written = &names };

    if (!run.printer) {
        fputs("shoal-file: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    run.print = out_print_file(run.printer);
    tool_catch_signals(on_interrupt);
    signal(SIGPIPE, SIG_IGN); /* a reader of stdout that goes away is an error of write */
    code = take_priors(&o, &run, &priors);
    if (!code)
        code = finish_output(run.printer, file_jobs_run(&o, &run, &signals));
    free(priors);
    out_print_close(run.printer);
    out_names_free(&names);
    return code;
}

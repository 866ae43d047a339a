/* shoal-file.c - stream audio files to a shoal server: see file.h and shoal-file.1
 *
 * Files go one after the other, each its own session. One that fails is named on stderr, the rest
 * go on, and the exit code tells.
 */
#include "file/file.h"

#include <string.h>
#include <unistd.h>

enum { DRAIN_MS = 50 };

static file_signals signals;

static void on_interrupt(int number)
{
    shoal_client *c = atomic_load(&signals.client);

    (void)number;
    signals.interrupts++;
    if (c)
        shoal_client_wake(c);
}

static void catch_signals(void)
{
    struct sigaction a = { .sa_handler = on_interrupt };

    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    a.sa_handler = SIG_IGN; /* a reader of stdout that goes away is an error of write */
    sigaction(SIGPIPE, &a, NULL);
}

static int stream_all(const file_options *o, out_run *run)
{
    int code = 0, stop = 0;

    for (int i = 0; i < o->file_count && !stop; i++) {
        int r = file_session_run(o, run, o->files[i], &signals, &stop);

        if (signals.interrupts)
            return EXIT_INTERRUPTED;
        if (r)
            code = r;
    }
    return code;
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
    if (r < 0) {
        fprintf(stderr, "shoal-file: cannot write the output: %s\n", strerror(out_print_error(p)));
        return code ? code : EXIT_FAILED;
    }
    if (r == 0)
        fprintf(stderr, "shoal-file: interrupted; nobody read the last %zu bytes of the output\n",
                waiting);
    return r == 0 ? EXIT_INTERRUPTED : code;
}

int main(int argc, char **argv)
{
    file_options o;
    int code = file_options_parse(&o, argc, argv);

    if (code >= 0)
        return code;
    out_run run = { .dir = o.out_dir,
                    .inputs = o.files,
                    .input_count = o.file_count,
                    .printer = out_print_open(STDOUT_FILENO),
                    .on_tty = isatty(STDOUT_FILENO) };

    if (!run.printer) {
        fputs("shoal-file: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    run.print = out_print_file(run.printer);
    catch_signals();
    code = finish_output(run.printer, stream_all(&o, &run));
    out_print_close(run.printer);
    out_run_free(&run);
    return code;
}

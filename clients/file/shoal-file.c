/* shoal-file.c - stream audio files to a shoal server: see file.h and shoal-file.1
 *
 * Files go one after the other, each its own session. One that fails is named on stderr, the rest
 * go on, and the exit code tells.
 */
#include "file/file.h"

#include <unistd.h>

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    (void)number;
    interrupts++;
}

static void catch_signals(void)
{
    struct sigaction a = { .sa_handler = on_interrupt };

    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static int stream_all(const file_options *o, out_run *run)
{
    int code = 0, stop = 0;

    for (int i = 0; i < o->file_count && !stop; i++) {
        int r = file_session_run(o, run, o->files[i], &interrupts, &stop);

        if (interrupts)
            return EXIT_INTERRUPTED;
        if (r)
            code = r;
    }
    return code;
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
                    .print = stdout,
                    .on_tty = isatty(STDOUT_FILENO) };

    catch_signals();
    code = stream_all(&o, &run);
    out_run_free(&run);
    return code;
}

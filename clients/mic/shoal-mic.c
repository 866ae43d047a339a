/* shoal-mic.c - phones from a microphone, while one speaks: see mic.h and shoal-mic.1 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mic/mic.h"
#include "mic/mic_keys.h"
#include "out/out_screen.h"
#include "tool/tool_paths.h"

enum { END_MS = 80, SIGNALS = 5, DRAIN_MS = 20 };

static int has_colour(void)
{
    const char *no = getenv("NO_COLOR");

    return !(no && *no) && getenv("TERM");
}

/* Nothing of ours is redrawn any more, and the terminal is as it was. */
static void leave_screen(mic_app *a)
{
    char bytes[MIC_LINE_ROOM + 8192];
    size_t n = mic_line_leave(&a->line, bytes, sizeof bytes);

    if (!a->o->jsonl && a->printer) {
        fwrite(bytes, 1, n, out_print_file(a->printer));
        fflush(out_print_file(a->printer));
        out_print_drain(a->printer, DRAIN_MS);
    }
    mic_keys_restore();
}

static void stop_for_a_while(mic_app *a)
{
    leave_screen(a);
    raise(SIGSTOP);
    mic_keys_again();
    mic_app_draw(a);
}

static void on_signal(uv_signal_t *s, int number)
{
    mic_app *a = s->data;

    if (number == SIGWINCH)
        mic_line_resize(&a->line, out_screen_width(STDOUT_FILENO));
    else if (number == SIGTSTP)
        stop_for_a_while(a);
    else if (a->stop_ms) {
        a->interrupted = 1;
        uv_stop(a->loop);
    } else {
        a->interrupted = 1;
        mic_app_stop(a, END_MS, 0);
    }
}

static void catch_signals(mic_app *a, uv_signal_t *signals)
{
    static const int numbers[SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH };

    signal(SIGPIPE, SIG_IGN); /* a reader of stdout that goes away is an error of write */
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(a->loop, &signals[i]);
        signals[i].data = a;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
}

/* What is left of the loop; a PortAudio that hangs is not waited for. */
static void end(mic_app *a, uv_signal_t *signals)
{
    leave_screen(a);
    mic_input_stop(a);
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    out_print_drain(a->printer, DRAIN_MS);
    a->code = out_screen_end("shoal-mic", out_print_error(a->printer), a->code);
    mic_app_free(a);
    uv_run(a->loop, UV_RUN_DEFAULT);
    uv_loop_close(a->loop);
}

/* The last one, and what commands say of it, if nobody is in a hurry. */
static void finish_utterances(mic_app *a)
{
    mic_utter_finish(a);
    while (a->children && !a->interrupted)
        uv_run(a->loop, UV_RUN_ONCE);
}

int main(int argc, char **argv)
{
    static mic_app a;
    uv_signal_t signals[SIGNALS];
    mic_options o;
    uv_loop_t loop;
    int code = mic_options_parse(&o, argc, argv);

    if (code < 0)
        code = tool_check_server("shoal-mic", &o.server, o.proxy);
    if (code < 0)
        code = tool_make_folder("shoal-mic", "--out-dir", o.out_dir);
    if (code < 0)
        code = tool_make_folder("shoal-mic", "--utterances", o.utterances);
    if (code >= 0)
        return out_screen_end_stdout("shoal-mic", code);
    uv_loop_init(&loop);
    a.o = &o;
    a.loop = &loop;
    a.terminal = out_screen_is_live(STDOUT_FILENO) && !o.jsonl;
    mic_line_init(&a.line, a.terminal, a.terminal && has_colour(), out_screen_width(STDOUT_FILENO));
    if (mic_app_start(&a) < 0)
        return EXIT_FAILED;
    catch_signals(&a, signals);
    mic_input_start(&a);
    uv_run(&loop, UV_RUN_DEFAULT);
    finish_utterances(&a);
    end(&a, signals);
    return a.code;
}

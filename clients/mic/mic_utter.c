/* mic_utter.c - each utterance as a WAV file, and a command that is told of it: see mic.h
 *
 *     sound, turns of speech -> out_cut -> DIR/shoal-mic-DATE-TIME.0001.wav
 *         -> sh -c 'CMD "$1"' sh FILE -> its output: a note on the screen, a JSON line
 *
 * Commands run beside each other, MOST at a time: whoever is slower than speech is told, not waited
 * for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mic/mic.h"

enum { MOST = 8, TEXT_BYTES = 4096 };

struct mic_child {
    mic_app *app;
    uv_process_t process;
    uv_pipe_t out;
    int open; /* handles */
    char text[TEXT_BYTES];
    size_t size;
    char file[512];
};

/* ---- the command ---- */

static void on_closed(uv_handle_t *h)
{
    mic_child *c = h->data;

    if (--c->open)
        return;
    c->app->children--;
    free(c);
}

/* What it has printed, as one line. */
static void show_output(mic_child *c)
{
    char text[TEXT_BYTES + 16];

    while (c->size && strchr(" \r\n\t", c->text[c->size - 1]))
        c->size--;
    c->text[c->size] = 0;
    for (char *p = c->text; *p; p++)
        *p = *p == '\n' || *p == '\r' || *p == '\t' ? ' ' : *p;
    if (!c->size)
        return;
    snprintf(text, sizeof text, "%s", c->text);
    mic_show_note(c->app, "heard", -1, text);
}

static void on_exit_code(uv_process_t *p, int64_t code, int signal)
{
    mic_child *c = p->data;
    char text[700];

    if (code || signal) {
        snprintf(text, sizeof text, "the command ended with %s %d for %s",
                 signal ? "signal" : "exit code", signal ? signal : (int)code, c->file);
        mic_show_note(c->app, "failed", -1, text);
    }
    uv_close((uv_handle_t *)p, on_closed);
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char rest[1024]; /* what is beyond a line's length is read and dropped */
    mic_child *c = h->data;
    size_t left = sizeof c->text - 1 - c->size;

    (void)suggested;
    *buf = left ? uv_buf_init(c->text + c->size, (unsigned)left) : uv_buf_init(rest, sizeof rest);
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    mic_child *c = s->data;

    if (n >= 0) {
        c->size += buf->base == c->text + c->size ? (size_t)n : 0;
        return;
    }
    show_output(c);
    uv_close((uv_handle_t *)s, on_closed);
}

static int spawn(mic_child *c, const char *command)
{
    char shell[] = "/bin/sh", take[] = "-c", line[1024];
    char *argv[] = { shell, take, line, shell, c->file, NULL };
    uv_stdio_container_t stdio[] = {
        { .flags = UV_IGNORE },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->out },
        { .flags = UV_INHERIT_FD, .data.fd = 2 },
    };
    uv_process_options_t options = {
        .file = shell, .args = argv, .stdio = stdio, .stdio_count = 3, .exit_cb = on_exit_code
    };

    snprintf(line, sizeof line, "%s \"$1\"", command);
    return uv_spawn(c->app->loop, &c->process, &options);
}

static void run_command(mic_app *a, const char *file)
{
    mic_child *c = a->children < MOST ? calloc(1, sizeof *c) : NULL;
    char text[700];
    int r;

    if (!c) {
        snprintf(text, sizeof text, "the command is too slow: it is not given %s", file);
        mic_show_note(a, "failed", -1, text);
        return;
    }
    c->app = a;
    snprintf(c->file, sizeof c->file, "%s", file);
    uv_pipe_init(a->loop, &c->out, 0);
    c->out.data = c->process.data = c;
    c->open = 2;
    a->children++;
    r = spawn(c, a->o->exec);
    if (r == 0) {
        uv_read_start((uv_stream_t *)&c->out, on_room, on_bytes);
        return;
    }
    snprintf(text, sizeof text, "%s: %s", a->o->exec, uv_strerror(r));
    mic_show_note(a, "failed", -1, text);
    uv_close((uv_handle_t *)&c->out, on_closed);
    uv_close((uv_handle_t *)&c->process, on_closed);
}

/* ---- the files ---- */

static void on_file(void *user, const char *path, double start, double end)
{
    mic_app *a = user;
    char text[700];

    (void)start;
    snprintf(text, sizeof text, "%s", path);
    mic_show_note(a, "utterance", end - start, text);
    if (a->o->exec)
        run_command(a, path);
}

static void check(mic_app *a, int r, const char *why)
{
    if (r == 0)
        return;
    mic_show_note(a, "failed", -1, why);
    a->code = EXIT_FAILED;
    out_cut_free(a->cut); /* the disk is full, the folder gone: said once */
    a->cut = NULL;
}

void mic_utter_start(mic_app *a)
{
    char stem[64];
    time_t now = time(NULL);
    struct tm t;

    if (!a->o->utterances)
        return;
    strftime(stem, sizeof stem, "shoal-mic-%Y%m%d-%H%M%S", localtime_r(&now, &t));
    a->cut = out_cut_open(&(out_cut_params){ .dir = a->o->utterances,
                                             .stem = stem,
                                             .rate = a->news.rate,
                                             .channels = 1,
                                             .on_file = on_file,
                                             .user = a });
    if (!a->cut)
        mic_show_note(a, "failed", -1, "out of memory: utterances are not written");
}

void mic_utter_sound(mic_app *a, const int16_t *samples, size_t n)
{
    char why[512];

    if (a->cut)
        check(a, out_cut_add(a->cut, samples, n, why, sizeof why), why);
}

void mic_utter_turn(mic_app *a, const shoal_wire_activity *m)
{
    char why[512];

    if (a->cut)
        check(a, out_cut_turn(a->cut, m->speech, a->base + m->sample, why, sizeof why), why);
}

void mic_utter_processed(mic_app *a, uint64_t processed)
{
    out_cut_processed(a->cut, a->base + processed);
}

void mic_utter_finish(mic_app *a)
{
    char why[512];

    if (a->cut)
        check(a, out_cut_finish(a->cut, why, sizeof why), why);
    out_cut_free(a->cut);
    a->cut = NULL;
}

/* mic_input.c - keys of shoal-mic: see mic.h */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mic/mic.h"
#include "mic/mic_keys.h"

enum { STOP_WAIT_MS = 80 };

static void save(mic_app *a)
{
    char stem[64], why[512], text[700];
    time_t now = time(NULL);
    struct tm t;
    double seconds;

    strftime(stem, sizeof stem, "shoal-mic-%Y%m%d-%H%M%S", localtime_r(&now, &t));
    seconds = a->save.samples ? mic_save_write(&a->save, a->o->out_dir, stem, why, sizeof why) : -1;
    if (seconds >= 0)
        snprintf(text, sizeof text, "the last %.0f s are in %s/%s.wav and .TextGrid", seconds,
                 a->o->out_dir, stem);
    else
        snprintf(text, sizeof text, "not saved: %s", a->save.samples ? why : "no sound yet");
    mic_show_note(a, "saved", seconds, text);
}

static void deeper(mic_app *a, int by)
{
    mic_session_set_depth(a, a->depth + by, a->depth + by);
}

static void help(mic_app *a)
{
    mic_show_note(a, "help", -1, "+ - depth   r the range again   p pause   s save the last 30 s");
    mic_show_note(a, "help", -1,
                  "q or Ctrl-C ends. In the last line: level, depth, lag: sound that is not");
    mic_show_note(a, "help", -1,
                  "computed yet, phones: half and 9 of 10 have settled so long after their end");
}

static void on_key(mic_app *a, char key)
{
    switch (key) {
    case '+':
    case '=': deeper(a, 1); break;
    case '-': deeper(a, -1); break;
    case 'r': mic_session_set_range(a); break;
    case 'p':
    case ' ': a->paused = !a->paused; break;
    case 's': save(a); break;
    case 'h':
    case '?': help(a); break;
    case 'q':
    case 4: /* Ctrl-D */
        a->interrupted = 1;
        mic_app_stop(a, STOP_WAIT_MS, 0);
        break;
    default: break;
    }
    mic_app_draw(a);
}

static void on_keys(uv_poll_t *p, int status, int events)
{
    mic_app *a = p->data;
    char keys[32];
    ssize_t n = status < 0 ? 0 : read(STDIN_FILENO, keys, sizeof keys);

    (void)events;
    if (n <= 0)
        uv_poll_stop(p); /* the terminal is gone; SIGHUP says so too */
    if (n > 0 && keys[0] == '\033')
        return; /* an arrow, a function key */
    for (ssize_t i = 0; i < n; i++)
        on_key(a, keys[i]);
}

/* With a terminal on both ends; a background job must not take the shell's keys. */
void mic_input_start(mic_app *a)
{
    if (!a->terminal || !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        uv_poll_init(a->loop, &a->keys, STDIN_FILENO) < 0)
        return;
    a->has_keys = 1;
    a->keys.data = a;
    mic_keys_begin(STDIN_FILENO);
    uv_poll_start(&a->keys, UV_READABLE, on_keys);
}

void mic_input_stop(mic_app *a)
{
    mic_keys_restore();
    if (a->has_keys)
        uv_close((uv_handle_t *)&a->keys, NULL);
    a->has_keys = 0;
}

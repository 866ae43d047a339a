/* mic_common.c - what all parts of shoal-mic need: the time, the picture, the end; see mic.h */
#include <stdio.h>

#include "mic/mic.h"

enum { DRAW_MS = 100, MAX_UNREAD = 64 << 10 };

int64_t mic_app_now_ms(const mic_app *a)
{
    return (int64_t)uv_now(a->loop);
}

/* ---- drawing ---- */

static const char *trouble(const mic_app *a)
{
    if (a->away_ms)
        return "the microphone is away";
    return a->gone_ms && a->was_ready ? "the server is away" : NULL;
}

static int lost_ms(const mic_app *a)
{
    return (int)((atomic_load(&a->ring.lost) + a->dropped) * 1000 / (unsigned)a->news.rate);
}

static void draw_status(mic_app *a)
{
    mic_status s = { .level = &a->level,
                     .waits = &a->waits,
                     .trouble = trouble(a),
                     .paused = a->paused,
                     .lag_ms = a->ready ? a->lag_ms : -1,
                     .depth = a->ready ? a->depth : 0,
                     .depth_min = a->wanted.depth_min,
                     .depth_max = a->wanted.depth_max,
                     .lost_ms = lost_ms(a),
                     .load = mic_load_percent(a->load) };
    char text[256];

    mic_status_print(&s, text, sizeof text);
    mic_line_status(&a->line, text);
}

/* A terminal that is stopped (Ctrl-S) or slow is not flooded: the next picture has it all. */
void mic_app_draw(mic_app *a)
{
    char bytes[MIC_LINE_ROOM + 8192];
    size_t n;

    if (a->o->jsonl || out_print_waiting(a->printer) > MAX_UNREAD)
        return;
    if (a->terminal && a->heard)
        draw_status(a);
    n = mic_line_take(&a->line, bytes, sizeof bytes);
    fwrite(bytes, 1, n, out_print_file(a->printer));
    fflush(out_print_file(a->printer));
    a->next_draw_ms = mic_app_now_ms(a) + DRAW_MS;
}

/* ---- the end ---- */

int mic_app_send_packet(void *user, const uint8_t *packet, size_t n)
{
    mic_app *a = user;

    return shoal_client_send(a->client, packet, n) == n ? 0 : -1;
}

/* -1: it cannot be said. */
static int end_audio(mic_app *a)
{
    if (a->opus && mic_opus_flush(a->opus, mic_app_send_packet, a) < 0)
        return -1;
    return shoal_client_end(a->client);
}

void mic_app_stop(mic_app *a, int wait_ms, int code)
{
    a->code = code ? code : a->code;
    a->stop_ms = mic_app_now_ms(a) + (wait_ms ? wait_ms : 1);
    if (wait_ms && a->ready && end_audio(a) < 0)
        mic_app_miss_end(a);
    else if (!wait_ms || !a->ready)
        uv_stop(a->loop);
}

void mic_app_miss_end(mic_app *a)
{
    if (!a->interrupted) {
        fputs("shoal-mic: the server took the sound, but did not give its last results: does it "
              "hang? See its log\n",
              stderr);
        a->code = EXIT_FAILED;
    }
    uv_stop(a->loop);
}

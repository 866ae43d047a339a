/* mic_app.c - the clock of shoal-mic: see mic.h
 *
 * Each 20 ms: what the ring holds goes to the session, the level and the last half minute; the
 * source's state is looked at. Results and keys come when they come.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mic/mic.h"

/* Holes that nobody needs to be told of, if nothing was wrong. */
static const double unnoticed_s = 0.5;

enum { ZEROS_S = 5 }; /* of nothing but zeros: PortAudio begins anew, once */
enum { CLOCK_MS = 20, BLOCK = 4096 };
enum { LAST_RESULTS_MS = 600000 }; /* of a command that has ended; Ctrl-C does not wait */

/* ---- the source ---- */

static void judge_hole(mic_app *a)
{
    char text[200];
    double seconds = (double)(mic_app_now_ms(a) - a->away_ms) / 1000;

    snprintf(text, sizeof text, "the microphone is back; %.1f s were not heard", seconds);
    if (a->away_told || seconds > unnoticed_s)
        mic_show_note(a, "hole", seconds, text);
    a->away_ms = a->away_told = 0;
}

static void first_sound(mic_app *a)
{
    a->heard = 1;
    mic_level_init(&a->level, a->news.rate);
    if (mic_save_init(&a->save, a->news.rate) < 0) {
        fputs("shoal-mic: out of memory\n", stderr);
        mic_app_stop(a, 0, EXIT_FAILED);
        return;
    }
    mic_utter_start(a);
    mic_session_open(a);
}

/* It may come back and go again before a sound was heard: told once. */
static void note_away(mic_app *a)
{
    char text[600];

    a->away_ms = a->away_ms ? a->away_ms : mic_app_now_ms(a);
    a->away_opened = a->news.opened;
    mic_session_flush(a);
    if (a->away_told || !*a->news.why)
        return;
    a->away_told = 1;
    snprintf(text, sizeof text, "the microphone is away (%s); waiting for it", a->news.why);
    mic_show_note(a, "away", -1, text);
}

static void look_at_source(mic_app *a)
{
    mic_news before = a->news;

    a->news = a->capture ? mic_capture_look(a->capture) : mic_pipe_look(a->pipe);
    if (a->news.opened && !a->heard)
        first_sound(a);
    if (a->news.state == MIC_AWAY && before.state == MIC_RUNNING)
        note_away(a);
    if (a->news.state == MIC_FAILED && before.state != MIC_FAILED) {
        fprintf(stderr, "shoal-mic: %s\n", a->news.why);
        mic_app_stop(a, 0, EXIT_FAILED);
    }
}

/* A command has ended and the ring is empty: the session is brought to its end in peace. */
static void end_of_command(mic_app *a)
{
    if (a->news.state != MIC_ENDED || a->stop_ms || (a->heard && !a->ready))
        return;
    if (!a->heard || *a->news.why)
        fprintf(stderr, "shoal-mic: %s\n",
                *a->news.why ? a->news.why : "the command gave no sound");
    mic_app_stop(a, a->ready ? LAST_RESULTS_MS : 0, !a->heard || *a->news.why ? EXIT_FAILED : 0);
}

static void judge_zeros(mic_app *a)
{
    int muted = mic_level_is_muted(&a->level);

    if (muted && !a->zeros_told)
        mic_show_note(a, "muted", -1, "nothing but zeros comes: is the microphone muted?");
    a->zeros_told = muted;
    if (a->level.zeros < (uint64_t)a->news.rate * ZEROS_S)
        a->restarted = 0;
    else if (a->capture && !a->restarted && a->level.n > a->level.zeros) {
        a->restarted = 1; /* it had a sound before: it may be stuck */
        mic_capture_restart(a->capture);
    }
}

/* ---- the clock ---- */

/* A command that is faster than the server waits for it; a microphone cannot. */
static int may_take(const mic_app *a)
{
    return !a->pipe || (a->ready && !mic_session_is_full(a));
}

static void take_sound(mic_app *a)
{
    int16_t block[BLOCK];
    size_t n;

    while (may_take(a) && (n = mic_ring_read(&a->ring, block, BLOCK)) > 0) {
        if (a->away_ms && a->news.opened > a->away_opened)
            judge_hole(a);
        mic_level_add(&a->level, block, n);
        if (a->paused || a->stop_ms)
            continue;
        if (!mic_session_send(a, block, n) && a->ready) {
            a->dropped += n; /* and time goes on without it, here as at the server */
            continue;
        }
        mic_save_add(&a->save, block, n);
        mic_utter_sound(a, block, n);
        a->samples += n;
    }
}

static void on_clock(uv_timer_t *t)
{
    mic_app *a = t->data;
    int64_t now = mic_app_now_ms(a);

    look_at_source(a);
    if (a->save.samples) {
        take_sound(a);
        judge_zeros(a);
    }
    if (atomic_load(&a->ring.read) == atomic_load(&a->ring.written))
        end_of_command(a);
    mic_show_silence(a);
    if (a->terminal ? now >= a->next_draw_ms : a->line.out_size > 0)
        mic_app_draw(a);
    if (out_print_error(a->printer))
        uv_stop(a->loop);
    else if (a->stop_ms && now >= a->stop_ms)
        mic_app_miss_end(a);
}

/* ---- beginning and end ---- */

int mic_app_start(mic_app *a)
{
    const mic_source_params *p = &a->o->source;

    if (mic_ring_init(&a->ring, MIC_RING_SAMPLES) == 0) {
        if (p->command)
            a->pipe = mic_pipe_start(p, &a->ring, a->loop);
        else
            a->capture = mic_capture_start(p, &a->ring);
    }
    a->printer = out_print_open(1);
    if (!a->printer || (!a->pipe && !a->capture)) {
        fputs("shoal-mic: out of memory\n", stderr);
        return -1;
    }
    a->wanted = a->o->session;
    a->speech_end = -1;
    uv_timer_init(a->loop, &a->clock);
    uv_timer_init(a->loop, &a->retry);
    a->clock.data = a->retry.data = a;
    uv_timer_start(&a->clock, on_clock, 0, CLOCK_MS);
    return 0;
}

void mic_app_free(mic_app *a)
{
    mic_session_close(a);
    mic_load_stop(a->load);
    mic_opus_free(a->opus);
    mic_pipe_stop(a->pipe);
    uv_close((uv_handle_t *)&a->clock, NULL);
    uv_close((uv_handle_t *)&a->retry, NULL);
    mic_save_free(&a->save);
    if (mic_capture_stop(a->capture))
        mic_ring_free(&a->ring);
    out_print_close(a->printer);
}

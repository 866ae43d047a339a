/* file_session.c - one file through one session
 *
 *     file -> block -> shoal_client_send     as much as is due (real time) or fits (fast)
 *     events -> writers
 *     end of file -> end -> DONE, whose totals must agree with what was sent and received
 *
 * One loop: feed what is due, poll until the next piece is due, handle one event. Nothing is sent
 * before READY, so that the clock of real time starts with the session.
 */
#include "file/file.h"
#include "file/file_audio.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK_FRAMES = 4096,
    PACE_MS = 20,    /* audio is sent in pieces of this in real time */
    TICK_MS = 200,   /* progress and Ctrl-C are looked at this often */
    GRACE_MS = 5000, /* after Ctrl-C, for the results of what was sent */
    PROGRESS_SECONDS = 10
};

typedef struct session {
    const file_options *o;
    const char *path;
    const volatile sig_atomic_t *interrupts;
    file_audio *audio;
    file_audio_info info;
    shoal_client *client;
    out *outs[FILE_MAX_WRITERS];
    int out_count;
    uint8_t *block;                /* [BLOCK_FRAMES, info.frame_bytes] */
    size_t block_used, block_size; /* bytes; the part that the client has not taken */
    int full;                      /* the client's queue is: wait for ROOM */
    int64_t started_ms;            /* at READY; 0 before */
    int64_t stop_ms;               /* after Ctrl-C: when to give up; 0 before */
    int at_end, ended, done, failed, closed, output_failed;
    int show_progress, progress_shown;
    int64_t next_progress_ms;
} session;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what the user sees ---- */

static void hide_progress(session *s)
{
    if (s->progress_shown)
        fputs("\r\033[K", stderr);
    s->progress_shown = 0;
}

__attribute__((format(printf, 2, 3))) static void say(session *s, const char *fmt, ...)
{
    va_list args;

    hide_progress(s);
    fprintf(stderr, "shoal-file: %s: ", s->path);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static void fail(session *s, const char *why)
{
    say(s, "%s", why);
    s->failed = 1;
}

static int64_t frames_sent(const session *s)
{
    return (int64_t)(shoal_client_get_stats(s->client).audio_taken / s->info.frame_bytes);
}

/* Seconds of the file that have results, or all of it once that is certain. */
static double seconds_covered(const session *s)
{
    if (s->done && s->at_end)
        return (double)file_audio_frames_read(s->audio) / s->info.file_rate;
    if (s->done)
        return (double)frames_sent(s) / s->info.rate;
    return (double)shoal_client_get_stats(s->client).processed / s->info.rate;
}

static void show_progress(session *s)
{
    int64_t now = now_ms();
    double sent = (double)frames_sent(s) / s->info.rate;
    double heard = (double)shoal_client_get_stats(s->client).processed / s->info.rate;
    double elapsed = (double)(now - s->started_ms) / 1000;

    if (!s->show_progress || !s->started_ms || now < s->next_progress_ms)
        return;
    s->next_progress_ms = now + TICK_MS;
    fprintf(stderr, "\r%s  %.1f / %.1f s  %.1f x real time  lag %.2f s\033[K", s->path, heard,
            s->info.duration, elapsed > 0 ? heard / elapsed : 0, sent - heard);
    fflush(stderr);
    s->progress_shown = 1;
}

/* ---- sending ---- */

/* Sample frames that may have been sent by now. */
static int64_t frames_due(const session *s)
{
    return s->o->realtime ? (now_ms() - s->started_ms) * s->info.rate / 1000 : INT64_MAX;
}

static int fill_block(session *s)
{
    size_t frames = s->o->realtime ? (size_t)s->info.rate * PACE_MS / 1000 : BLOCK_FRAMES;
    char why[256];
    ptrdiff_t got = file_audio_read(s->audio, s->block, frames, why, sizeof why);

    if (got < 0)
        fail(s, why);
    s->at_end = got <= 0;
    s->block_used = 0;
    s->block_size = got > 0 ? (size_t)got * s->info.frame_bytes : 0;
    return got > 0;
}

static void end_audio(session *s)
{
    if (!s->ended && shoal_client_end(s->client) == 0)
        s->ended = 1;
}

/* Send one block if it is due and fits. Returns 1 if there may be more to send at once. */
static int feed(session *s)
{
    size_t left;

    if (!s->started_ms || s->ended || s->full)
        return 0;
    if (s->block_used == s->block_size) {
        if (frames_sent(s) >= frames_due(s))
            return 0;
        if (!fill_block(s)) {
            end_audio(s);
            return 0;
        }
    }
    left = s->block_size - s->block_used;
    s->block_used += shoal_client_send(s->client, s->block + s->block_used, left);
    s->full = s->block_used < s->block_size;
    return !s->full;
}

/* ---- results ---- */

static void write_failed(session *s, const char *why)
{
    fail(s, why);
    s->output_failed = s->closed = 1;
}

static void write_phones(session *s, out_source from, const out_phone *phones, int n)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->phones(s->outs[i], from, phones, n, why, sizeof why) < 0)
            write_failed(s, why);
}

static void write_activity(session *s, out_source from, const out_activity *a)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->activity(s->outs[i], from, a, why, sizeof why) < 0)
            write_failed(s, why);
}

static void on_phones(session *s, const shoal_phones *p)
{
    out_phone phones[SHOAL_MAX_PHONES];

    for (int i = 0; i < p->count; i++)
        phones[i] = (out_phone){ p->phones[i].phone, p->phones[i].start, p->phones[i].end,
                                 (float)p->phones[i].confidence };
    if (!p->count)
        return;
    hide_progress(s);
    write_phones(s, (out_source){ p->tap, p->depth }, phones, p->count);
}

static void on_activity(session *s, const shoal_wire_activity *a)
{
    out_activity activity = { a->speech, a->time };

    hide_progress(s);
    write_activity(s, (out_source){ a->tap, a->depth }, &activity);
}

static void write_features(session *s, const out_features *f)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->features(s->outs[i], f, why, sizeof why) < 0)
            write_failed(s, why);
}

static void on_features(session *s, const shoal_packet *p, const float *rows)
{
    out_features f = { .kind = p->kind == SHOAL_KIND_EMBEDDING ? "embedding" : "posteriors",
                       .first_frame = (int64_t)p->first_frame,
                       .frames = p->frames,
                       .dim = p->dim,
                       .from = { p->tap, p->depth },
                       .frame_seconds = SHOAL_FRAME_MS / 1000.0,
                       .rows = rows };

    write_features(s, &f);
}

static void announce(session *s, unsigned output, int tap, int dim)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->announce(s->outs[i], shoal_output_name(output), tap, dim, why,
                                      sizeof why) < 0)
            write_failed(s, why);
}

static void announce_all(session *s, const shoal_ready *r, int tap, unsigned outputs)
{
    for (unsigned one = 1; one & SHOAL_OUTPUT_ALL; one <<= 1)
        if (outputs & one)
            announce(s, one, tap,
                     one == SHOAL_OUTPUT_POSTERIORS  ? r->classes
                     : one == SHOAL_OUTPUT_EMBEDDING ? r->dim
                                                     : 0);
}

/* Start the clock. */
static void on_ready(session *s, const shoal_ready *r)
{
    const shoal_options *o = &r->options;

    s->started_ms = now_ms();
    announce_all(s, r, 0, o->outputs);
    for (int i = 0; i < o->tap_count; i++)
        announce_all(s, r, o->taps[i].depth, o->taps[i].outputs);
}

static void on_changed(session *s, const shoal_changed *c)
{
    if (c->reason == SHOAL_REASON_LOAD && !s->o->quiet)
        say(s, "depth %d from %.2f s on: the server's load changed", c->depth,
            (double)c->from_frame * SHOAL_FRAME_MS / 1000);
}

/* ---- totals: nothing may be missing ---- */

static int differs(session *s, const char *what, uint64_t server, uint64_t here)
{
    if (server == here)
        return 0;
    say(s,
        "RESULTS ARE INCOMPLETE: %s: the server says %llu, here it is %llu; please report "
        "this",
        what, (unsigned long long)server, (unsigned long long)here);
    return 1;
}

static void on_done(session *s, const shoal_done *d)
{
    shoal_client_stats have = shoal_client_get_stats(s->client);
    const shoal_ready *ready = shoal_client_get_ready(s->client);
    int features = (shoal_options_all_outputs(&ready->options) &
                    (SHOAL_OUTPUT_POSTERIORS | SHOAL_OUTPUT_EMBEDDING)) != 0;
    int bad = differs(s, "samples received", d->received, (uint64_t)frames_sent(s));

    bad |= differs(s, "samples processed", d->processed, d->received);
    bad |= differs(s, "phones", d->phones, have.phones);
    bad |= differs(s, "feature packets", d->packets, have.packets);
    bad |= differs(s, "results missing by their numbers", 0, have.seq_gaps);
    if (features)
        bad |= differs(s, "frames", d->frames, have.frames);
    /* Each sample lies in some frame; resampling may round a frame away. */
    if (((double)d->frames + 1) * shoal_frame_samples(s->info.rate) < (double)frames_sent(s))
        bad |= differs(s, "frames for the audio sent", d->frames,
                       (uint64_t)ceil((double)frames_sent(s) / shoal_frame_samples(s->info.rate)));
    s->failed |= bad;
    s->done = 1;
}

static void on_error(session *s, const shoal_error *e)
{
    if (e->retry_after_ms)
        say(s, "%s (try again in %.1f s)", e->message, e->retry_after_ms / 1000.0);
    else
        say(s, "%s", e->message);
    s->failed = 1;
}

static void on_event(session *s, const shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY: on_ready(s, e->ready); break;
    case SHOAL_CLIENT_PHONES: on_phones(s, e->phones); break;
    case SHOAL_CLIENT_ACTIVITY: on_activity(s, e->activity); break;
    case SHOAL_CLIENT_FEATURES: on_features(s, e->packet, e->rows); break;
    case SHOAL_CLIENT_CHANGED: on_changed(s, e->changed); break;
    case SHOAL_CLIENT_DONE: on_done(s, e->done); break;
    case SHOAL_CLIENT_ERROR: on_error(s, e->error); break;
    case SHOAL_CLIENT_ROOM: s->full = 0; break;
    case SHOAL_CLIENT_CLOSED: s->closed = 1; break;
    default: break;
    }
}

/* ---- the loop ---- */

/* Ctrl-C: end the audio here, wait a little for its results; a second one gives up. */
static void check_interrupts(session *s)
{
    if (!*s->interrupts)
        return;
    if (!s->stop_ms) {
        s->stop_ms = now_ms() + GRACE_MS;
        say(s, "interrupted; waiting for the last results");
        end_audio(s);
    }
    if (*s->interrupts > 1 || !s->started_ms || now_ms() > s->stop_ms)
        s->closed = 1;
}

static int wait_ms(const session *s)
{
    if (!s->started_ms || s->ended || s->full || !s->o->realtime)
        return TICK_MS;
    int64_t due = frames_sent(s) * 1000 / s->info.rate + 1 - (now_ms() - s->started_ms);

    return due < 1 ? 1 : due > TICK_MS ? TICK_MS : (int)due;
}

static void run_loop(session *s)
{
    shoal_client_event e;

    while (!s->closed) {
        int more = feed(s);
        int r = shoal_client_poll(s->client, more ? 0 : wait_ms(s), &e);

        if (r < 0)
            return;
        if (r > 0)
            on_event(s, &e);
        check_interrupts(s);
        show_progress(s);
    }
}

/* ---- before and after ---- */

static int open_audio(session *s)
{
    static const file_audio_limits limits = { SHOAL_MIN_RATE, SHOAL_MAX_RATE, SHOAL_MAX_CHANNELS,
                                              16000 };
    char why[512];

    if (file_audio_open(&s->audio, s->path, &limits, why, sizeof why) < 0) {
        fail(s, why);
        return -1;
    }
    s->info = *file_audio_get_info(s->audio);
    s->show_progress = !s->o->quiet && isatty(STDERR_FILENO) &&
                       (s->info.duration == 0 || s->info.duration > PROGRESS_SECONDS);
    s->block = malloc(s->info.frame_bytes * BLOCK_FRAMES);
    if (!s->block)
        fail(s, "out of memory");
    return s->block ? 0 : -1;
}

static int open_writers(session *s, out_run *run)
{
    char why[512];

    for (; s->out_count < s->o->writer_count; s->out_count++) {
        out_open *open_writer = s->o->writers[s->out_count];

        if (open_writer(&s->outs[s->out_count], run, s->path, why, sizeof why) < 0) {
            fail(s, why);
            return -1;
        }
    }
    return 0;
}

static int open_session(session *s)
{
    shoal_client_params p = shoal_client_default_params();
    char why[512];

    p.options = s->o->session;
    p.options.given |= SHOAL_OPT_FORMAT | SHOAL_OPT_RATE | SHOAL_OPT_CHANNELS;
    p.options.format = s->info.s16 ? SHOAL_FORMAT_S16LE : SHOAL_FORMAT_F32LE;
    p.options.rate = s->info.rate;
    p.options.channels = s->info.channels;
    if (shoal_client_open(&s->client, s->o->url, &p, why, sizeof why) == 0)
        return 0;
    fail(s, why);
    return -1;
}

/* Complete the files with what was received, even if that is not all. */
static void finish_writers(session *s)
{
    double seconds = seconds_covered(s);
    char why[512];

    hide_progress(s);
    if (!s->done && s->started_ms)
        say(s, "results end at %.2f s", seconds);
    for (int i = 0; i < s->out_count && s->started_ms && !s->output_failed; i++)
        if (s->outs[i]->ops->finish(s->outs[i], seconds, why, sizeof why) < 0)
            write_failed(s, why);
}

static void clean_up(session *s)
{
    for (int i = 0; i < s->out_count; i++)
        s->outs[i]->ops->free(s->outs[i]);
    shoal_client_free(s->client);
    file_audio_close(s->audio);
    free(s->block);
}

int file_session_run(const file_options *o, out_run *run, const char *path,
                     const volatile sig_atomic_t *interrupts, int *stop)
{
    session s = { .o = o, .path = path, .interrupts = interrupts };

    if (!open_audio(&s) && !open_writers(&s, run) && !open_session(&s)) {
        run_loop(&s);
        finish_writers(&s);
    }
    s.failed |= !s.done;
    *stop = s.output_failed && ferror(run->print);
    clean_up(&s);
    return *interrupts ? EXIT_INTERRUPTED : s.failed ? EXIT_FAILED : 0;
}

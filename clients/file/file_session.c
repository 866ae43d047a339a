/* file_session.c - one file through one session
 *
 *     source -> block -> shoal_client_send     as much as is due (real time) or fits (fast)
 *     events -> writers                        in file_results.c
 *     end of file -> end -> DONE, whose totals must agree with what was sent and received
 *
 * One loop: feed what is due, poll until the next piece is due, handle one event. It waits for the
 * socket alone: a source that has nothing wakes it when it has, and while the reader of stdout is
 * too far behind no more audio is sent, so that results do not pile up; the library's pings keep
 * the session meanwhile. Nothing is sent before READY, so that the clock of real time starts with
 * the session.
 */
#include "file/file_session.h"

#include <stdlib.h>
#include <unistd.h>

#include "out/out_screen.h"

enum {
    BLOCK_FRAMES = 4096,
    PACE_MS = 20,    /* audio is sent in pieces of this in real time */
    TICK_MS = 200,   /* progress is looked at this often */
    STUCK_MS = 50,   /* how often it is looked whether stdout has room again */
    UNREAD_MS = 20,  /* a reader of stdout takes what there is in less, or does not read */
    GRACE_MS = 5000, /* after Ctrl-C, for the results of what was sent */
    PROGRESS_SECONDS = 10,
    MAX_UNREAD = 1 << 20 /* bytes for stdout; more than a person wants to have missed */
};

/* ---- sending ---- */

/* Sample frames that may have been sent by now. */
static int64_t frames_due(const file_session *s)
{
    return s->o->realtime ? (file_session_now_ms() - s->started_ms) * s->info.rate / 1000
                          : INT64_MAX;
}

static int output_is_stuck(const file_session *s)
{
    return out_print_waiting(s->run->printer) > MAX_UNREAD;
}

/* 1: there is something to send. */
static int fill_block(file_session *s)
{
    size_t frames = s->o->realtime ? (size_t)s->info.rate * PACE_MS / 1000 : BLOCK_FRAMES;
    char why[512];
    ptrdiff_t got = file_source_read(s->source, s->block, frames, why, sizeof why);

    s->starved = got == FILE_SOURCE_LATER;
    if (got == FILE_SOURCE_FAILED)
        file_session_fail(s, why);
    s->at_end = got == 0 || got == FILE_SOURCE_FAILED;
    s->block_used = 0;
    s->block_size = got > 0 ? (size_t)got * s->info.frame_bytes : 0;
    if (got > 0 && s->cut && out_cut_add(s->cut, s->block, (size_t)got, why, sizeof why) < 0)
        file_session_fail(s, why);
    return got > 0;
}

static void end_audio(file_session *s)
{
    if (!s->ended && shoal_client_end(s->client) == 0)
        s->ended = 1;
}

/* Send one block if it is due and fits. Returns 1 if there may be more to send at once. */
static int feed(file_session *s)
{
    size_t left;

    if (!s->started_ms || s->ended || s->full)
        return 0;
    if (s->block_used == s->block_size) {
        if (file_session_frames_sent(s) >= frames_due(s) || output_is_stuck(s))
            return 0;
        if (!fill_block(s)) {
            if (s->at_end)
                end_audio(s);
            return 0;
        }
    }
    left = s->block_size - s->block_used;
    s->block_used += shoal_client_send(s->client, s->block + s->block_used, left);
    s->full = s->block_used < s->block_size;
    return !s->full;
}

/* ---- the loop ---- */

/* Ctrl-C: end the audio here, wait a little for its results; a second one gives up. Who does not
 * read stdout does not wait for results. */
static void check_interrupts(file_session *s)
{
    if (!s->signals->interrupts)
        return;
    if (!s->stop_ms) {
        s->stop_ms = file_session_now_ms() + GRACE_MS;
        file_session_say(s, "interrupted; waiting for the last results");
        end_audio(s);
    }
    if (s->signals->interrupts > 1 || !s->started_ms || file_session_now_ms() > s->stop_ms ||
        out_print_drain(s->run->printer, UNREAD_MS) == 0)
        s->closed = 1;
}

static int wait_ms(const file_session *s)
{
    int64_t due;

    if (!s->started_ms || s->ended || s->full || s->starved)
        return TICK_MS;
    if (output_is_stuck(s))
        return STUCK_MS;
    if (!s->o->realtime)
        return TICK_MS;
    due = file_session_frames_sent(s) * 1000 / s->info.rate + 1 -
          (file_session_now_ms() - s->started_ms);
    return due < 1 ? 1 : due > TICK_MS ? TICK_MS : (int)due;
}

static void check_output(file_session *s)
{
    if (!out_print_error(s->run->printer) || s->output_failed)
        return;
    s->output_failed = s->closed = 1;
}

static void run_loop(file_session *s)
{
    shoal_client_event e;

    while (!s->closed) {
        int more = feed(s);
        int r = shoal_client_poll(s->client, more ? 0 : wait_ms(s), &e);

        if (r < 0)
            return;
        if (r > 0)
            file_results_take(s, &e);
        check_interrupts(s);
        check_output(s);
        file_results_judge_channels(s);
        file_session_show_progress(s);
    }
}

/* ---- before and after ---- */

/* A source may take its time with the header; there is no session yet that could be lost. */
static int wait_for_header(file_session *s)
{
    char why[512];
    int r = 0;

    while (r == 0 && !s->signals->interrupts)
        r = file_source_wait(s->source, STUCK_MS, why, sizeof why);
    if (r < 0)
        file_session_fail(s, why);
    return r == 1 ? 0 : -1;
}

static int open_audio(file_session *s)
{
    const file_audio_limits limits = { .min_rate = SHOAL_MIN_RATE,
                                       .max_rate = SHOAL_MAX_RATE,
                                       .max_channels = SHOAL_MAX_CHANNELS,
                                       .convert_rate = 16000,
                                       .channel = s->job->channel,
                                       .raw = s->o->raw,
                                       .raw_rate = s->o->raw_rate,
                                       .raw_channels = s->o->raw_channels };

    s->source = file_source_open(s->job->path, &limits);
    if (!s->source)
        file_session_fail(s, "out of memory");
    if (!s->source || wait_for_header(s) < 0)
        return -1;
    s->info = file_source_get_info(s->source);
    s->show_progress = !s->o->quiet && s->o->jobs < 2 && !s->o->live &&
                       out_screen_is_live(STDERR_FILENO) &&
                       (s->info.duration == 0 || s->info.duration > PROGRESS_SECONDS);
    s->block = malloc(s->info.frame_bytes * BLOCK_FRAMES);
    if (!s->block)
        file_session_fail(s, "out of memory");
    return s->block ? 0 : -1;
}

static void wake_client(void *client)
{
    shoal_client_wake(client);
}

static int open_session(file_session *s)
{
    shoal_client_params p = shoal_client_default_params();
    char why[512];

    p.options = s->o->session;
    p.options.given |= SHOAL_OPT_FORMAT | SHOAL_OPT_RATE | SHOAL_OPT_CHANNELS;
    p.options.format = s->info.s16 ? SHOAL_FORMAT_S16LE : SHOAL_FORMAT_F32LE;
    p.options.rate = s->info.rate;
    p.options.channels = s->info.channels;
    p.proxy = s->o->proxy;
    p.token = *s->o->server.token ? s->o->server.token : NULL;
    shoal__tls_tell(&s->o->server.tls, &p);
    p.reconnect_ms = s->o->reconnect_s * 1000;
    if (shoal_client_open(&s->client, s->o->server.url, &p, why, sizeof why) < 0) {
        file_session_fail(s, why);
        return -1;
    }
    file_source_on_news(s->source, wake_client, s->client);
    atomic_store(&s->signals->clients[s->slot], s->client);
    return 0;
}

static void clean_up(file_session *s)
{
    atomic_store(&s->signals->clients[s->slot], NULL);
    if (s->source)
        file_source_on_news(s->source, NULL, NULL);
    for (int i = 0; i < s->out_count; i++)
        s->outs[i]->ops->free(s->outs[i]);
    shoal_client_free(s->client);
    file_source_close(s->source);
    out_cut_free(s->cut);
    free(s->block);
}

file_done file_session_run(const file_options *o, out_run *run, file_job *job,
                           file_signals *signals, int slot)
{
    file_session s = { .o = o, .job = job, .signals = signals, .slot = slot, .run = run };
    file_done d = { 0 };

    if (!open_audio(&s) && !file_results_open(&s) && !open_session(&s)) {
        run_loop(&s);
        file_results_finish(&s);
        file_results_judge_end(&s);
        d.seconds = file_session_seconds_sent(&s);
    }
    s.failed |= !s.done;
    d.stop = s.output_failed && out_print_error(run->printer);
    clean_up(&s);
    d.code = s.failed ? (s.later ? EXIT_LATER : EXIT_FAILED) : 0;
    d.code = signals->interrupts ? EXIT_INTERRUPTED : d.code;
    return d;
}

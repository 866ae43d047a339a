/* track.c - a session as its worker sees it; see track.h
 *
 * One step does one small thing and returns; shoald_track_advance repeats steps. Order within
 * a step: first what is converted but not fed, then what the resampler holds, then the phase:
 *
 *   NEW -> RUN <-> FLUSH          flush: the short chunk is run, then `flushed` is said
 *           |
 *           +-> DRAIN -> FINISH -> OVER      end or drain
 *           +-> OVER                         a fatal error at its place
 *
 * A chunk that becomes ready is run before the next record is looked at, so `set` meets the
 * stream between chunks. Phases wait for no result: advance returns READY as long as the
 * engine has a chunk, and only then goes on to the step that says `flushed` or `done`. */
#include "work/track.h"

#include "work/emit.h"
#include "base/log.h"
#include "session/session.h"
#include "work/worker.h"

#include <stdio.h>
#include <string.h>

enum { HEAD_FIRST = 16 }; /* bytes looked at before the sniffer asks for more */

typedef enum { AGAIN, EMPTY } step_result;

/* ---- sizes and counts ---------------------------------------------------------------- */

static int sample_bytes(shoal_format f)
{
    switch (f) {
    case SHOAL_FORMAT_S16LE: return 2;
    case SHOAL_FORMAT_F32LE: return 4;
    default: return 1;
    }
}

int shoald_track_frame_bytes(const shoal_options *o)
{
    return sample_bytes(o->format) * o->channels;
}

uint64_t shoald_track_received(const shoald_session *s)
{
    if (s->options.format == SHOAL_FORMAT_OPUS)
        return s->track.converted * (uint64_t)s->options.rate / 16000;
    return atomic_load(&s->received_bytes) / (uint64_t)shoald_track_frame_bytes(&s->options);
}

size_t shoald_track_step_bytes(const shoal_model_info *m, const shoal_options *o)
{
    size_t ready = 4096 + (size_t)m->classes * 32;
    return shoald_outputs_step_bytes(m, o) + ready + 8 * SHOALD_RECORD_BYTES;
}

/* ---- opening and closing ------------------------------------------------------------- */

static const shoal_pcm_format pcm_formats[] = {
    /* index: shoal_format */
    [SHOAL_FORMAT_S16LE] = SHOAL_PCM_S16LE, [SHOAL_FORMAT_F32LE] = SHOAL_PCM_F32LE,
    [SHOAL_FORMAT_MULAW] = SHOAL_PCM_MULAW, [SHOAL_FORMAT_ALAW] = SHOAL_PCM_ALAW,
    [SHOAL_FORMAT_OPUS] = SHOAL_PCM_OPUS,
};

static int make_engine_objects(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    const shoal_options *o = &s->options;
    shoal_stream_params p = shoal_stream_default_params(w->model);
    p.depth = shoald_worker_depth(w, o->depth_min, o->depth_max);
    p.chunk_frames = o->chunk_ms / SHOAL_FRAME_MS;
    p.left_frames = o->left_ms / SHOAL_FRAME_MS;
    int result = shoal_stream_new(&t->stream, w->model, &p);
    if (result == 0)
        result = shoal_pcm_new(&t->pcm, pcm_formats[o->format], o->rate, o->channels);
    if (result == 0)
        result = shoald_outputs_set(s, w, o);
    return result;
}

static void fail_engine(shoald_session *s, shoald_worker *w, int result)
{
    shoal_error err;
    if (result == SHOAL_EUNSUPPORTED)
        shoal_error_set(&err, SHOAL_CODE_UNSUPPORTED, "format",
                        "this server was built without %s: send s16le instead",
                        shoal_format_name(s->options.format));
    else
        shoal_error_set(&err, SHOAL_CODE_INTERNAL, NULL, "the engine refuses: %s",
                        shoal_strerror(result));
    shoald_track_fail(s, w, &err);
}

static step_result open_track(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    int result = make_engine_objects(s, w);
    if (result < 0) {
        fail_engine(s, w, result);
        return AGAIN;
    }
    t->phase = SHOALD_TRACK_RUN;
    t->depth_min = s->options.depth_min;
    t->depth_max = s->options.depth_max;
    t->head_need = HEAD_FIRST;
    shoald_probe_init(&t->probe, &s->options);
    shoald_emit_ready(s, w);
    return AGAIN;
}

void shoald_track_close(shoald_session *s)
{
    shoald_track *t = &s->track;
    shoal_stream_free(t->stream);
    shoald_outputs_free(&t->outputs);
    shoal_pcm_free(t->pcm);
    t->stream = NULL;
    t->pcm = NULL;
}

void shoald_track_fail(shoald_session *s, shoald_worker *w, shoal_error *err)
{
    err->fatal = 1;
    s->track.error = err->code;
    s->track.phase = SHOALD_TRACK_OVER;
    shoald_emit_error(s, w, err);
}

/* ---- audio --------------------------------------------------------------------------- */

static void fail_audio(shoald_session *s, shoald_worker *w)
{
    shoal_error err;
    bool opus = s->options.format == SHOAL_FORMAT_OPUS;
    shoal_error_set(&err, opus ? SHOAL_CODE_BAD_AUDIO_PACKET : SHOAL_CODE_AUDIO_NOT_FINITE, NULL,
                    NULL);
    shoald_track_fail(s, w, &err);
}

/* Bytes -> t->floats, which is empty now. Returns bytes taken. */
static size_t convert(shoald_session *s, shoald_worker *w, const void *bytes, size_t n)
{
    shoald_track *t = &s->track;
    shoal_error err;
    size_t used = 0;
    ptrdiff_t count = shoal_pcm_convert(t->pcm, bytes, n, &used, t->floats, SHOALD_TRACK_FLOATS);
    if (count < 0) {
        fail_audio(s, w);
        return n;
    }
    if (!shoald_probe_look(&t->probe, bytes, used, &err)) {
        shoald_track_fail(s, w, &err);
        return n;
    }
    t->float_used = 0;
    t->float_count = (int)count;
    t->pcm_full = count == SHOALD_TRACK_FLOATS;
    t->converted += (uint64_t)count;
    return used;
}

static step_result feed(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    ptrdiff_t taken = shoal_stream_feed(t->stream, t->floats + t->float_used,
                                        (size_t)(t->float_count - t->float_used));
    if (taken < 0)
        fail_audio(s, w);
    else if (taken == 0 && !shoal_stream_ready(t->stream))
        fail_engine(s, w, SHOAL_ESTATE); /* an engine bug must not hang the worker */
    else
        t->float_used += (int)taken;
    return AGAIN;
}

/* Is it a file? With more == false the head is all there will be. */
static void sniff(shoald_session *s, shoald_worker *w, bool more)
{
    shoald_track *t = &s->track;
    shoal_error err;
    size_t need = 0;
    shoal_sniff verdict = shoal_sniff_container(t->head, t->head_size, &s->options, &need, &err);
    if (verdict == SHOAL_SNIFF_YES) {
        shoald_track_fail(s, w, &err);
    } else if (verdict == SHOAL_SNIFF_MORE && more && need > t->head_size &&
               t->head_size < sizeof t->head) {
        t->head_need = need < sizeof t->head ? need : sizeof t->head;
    } else {
        t->sniffed = true;
    }
}

static void take_audio(shoald_track *t, shoald_queue *in, size_t n)
{
    shoald_queue_drop(in, n);
    t->audio_left -= (uint32_t)n;
    t->head_total += n;
}

/* Collect the first bytes of the stream until the sniffer has made up its mind. */
static void fill_head(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    size_t n = t->head_need - t->head_size;
    if (n > t->audio_left)
        n = t->audio_left;
    shoald_queue_copy(&s->in, 0, t->head + t->head_size, n);
    t->head_size += n;
    take_audio(t, &s->in, n);
    if (t->head_size >= t->head_need)
        sniff(s, w, true);
}

/* A packet is converted whole; containers show in the first one. */
static void read_packet(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    size_t n = t->audio_left;
    shoald_queue_copy(&s->in, 0, w->scratch, n);
    take_audio(t, &s->in, n);
    if (!t->sniffed) {
        t->head_size = n < sizeof t->head ? n : sizeof t->head;
        memcpy(t->head, w->scratch, t->head_size);
        sniff(s, w, false);
        t->head_used = t->head_size;
    }
    if (t->phase == SHOALD_TRACK_RUN)
        convert(s, w, w->scratch, n);
}

static step_result read_audio(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    const void *bytes;
    if (s->options.format == SHOAL_FORMAT_OPUS) {
        read_packet(s, w);
    } else if (!t->sniffed) {
        fill_head(s, w);
    } else {
        size_t n = shoald_queue_view(&s->in, 0, t->audio_left, &bytes);
        take_audio(t, &s->in, convert(s, w, bytes, n));
    }
    return AGAIN;
}

static bool head_waits(const shoald_track *t)
{
    return t->sniffed && t->head_used < t->head_size;
}

static step_result read_head(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    t->head_used += convert(s, w, t->head + t->head_used, t->head_size - t->head_used);
    return AGAIN;
}

/* ---- control ------------------------------------------------------------------------- */

void shoald_track_set_depth(shoald_session *s, shoald_worker *w, int depth)
{
    if (shoal_stream_get_depth(s->track.stream) == depth)
        return;
    shoal_stream_set_depth(s->track.stream, depth);
    shoald_emit_changed(s, w, SHOAL_REASON_LOAD);
}

static void set_depth(shoald_track *t, const shoald_worker *w, const shoal_options *o)
{
    t->depth_min = o->depth_min;
    t->depth_max = o->depth_max;
    shoal_stream_set_depth(t->stream, shoald_worker_depth(w, o->depth_min, o->depth_max));
}

/* The record holds everything that is in force from here on; outputs may move the depth, too. */
static void on_set(shoald_session *s, shoald_worker *w, size_t size)
{
    shoald_track *t = &s->track;
    shoal_options o;
    shoald_queue_copy(&s->in, 0, &o, sizeof o);
    shoald_queue_drop(&s->in, size);
    if (o.given & SHOAL_OPT_DEPTH || o.depth_min != t->depth_min || o.depth_max != t->depth_max)
        set_depth(t, w, &o);
    int result = o.given & SHOAL_OPT_OUTPUT ? shoald_outputs_set(s, w, &o) : 0;
    atomic_store(&s->out_step, shoald_track_step_bytes(w->info, &o));
    if (result < 0)
        fail_engine(s, w, result);
    else
        shoald_emit_changed(s, w, SHOAL_REASON_SET);
}

static void on_flush(shoald_session *s, shoald_worker *w, size_t size)
{
    shoald_track *t = &s->track;
    shoald_queue_copy(&s->in, 0, t->flush_id, size);
    shoald_queue_drop(&s->in, size);
    if (!t->sniffed)
        sniff(s, w, false);
    if (t->phase == SHOALD_TRACK_RUN)
        t->phase = SHOALD_TRACK_FLUSH;
}

/* Bytes after the last whole sample cannot be used; that must not go unsaid. */
static void report_torn_sample(shoald_session *s, shoald_worker *w)
{
    shoal_error err;
    int whole = shoald_track_frame_bytes(&s->options);
    int rest = (int)(s->track.head_total % (uint64_t)whole);
    if (rest == 0 || s->options.format == SHOAL_FORMAT_OPUS)
        return;
    shoal_error_set(&err, SHOAL_CODE_BAD_AUDIO_FORMAT, "end",
                    "the audio ends in the middle of a sample: %d of its %d bytes came and were "
                    "left out; check format and channels, or that nothing was lost",
                    rest, whole);
    err.fatal = 0;
    shoald_emit_error(s, w, &err);
}

static void on_end(shoald_session *s, shoald_worker *w, bool draining)
{
    shoald_track *t = &s->track;
    t->draining = draining;
    if (!t->sniffed)
        sniff(s, w, false);
    if (t->phase != SHOALD_TRACK_RUN)
        return;
    report_torn_sample(s, w);
    t->phase = SHOALD_TRACK_DRAIN;
}

static void on_reply(shoald_session *s, shoald_worker *w, size_t size, int close_code)
{
    shoald_queue_copy(&s->in, 0, w->scratch, size);
    shoald_queue_drop(&s->in, size);
    shoald_emit_text(s, w, w->scratch, size, close_code);
    if (close_code)
        s->track.phase = SHOALD_TRACK_OVER;
}

static step_result read_record(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    shoald_record r;
    if (!shoald_queue_peek(&s->in, &r))
        return EMPTY;
    shoald_queue_drop(&s->in, SHOALD_RECORD_BYTES);
    t->record_ns = r.time_ns;
    switch (r.kind) {
    case SHOALD_IN_AUDIO:
        t->audio_left = r.size;
        t->arrived_ns = r.time_ns;
        break;
    case SHOALD_IN_SET: on_set(s, w, r.size); break;
    case SHOALD_IN_FLUSH: on_flush(s, w, r.size); break;
    case SHOALD_IN_END: on_end(s, w, false); break;
    case SHOALD_IN_DRAIN: on_end(s, w, true); break;
    case SHOALD_IN_REPLY: on_reply(s, w, r.size, r.code); break;
    }
    return AGAIN;
}

/* ---- the end of a phase -------------------------------------------------------------- */

static step_result drain(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    ptrdiff_t count = shoal_pcm_drain(t->pcm, t->floats, SHOALD_TRACK_FLOATS);
    t->float_used = 0;
    t->float_count = count > 0 ? (int)count : 0;
    t->converted += (uint64_t)t->float_count;
    if (count > 0)
        return AGAIN;
    if (count < 0 || shoal_stream_finish(t->stream) < 0)
        fail_audio(s, w);
    else
        t->phase = SHOALD_TRACK_FINISH;
    return AGAIN;
}

static step_result finish(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    shoal_error err;
    shoald_outputs_settle(s, w, true);
    if (t->draining) {
        shoal_error_set(&err, SHOAL_CODE_DRAINING, NULL, NULL);
        shoald_track_fail(s, w, &err);
        return AGAIN;
    }
    shoald_emit_done(s, w);
    t->done = true;
    t->phase = SHOALD_TRACK_OVER;
    return AGAIN;
}

static step_result finish_flush(shoald_session *s, shoald_worker *w)
{
    shoald_outputs_settle(s, w, false);
    shoald_emit_flushed(s, w);
    s->track.phase = SHOALD_TRACK_RUN;
    return AGAIN;
}

/* ---- steps --------------------------------------------------------------------------- */

static step_result step(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    if (t->phase == SHOALD_TRACK_NEW)
        return open_track(s, w);
    if (t->float_used < t->float_count)
        return feed(s, w);
    if (t->pcm_full) {
        convert(s, w, "", 0);
        return AGAIN;
    }
    if (head_waits(t))
        return read_head(s, w);
    switch (t->phase) {
    case SHOALD_TRACK_FLUSH:
        return shoal_stream_flush(t->stream) == 0 && shoal_stream_ready(t->stream)
                   ? AGAIN
                   : finish_flush(s, w);
    case SHOALD_TRACK_DRAIN: return drain(s, w);
    case SHOALD_TRACK_FINISH: return finish(s, w);
    default: return t->audio_left ? read_audio(s, w) : read_record(s, w);
    }
}

/* Room for its taps in the worker's batch, also after a move to another worker. */
static bool has_taps(shoald_session *s, shoald_worker *w)
{
    int result = s->track.outputs.count > 1 ? shoald_worker_reserve_taps(w) : 0;
    if (result < 0)
        fail_engine(s, w, result);
    return result == 0;
}

shoald_track_state shoald_track_advance(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    while (t->phase != SHOALD_TRACK_OVER) {
        if (shoald_queue_room(&s->out) < s->out_step)
            return SHOALD_BLOCKED;
        if (t->stream && shoal_stream_ready(t->stream))
            return has_taps(s, w) ? SHOALD_READY : SHOALD_IDLE;
        if (step(s, w) == EMPTY)
            break;
    }
    return SHOALD_IDLE;
}

static uint32_t microseconds(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void shoald_track_deliver(shoald_session *s, shoald_worker *w, const shoal_result *r,
                          uint64_t start_ns, uint64_t end_ns)
{
    shoald_track *t = &s->track;
    uint64_t before = t->samples_done;
    t->samples_done = (uint64_t)shoal_stream_samples_done(t->stream);
    t->frames += (uint64_t)r->frames;
    shoald_count(&w->stats.samples, t->samples_done - before);
    shoald_observe(&w->stats.latency, shoald_latency_bounds, SHOALD_LATENCY_BUCKETS,
                   (double)(end_ns - t->arrived_ns) / 1e9);
    if (r->frames == 0)
        return;
    int result =
        shoald_outputs_deliver(s, w, (int)(r - w->results), microseconds(t->arrived_ns, start_ns),
                               microseconds(start_ns, end_ns));
    if (result < 0)
        fail_engine(s, w, result);
}

/* track.c - a session as its worker sees it; see track.h
 *
 * One step does one small thing and returns; shoald_track_advance repeats steps. Order within
 * a step: first what the intake has not brought into the stream yet, then the phase:
 *
 *   NEW -> RUN <-> FLUSH, SET     flush: the short chunk is run, then `flushed` is said; set of
 *           |                     chunk_ms: the same, then it holds
 *           +-> DRAIN -> FINISH -> OVER      end or drain
 *           +-> DRAIN -> FINISH -> RUN       skip: what follows is as a new session's
 *           +-> OVER                         a fatal error at its place
 *
 * A chunk that becomes ready is run before the next record is looked at, so `set` meets the
 * stream between chunks. Phases wait for no result: advance returns READY as long as the
 * engine has a chunk, and only then goes on to the step that says `flushed` or `done`. */
#include "work/track.h"

#include "plan/grant.h"
#include "work/emit.h"
#include "work/intake.h"
#include "work/outputs.h"

#include <stdlib.h>
#include <string.h>

typedef enum { AGAIN, EMPTY } step_result;

/* ---- opening, failing, closing --------------------------------------------------------- */

void shoald_track_fail(shoald_lane *l, shoald_bench *w, shoal_error *err)
{
    err->fatal = 1;
    atomic_store(&l->totals.error, (int)err->code);
    if (l->track)
        l->track->phase = SHOALD_TRACK_OVER;
    shoald_emit_error(l, w, err);
}

void shoald_track_fail_engine(shoald_lane *l, shoald_bench *w, int result)
{
    shoal_error err;
    shoald_intake_say(&err, &l->options, result);
    shoald_track_fail(l, w, &err);
}

int shoald_track_make(shoald_lane *l, shoald_bench *w)
{
    l->track = calloc(1, sizeof *l->track);
    if (l->track)
        return 0;
    if (!atomic_load(&l->totals.error)) /* said once, however often it is posted */
        shoald_track_fail_engine(l, w, SHOAL_ENOMEM);
    return -1;
}

static int make_engine_objects(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    const shoal_options *o = &l->options;
    shoal_stream_params p = shoal_stream_default_params(l->service->model);
    p.program = shoald_grant_find_program(l->service->model, o->program);
    t->layers = shoald_service_layers(l->service, p.program < 0 ? 0 : p.program);
    p.depth = shoald_bench_depth(w, t->layers, o->depth_min, o->depth_max);
    p.chunk_frames = o->chunk_ms / SHOAL_FRAME_MS;
    p.left_frames = o->left_ms / SHOAL_FRAME_MS;
    int result = shoal_stream_new(&t->stream, l->service->model, &p);
    if (result == 0)
        result = shoald_intake_open(&t->in, o);
    if (result == 0)
        result = shoald_outputs_set(l, w, o);
    return result;
}

static step_result open_track(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    int result = make_engine_objects(l, w);
    if (result < 0) {
        shoald_track_fail_engine(l, w, result);
        return AGAIN;
    }
    t->phase = SHOALD_TRACK_RUN;
    t->chunk_ms = l->options.chunk_ms;
    t->depth_min = l->options.depth_min;
    t->depth_max = l->options.depth_max;
    shoald_emit_ready(l, w);
    return AGAIN;
}

void shoald_track_close(shoald_lane *l)
{
    shoald_track *t = l->track;
    if (!t)
        return;
    shoal_stream_free(t->stream);
    shoald_outputs_free(&t->outputs);
    shoald_intake_close(&t->in);
    free(t);
    l->track = NULL;
}

/* ---- control ------------------------------------------------------------------------- */

/* Without memory for more layers it goes on as deep as it was, and says nothing. */
void shoald_track_set_depth(shoald_lane *l, shoald_bench *w, int depth)
{
    shoal_stream *stream = l->track->stream;
    if (shoal_stream_get_depth(stream) != depth && shoal_stream_set_depth(stream, depth) == 0)
        shoald_emit_changed(l, w, SHOAL_REASON_LOAD);
}

static int set_depth(shoald_track *t, const shoald_bench *w, const shoal_options *o)
{
    t->depth_min = o->depth_min;
    t->depth_max = o->depth_max;
    return shoal_stream_set_depth(t->stream,
                                  shoald_bench_depth(w, t->layers, o->depth_min, o->depth_max));
}

/* The record holds everything that is in force from here on; outputs may move the depth, too. */
static void apply_set(shoald_lane *l, shoald_bench *w, const shoal_options *o)
{
    shoald_track *t = l->track;
    int result = 0;
    if (o->chunk_ms != t->chunk_ms)
        result = shoal_stream_set_chunk(t->stream, o->chunk_ms / SHOAL_FRAME_MS);
    t->chunk_ms = result == 0 ? o->chunk_ms : t->chunk_ms;
    if (result == 0 && (o->given & SHOAL_OPT_DEPTH || o->depth_min != t->depth_min ||
                        o->depth_max != t->depth_max))
        result = set_depth(t, w, o);
    if (result == 0 && o->given & SHOAL_OPT_OUTPUT)
        result = shoald_outputs_set(l, w, o);
    atomic_store(&l->out_step, shoald_lane_step_bytes(l->service->info, o));
    if (result < 0)
        shoald_track_fail_engine(l, w, result);
    else
        shoald_emit_changed(l, w, SHOAL_REASON_SET);
}

static void on_set(shoald_lane *l, shoald_bench *w, size_t size)
{
    shoald_track *t = l->track;
    shoald_change change = { 0 };
    shoald_queue_copy(&l->in, 0, &change, size);
    shoald_queue_drop(&l->in, size);
    t->next = l->options;
    shoald_change_apply(&change, &t->next);
    if (t->next.chunk_ms != t->chunk_ms)
        t->phase = SHOALD_TRACK_SET;
    else
        apply_set(l, w, &t->next);
}

/* Chunks of another length begin at once: what is there of the one under way is run first. */
static step_result set_chunk(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    int result = shoal_stream_flush(t->stream);
    if (result < 0) {
        shoald_track_fail_engine(l, w, result);
        return AGAIN;
    }
    if (shoal_stream_ready(t->stream))
        return AGAIN;
    t->phase = SHOALD_TRACK_RUN;
    apply_set(l, w, &t->next);
    return AGAIN;
}

/* Audio that can be used, but is hardly meant so. */
static void warn(shoald_lane *l, shoald_bench *w)
{
    shoal_error err;
    if (shoald_probe_warns(&l->track->in.probe, &err))
        shoald_emit_error(l, w, &err);
}

/* Nothing more comes for now. false: it was no audio as declared, and has been told so. */
static bool settle_intake(shoald_lane *l, shoald_bench *w)
{
    shoal_error err;
    if (shoald_intake_settle(&l->track->in, &l->options, &err) == 0) {
        warn(l, w);
        return true;
    }
    shoald_track_fail(l, w, &err);
    return false;
}

static void on_flush(shoald_lane *l, shoald_bench *w, size_t size)
{
    shoald_track *t = l->track;
    shoald_queue_copy(&l->in, 0, t->flush_id, size);
    shoald_queue_drop(&l->in, size);
    if (settle_intake(l, w))
        t->phase = SHOALD_TRACK_FLUSH;
}

/* Bytes after the last whole sample cannot be used; that must not go unsaid. */
static void report_torn_sample(shoald_lane *l, shoald_bench *w, const char *before)
{
    shoal_error err;
    int rest = shoald_intake_torn(&l->track->in, &l->options);
    if (rest == 0)
        return;
    shoal_error_set(&err, SHOAL_CODE_BAD_AUDIO_FORMAT, before,
                    "the audio ends in the middle of a sample: %d of its %d bytes came and were "
                    "left out; check format and channels, or that nothing was lost",
                    rest, shoald_lane_frame_bytes(&l->options));
    err.fatal = 0;
    shoald_emit_error(l, w, &err);
}

static void on_skip(shoald_lane *l, shoald_bench *w, size_t size)
{
    shoald_track *t = l->track;
    shoald_queue_copy(&l->in, 0, &t->skip, sizeof t->skip);
    shoald_queue_drop(&l->in, size);
    if (!settle_intake(l, w))
        return;
    report_torn_sample(l, w, "skip");
    t->phase = SHOALD_TRACK_DRAIN;
}

static void on_end(shoald_lane *l, shoald_bench *w, bool draining)
{
    l->track->draining = draining;
    if (!settle_intake(l, w))
        return;
    report_torn_sample(l, w, "end");
    l->track->phase = SHOALD_TRACK_DRAIN;
}

static void on_reply(shoald_lane *l, shoald_bench *w, size_t size, int close_code)
{
    shoald_queue_copy(&l->in, 0, w->scratch, size);
    shoald_queue_drop(&l->in, size);
    shoald_emit_text(l, w, w->scratch, size, close_code);
    if (close_code)
        l->track->phase = SHOALD_TRACK_OVER;
}

static step_result read_record(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    shoald_record r;
    if (!shoald_queue_peek(&l->in, &r))
        return EMPTY;
    shoald_queue_drop(&l->in, SHOALD_RECORD_BYTES);
    t->record_ns = r.time_ns;
    switch (r.kind) {
    case SHOALD_IN_AUDIO:
        shoald_intake_begin(&t->in, r.size);
        t->arrived_ns = r.time_ns;
        break;
    case SHOALD_IN_SET: on_set(l, w, r.size); break;
    case SHOALD_IN_FLUSH: on_flush(l, w, r.size); break;
    case SHOALD_IN_SKIP: on_skip(l, w, r.size); break;
    case SHOALD_IN_END: on_end(l, w, false); break;
    case SHOALD_IN_DRAIN: on_end(l, w, true); break;
    case SHOALD_IN_REPLY: on_reply(l, w, r.size, r.code); break;
    }
    return AGAIN;
}

/* ---- the end of a phase -------------------------------------------------------------- */

static step_result drain(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    shoal_error err;
    int drained = shoald_intake_drain(&t->in, &l->options, &err);
    int result = drained ? 0 : shoal_stream_finish(t->stream);
    if (drained < 0)
        shoald_track_fail(l, w, &err);
    else if (result < 0)
        shoald_track_fail_engine(l, w, result);
    else if (!drained)
        t->phase = SHOALD_TRACK_FINISH;
    return AGAIN;
}

/* All before the gap is said. Counters advance by it, and no less than to the next frame. */
static int go_on(shoald_lane *l)
{
    shoald_track *t = l->track;
    int64_t at, frame = l->service->info->frame_samples;
    int result = shoald_intake_skip(&t->in, &l->options, t->skip, &at);
    int64_t first = shoal_stream_next_frame(t->stream) * frame;
    t->skip = 0;
    t->phase = SHOALD_TRACK_RUN;
    if (result == 0)
        result = shoal_stream_resume(t->stream, at > first ? at : first);
    if (result < 0)
        return result;
    shoald_count(&l->totals.samples,
                 (uint64_t)shoal_stream_samples_done(t->stream) - atomic_load(&l->totals.samples));
    return shoald_outputs_restart(l);
}

static step_result finish(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    shoal_error err;
    shoald_outputs_settle(l, w, true);
    if (t->skip) {
        int result = go_on(l);
        if (result < 0)
            shoald_track_fail_engine(l, w, result);
        return AGAIN;
    }
    if (t->draining) {
        shoal_error_set(&err, SHOAL_CODE_DRAINING, NULL, NULL);
        shoald_track_fail(l, w, &err);
        return AGAIN;
    }
    shoald_emit_done(l, w);
    atomic_store(&l->totals.done, true);
    t->phase = SHOALD_TRACK_OVER;
    return AGAIN;
}

static step_result flush(shoald_lane *l, shoald_bench *w)
{
    shoal_stream *stream = l->track->stream;
    int result = shoal_stream_flush(stream);
    if (result < 0) {
        shoald_track_fail_engine(l, w, result);
        return AGAIN;
    }
    if (shoal_stream_ready(stream))
        return AGAIN;
    shoald_outputs_settle(l, w, false);
    shoald_emit_flushed(l, w);
    l->track->phase = SHOALD_TRACK_RUN;
    return AGAIN;
}

/* ---- steps --------------------------------------------------------------------------- */

/* Audio that has come, or the next record. */
static step_result take(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    shoal_error err;
    int result = shoald_intake_read(&t->in, &l->options, &l->in, w->scratch, &err);
    if (result < 0)
        shoald_track_fail(l, w, &err);
    else
        warn(l, w);
    return result ? AGAIN : read_record(l, w);
}

static step_result step(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    shoal_error err;
    if (t->phase == SHOALD_TRACK_NEW)
        return open_track(l, w);
    int fed = shoald_intake_feed(&t->in, &l->options, t->stream, &err);
    if (fed < 0)
        shoald_track_fail(l, w, &err);
    if (fed)
        return AGAIN;
    switch (t->phase) {
    case SHOALD_TRACK_FLUSH: return flush(l, w);
    case SHOALD_TRACK_SET: return set_chunk(l, w);
    case SHOALD_TRACK_DRAIN: return drain(l, w);
    case SHOALD_TRACK_FINISH: return finish(l, w);
    default: return take(l, w);
    }
}

/* Room for its taps in the worker's batch, also after a move to another worker. */
static bool has_taps(shoald_lane *l, shoald_bench *w)
{
    const shoald_outputs *all = &l->track->outputs;
    unsigned kinds = 0;
    for (int i = 1; i < all->count; i++)
        kinds |= all->at[i].kinds;
    int result = shoald_bench_reserve(w, kinds & ~SHOALD_LAYER_KINDS, kinds & SHOALD_LAYER_KINDS);
    if (result < 0)
        shoald_track_fail_engine(l, w, result);
    return result == 0;
}

/* Three a record: packets of 20 ms make a chunk of 160 within them. Of a chunk sent sample by
 * sample they are a hundredth, and whoever has one ready waits for no more than that. */
enum { STEPS = 64 };

shoald_track_state shoald_track_advance(shoald_lane *l, shoald_bench *w)
{
    shoald_track *t = l->track;
    for (int steps = 0; t->phase != SHOALD_TRACK_OVER; steps++) {
        if (shoald_queue_room(&l->out) < l->out_step)
            return SHOALD_BLOCKED;
        if (t->stream && shoal_stream_ready(t->stream))
            return has_taps(l, w) ? SHOALD_READY : SHOALD_IDLE;
        if (steps == STEPS)
            return SHOALD_MORE;
        if (step(l, w) == EMPTY)
            break;
    }
    return SHOALD_IDLE;
}

/* ---- results ------------------------------------------------------------------------- */

static uint32_t microseconds(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void count_result(shoald_lane *l, shoald_bench *w, const shoal_result *r, uint64_t end_ns)
{
    shoald_worker_stats *stats = &w->port->stats;
    uint64_t before = atomic_load(&l->totals.samples);
    uint64_t samples = (uint64_t)shoal_stream_samples_done(l->track->stream);
    shoald_count(&l->totals.samples, samples - before);
    shoald_count(&l->totals.frames, (uint64_t)r->frames);
    atomic_store_explicit(&l->totals.depth, r->depth, memory_order_relaxed);
    shoald_count(&stats->samples, samples - before);
    shoald_observe(&stats->depth, shoald_depth_bounds, SHOALD_DEPTH_BUCKETS, r->depth);
    shoald_observe(&stats->latency, shoald_latency_bounds, SHOALD_LATENCY_BUCKETS,
                   (double)(end_ns - l->track->arrived_ns) / 1e9);
}

void shoald_track_deliver(shoald_lane *l, shoald_bench *w, const shoal_result *r, uint64_t start_ns,
                          uint64_t end_ns)
{
    uint64_t arrived_ns = l->track->arrived_ns;
    count_result(l, w, r, end_ns);
    if (r->frames == 0 && r->mel_frames == 0)
        return;
    int result =
        shoald_outputs_deliver(l, w, (int)(r - w->results), microseconds(arrived_ns, start_ns),
                               microseconds(start_ns, end_ns));
    if (result < 0)
        shoald_track_fail_engine(l, w, result);
}

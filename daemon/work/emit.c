/* emit.c - encoders on the way out; see emit.h */
#include "work/emit.h"

#include "base/log.h"
#include "work/intake.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static shoal_buf scratch(shoald_bench *w)
{
    shoal_buf b;
    shoal_buf_wrap(&b, w->scratch, w->scratch_size);
    return b;
}

static void stop(shoald_lane *l)
{
    if (l->track)
        l->track->phase = SHOALD_TRACK_OVER;
}

/* The caller has made sure of room. If there is none all the same, that is a bug: nothing more can
 * be said in the ring, so the loop is asked to say it and to close. */
static void put(shoald_lane *l, shoald_bench *w, int kind, const void *bytes, size_t n,
                int close_code)
{
    shoald_record r = { (uint32_t)n, (uint16_t)kind, (uint16_t)close_code, uv_hrtime() };
    if (!shoald_queue_put(&l->out, &r, bytes)) {
        shoald_log(SHOALD_LOG_ERROR, "bug", "what=output_overflow session=%s size=%zu", l->id, n);
        atomic_store(&l->overflow, true);
        stop(l);
    }
    shoald_lane_report(l, w->port);
}

/* encoded: what an encoder returned */
static void put_encoded(shoald_lane *l, shoald_bench *w, int kind, const shoal_buf *b, int encoded,
                        int close_code)
{
    if (encoded == 0) {
        put(l, w, kind, b->data, b->size, close_code);
        return;
    }
    shoald_log(SHOALD_LOG_ERROR, "bug", "what=cannot_encode session=%s", l->id);
    static const char text[] = "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"a reply "
                               "could not be encoded; see the server's log\",\"fatal\":true,"
                               "\"retry\":true}";
    put(l, w, SHOALD_OUT_TEXT, text, sizeof text - 1,
        shoal_code_get_info(SHOAL_CODE_INTERNAL)->close_code);
    stop(l);
}

/* ---- ready --------------------------------------------------------------------------- */

void shoald_emit_ready(shoald_lane *l, shoald_bench *w)
{
    shoal_ready m;
    shoal_buf b = scratch(w);
    shoald_lane_tell(l, &l->options, shoal_stream_get_depth(l->track->stream), &m);
    put_encoded(l, w, SHOALD_OUT_READY, &b, shoal_ready_encode(&b, &m), 0);
}

/* ---- results ------------------------------------------------------------------------- */

/* At the very end exactly what was received, whatever the resampler's rounding. */
static uint64_t processed(const shoald_lane *l)
{
    const shoald_track *t = l->track;
    uint64_t received = shoald_intake_received(&l->track->in, l);
    uint64_t samples = atomic_load(&l->totals.samples) * (uint64_t)l->options.rate / SHOALD_RATE;
    bool all = t->phase == SHOALD_TRACK_FINISH && !t->skip && !shoal_stream_ready(t->stream);
    return samples < received && !all ? samples : received;
}

void shoald_emit_packet(shoald_lane *l, shoald_bench *w, shoal_packet *p, const float *values)
{
    shoald_track *t = l->track;
    shoal_buf b = scratch(w);
    p->seq = t->seq++;
    p->encoding = l->options.encoding;
    p->t0_ms = l->options.t0_ms;
    p->start_sample = shoal_frame_start_sample(p->first_frame, l->options.rate);
    p->received = shoald_intake_received(&t->in, l);
    p->processed = processed(l);
    p->flags |= t->phase != SHOALD_TRACK_RUN ? SHOAL_PACKET_CUT : 0;
    shoald_count(&l->totals.packets, 1);
    if (p->encoding == SHOAL_ENCODING_JSON)
        put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_packet_encode_json(&b, p, values), 0);
    else
        put_encoded(l, w, SHOALD_OUT_BINARY, &b, shoal_packet_encode(&b, p, values), 0);
}

/* Samples; before a flush, a skip and the end the last frame lasts into its padding, and so would
 * phones and speech. */
static uint64_t end_of_sound(const shoald_lane *l)
{
    return shoald_intake_heard(&l->track->in, &l->options);
}

static void fill_phone(shoal_wire_phone *to, const shoald_output *out, const shoal_model_info *m,
                       const shoal_phone *from, double sound_s)
{
    double frame_s = (double)m->frame_samples / m->rate;
    snprintf(to->phone, sizeof to->phone, "%s", m->labels[from->label]);
    to->start = fmin((double)(from->first_frame + out->decoder_base) * frame_s, sound_s);
    to->end = fmin((double)(from->end_frame + out->decoder_base) * frame_s, sound_s);
    to->confidence = from->confidence;
}

/* What the decoder has not made up its mind about, if the session wants to see it. */
static void fill_tentative(shoal_phones *m, const shoald_lane *l, shoald_bench *w,
                           const shoald_output *out, double sound_s)
{
    _Static_assert(SHOAL_MAX_TENTATIVE == SHOAL_DECODER_LAG + 1, "as many as a decoder gives");
    m->has_tentative = l->options.tentative == SHOAL_ON;
    m->tentative_count = m->has_tentative ? shoal_decoder_tentative(out->decoder, w->unsettled) : 0;
    for (int i = 0; i < m->tentative_count; i++) {
        fill_phone(&m->tentative[i].phone, out, l->service->info, &w->unsettled[i].phone, sound_s);
        m->tentative[i].stable_ms = w->unsettled[i].stood_frames * SHOAL_FRAME_MS;
    }
}

/* Settled-phone latency, in audio: what had been heard when a phone was told, from its end on. The
 * machine's pace has no part in it. r: what the decoder was given. */
static void observe_settled(const shoald_lane *l, shoald_bench *w, const shoald_output *out,
                            const shoal_result *r, int count)
{
    const shoal_model_info *m = l->service->info;
    double frame_s = (double)m->frame_samples / m->rate;
    double beyond_s = shoald_service_algorithmic_ms(m, 0) / 1e3;
    for (int i = 0; i < count; i++) {
        int64_t frames = r->first_frame + r->frames - out->decoder_base - w->decoded[i].end_frame;
        shoald_observe(&w->port->stats.settled, shoald_settled_bounds, SHOALD_SETTLED_BUCKETS,
                       (double)frames * frame_s + beyond_s);
    }
}

static void emit_phones(shoald_lane *l, shoald_bench *w, const shoald_output *out, int count)
{
    shoald_track *t = l->track;
    shoal_phones *m = &w->phones;
    shoal_buf b = scratch(w);
    m->seq = t->seq++;
    m->depth = out->depth;
    m->tap = out->tap;
    m->t0_ms = l->options.t0_ms;
    m->received = shoald_intake_received(&l->track->in, l);
    m->processed = processed(l);
    m->lag_ms = (int)((m->received - m->processed) * 1000 / (uint64_t)l->options.rate);
    m->count = count;
    double sound_s = (double)end_of_sound(l) / l->options.rate;
    for (int i = 0; i < count; i++)
        fill_phone(&m->phones[i], out, l->service->info, &w->decoded[i], sound_s);
    fill_tentative(m, l, w, out, sound_s);
    shoald_count(&l->totals.phones, (uint64_t)count);
    shoald_count(&w->port->stats.phones, (uint64_t)count);
    put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_phones_encode(&b, m), 0);
}

static void emit_activity(shoald_lane *l, shoald_bench *w, const shoald_output *out,
                          const shoal_activity_event *e)
{
    shoal_buf b = scratch(w);
    shoal_wire_activity m = {
        .seq = l->track->seq++,
        .depth = out->depth,
        .tap = out->tap,
        .t0_ms = l->options.t0_ms,
        .speech = e->speech,
        .frame = (uint64_t)e->frame,
        .sample = shoal_frame_start_sample((uint64_t)e->frame, l->options.rate),
        .received = shoald_intake_received(&l->track->in, l),
        .processed = processed(l),
    };
    if (m.sample > end_of_sound(l))
        m.sample = end_of_sound(l);
    m.time = (double)m.sample / l->options.rate;
    put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_activity_encode(&b, &m), 0);
}

/* An end whose begin was never told, because activity was not asked for then, is none. */
void shoald_emit_events(shoald_lane *l, shoald_bench *w, shoald_output *out,
                        const shoald_events *events)
{
    for (int i = 0; out->kinds & SHOAL_OUTPUT_ACTIVITY && i < events->count; i++) {
        const shoal_activity_event *e = &events->at[i];
        if (e->speech || out->told_speech)
            emit_activity(l, w, out, e);
        out->told_speech = e->speech;
    }
}

void shoald_emit_decoded(shoald_lane *l, shoald_bench *w, shoald_output *out, const shoal_result *r)
{
    if (out->decoder && r->frames) {
        int count =
            shoal_decoder_run(out->decoder, r->logp, r->frames, w->decoded, SHOAL_MAX_PHONES);
        observe_settled(l, w, out, r, count);
        emit_phones(l, w, out, count);
    }
}

void shoald_emit_last_phones(shoald_lane *l, shoald_bench *w, shoald_output *out)
{
    if (!out->decoder)
        return;
    int count = shoal_decoder_flush(out->decoder, w->decoded, SHOAL_MAX_PHONES);
    if (count > 0 || l->options.tentative == SHOAL_ON) /* which says that nothing is left */
        emit_phones(l, w, out, count);
}

/* ---- replies ------------------------------------------------------------------------- */

void shoald_emit_changed(shoald_lane *l, shoald_bench *w, shoal_reason reason)
{
    shoald_track *t = l->track;
    shoal_buf b = scratch(w);
    uint64_t frame = (uint64_t)shoal_stream_next_frame(t->stream);
    shoal_changed m = {
        .depth = shoal_stream_get_depth(t->stream),
        .depth_min = t->depth_min,
        .depth_max = t->depth_max,
        .from_frame = frame,
        .from_sample = shoal_frame_start_sample(frame, l->options.rate),
        .outputs = t->outputs.at[0].kinds,
        .reason = reason,
        .tap_count = t->outputs.count - 1,
        .chunk_ms = t->chunk_ms,
        .latency_ms = shoald_service_algorithmic_ms(l->service->info, t->chunk_ms),
    };
    for (int i = 0; i < m.tap_count; i++)
        m.taps[i] = shoald_output_tap(&t->outputs.at[i + 1]);
    put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_changed_encode(&b, &m), 0);
}

void shoald_emit_flushed(shoald_lane *l, shoald_bench *w)
{
    shoal_buf b = scratch(w);
    shoal_flushed m = {
        .received = shoald_intake_received(&l->track->in, l),
        .processed = processed(l),
        .frames = atomic_load(&l->totals.frames),
    };
    memcpy(m.id, l->track->flush_id, sizeof m.id);
    put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_flushed_encode(&b, &m), 0);
}

void shoald_emit_done(shoald_lane *l, shoald_bench *w)
{
    shoal_buf b = scratch(w);
    shoal_done m = {
        .received = shoald_intake_received(&l->track->in, l),
        .processed = processed(l),
        .frames = atomic_load(&l->totals.frames),
        .phones = atomic_load(&l->totals.phones),
        .packets = atomic_load(&l->totals.packets),
    };
    m.seconds = (double)m.received / l->options.rate;
    put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_done_encode(&b, &m), SHOAL_CLOSE_NORMAL);
}

void shoald_emit_error(shoald_lane *l, shoald_bench *w, const shoal_error *err)
{
    shoal_buf b = scratch(w);
    int close_code = err->fatal ? shoal_code_get_info(err->code)->close_code : 0;
    shoald_count(&w->port->stats.errors[err->code], 1);
    put_encoded(l, w, SHOALD_OUT_TEXT, &b, shoal_error_encode(&b, err), close_code);
}

void shoald_emit_text(shoald_lane *l, shoald_bench *w, const void *text, size_t n, int close_code)
{
    put(l, w, SHOALD_OUT_TEXT, text, n, close_code);
}

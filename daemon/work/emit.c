/* emit.c - encoders on the way out; see emit.h */
#include "work/emit.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

static shoal_buf scratch(shoald_worker *w)
{
    shoal_buf b;
    shoal_buf_wrap(&b, w->scratch, w->scratch_size);
    return b;
}

static void put(shoald_session *s, shoald_worker *w, int kind, const void *bytes, size_t n,
                int close_code)
{
    shoald_record r = { (uint32_t)n, (uint16_t)kind, (uint16_t)close_code, uv_hrtime() };
    if (!shoald_queue_put(&s->out, &r, bytes))
        shoald_log(SHOALD_LOG_ERROR, "bug", "what=output_overflow session=%s size=%zu", s->id, n);
    shoald_worker_report(w, s);
}

/* encoded: what an encoder returned */
static void put_encoded(shoald_session *s, shoald_worker *w, int kind, const shoal_buf *b,
                        int encoded, int close_code)
{
    if (encoded == 0) {
        put(s, w, kind, b->data, b->size, close_code);
        return;
    }
    shoald_log(SHOALD_LOG_ERROR, "bug", "what=cannot_encode session=%s", s->id);
    static const char text[] = "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"a reply "
                               "could not be encoded; see the server's log\",\"fatal\":true,"
                               "\"retry\":true}";
    put(s, w, SHOALD_OUT_TEXT, text, sizeof text - 1, 1011);
    s->track.phase = SHOALD_TRACK_OVER;
}

/* ---- ready --------------------------------------------------------------------------- */

static void fill_model(shoal_ready *m, const shoal_model_info *i)
{
    snprintf(m->server, sizeof m->server, "shoald %s", shoal_version());
    snprintf(m->model, sizeof m->model, "%s", i->name);
    snprintf(m->model_sha256, sizeof m->model_sha256, "%s", i->sha256);
    m->model_rate = i->rate;
    m->model_depth = i->depth;
    m->dim = i->dim;
    m->classes = i->classes;
    for (int c = 0; c < i->classes && c < SHOAL_MAX_CLASSES; c++)
        snprintf(m->labels[c], sizeof m->labels[c], "%s", i->labels[c]);
}

/* chunk + look-ahead + the mel window's overhang, rounded up */
static int latency_ms(const shoal_model_info *i, int chunk_ms)
{
    int samples = i->delay_frames * i->frame_samples + i->window_extra_samples;
    return chunk_ms + (samples * 1000 + i->rate - 1) / i->rate;
}

void shoald_emit_ready(shoald_session *s, shoald_worker *w)
{
    shoal_ready m = { 0 };
    shoal_buf b = scratch(w);
    fill_model(&m, w->info);
    snprintf(m.session, sizeof m.session, "%s", s->id);
    m.options = s->options;
    m.depth = shoal_stream_get_depth(s->track.stream);
    m.latency_ms = latency_ms(w->info, s->options.chunk_ms);
    m.max_message_bytes = s->max_message_bytes;
    m.max_backlog_ms = s->backlog_ms;
    m.idle_timeout_s = s->idle_timeout_s;
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_ready_encode(&b, &m), 0);
}

/* ---- results ------------------------------------------------------------------------- */

/* At the very end exactly what was received, whatever the resampler's rounding. */
static uint64_t processed(const shoald_session *s)
{
    const shoald_track *t = &s->track;
    uint64_t received = shoald_track_received(s);
    uint64_t samples = t->samples_done * (uint64_t)s->options.rate / 16000;
    bool all = t->phase == SHOALD_TRACK_FINISH && !shoal_stream_ready(t->stream);
    return samples < received && !all ? samples : received;
}

/* depth_before: of the output's last packet of this kind */
static void emit_packet(shoald_session *s, shoald_worker *w, shoal_packet *p, int *depth_before,
                        const float *values)
{
    shoald_track *t = &s->track;
    shoal_buf b = scratch(w);
    p->seq = t->seq++;
    t->packets++;
    p->flags = *depth_before && *depth_before != p->depth ? SHOAL_PACKET_NEW_DEPTH : 0;
    p->flags |= t->phase != SHOALD_TRACK_RUN ? SHOAL_PACKET_CUT : 0;
    *depth_before = p->depth;
    if (p->encoding == SHOAL_ENCODING_JSON)
        put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_packet_encode_json(&b, p, values), 0);
    else
        put_encoded(s, w, SHOALD_OUT_BINARY, &b, shoal_packet_encode(&b, p, values), 0);
}

static void fill_phone(shoal_wire_phone *to, const shoald_output *out, const shoald_worker *w,
                       const shoal_phone *from)
{
    double frame_s = (double)w->info->frame_samples / w->info->rate;
    snprintf(to->phone, sizeof to->phone, "%s", w->info->labels[from->label]);
    to->start = (double)(from->first_frame + out->decoder_base) * frame_s;
    to->end = (double)(from->end_frame + out->decoder_base) * frame_s;
    to->confidence = from->confidence;
}

static void emit_phones(shoald_session *s, shoald_worker *w, const shoald_output *out, int count)
{
    shoald_track *t = &s->track;
    shoal_phones *m = &w->phones;
    shoal_buf b = scratch(w);
    m->seq = t->seq++;
    m->depth = out->depth;
    m->tap = out->tap;
    m->received = shoald_track_received(s);
    m->processed = processed(s);
    m->lag_ms = (int)((m->received - m->processed) * 1000 / (uint64_t)s->options.rate);
    m->count = count;
    for (int i = 0; i < count; i++)
        fill_phone(&m->phones[i], out, w, &w->decoded[i]);
    t->phones += (uint64_t)count;
    shoald_count(&w->stats.phones, (uint64_t)count);
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_phones_encode(&b, m), 0);
}

/* At the very end speech may last into the padding of the last frame. */
static void emit_activity(shoald_session *s, shoald_worker *w, const shoald_output *out,
                          const shoal_activity_event *e)
{
    shoal_buf b = scratch(w);
    shoal_wire_activity m = {
        .seq = s->track.seq++,
        .depth = out->depth,
        .tap = out->tap,
        .speech = e->speech,
        .frame = (uint64_t)e->frame,
        .sample = shoal_frame_start_sample((uint64_t)e->frame, s->options.rate),
        .received = shoald_track_received(s),
        .processed = processed(s),
    };
    if (m.sample > m.received)
        m.sample = m.received;
    m.time = (double)m.sample / s->options.rate;
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_activity_encode(&b, &m), 0);
}

static void hear_activity(shoald_session *s, shoald_worker *w, const shoald_output *out,
                          const shoal_result *r)
{
    enum { MOST = SHOAL_MAX_CHUNK_MS / SHOAL_FRAME_MS };
    shoal_activity_event events[MOST];
    int count = shoal_activity_run(out->activity, r->logp, r->frames, events, MOST);
    for (int i = 0; i < count; i++)
        emit_activity(s, w, out, &events[i]);
}

void shoald_emit_result(shoald_session *s, shoald_worker *w, shoald_output *out,
                        const shoal_result *r, uint32_t queued_us, uint32_t computed_us)
{
    out->depth = r->depth;
    shoal_packet p = {
        .encoding = s->options.encoding,
        .depth = r->depth,
        .tap = out->tap,
        .first_frame = (uint64_t)r->first_frame,
        .start_sample = shoal_frame_start_sample((uint64_t)r->first_frame, s->options.rate),
        .received = shoald_track_received(s),
        .processed = processed(s),
        .frames = r->frames,
        .queued_us = queued_us,
        .computed_us = computed_us,
    };
    p.kind = SHOAL_KIND_POSTERIORS;
    p.dim = w->info->classes;
    if (out->kinds & SHOAL_OUTPUT_POSTERIORS)
        emit_packet(s, w, &p, &out->posteriors_depth, r->logp);
    p.kind = SHOAL_KIND_EMBEDDING;
    p.dim = w->info->dim;
    if (out->kinds & SHOAL_OUTPUT_EMBEDDING)
        emit_packet(s, w, &p, &out->embedding_depth, r->embedding);
    if (out->decoder)
        emit_phones(
            s, w, out,
            shoal_decoder_run(out->decoder, r->logp, r->frames, w->decoded, SHOAL_MAX_PHONES));
    if (out->activity)
        hear_activity(s, w, out, r);
}

void shoald_emit_last_phones(shoald_session *s, shoald_worker *w, shoald_output *out)
{
    if (!out->decoder)
        return;
    int count = shoal_decoder_flush(out->decoder, w->decoded, SHOAL_MAX_PHONES);
    if (count > 0)
        emit_phones(s, w, out, count);
}

void shoald_emit_last_activity(shoald_session *s, shoald_worker *w, shoald_output *out)
{
    shoal_activity_event e;
    if (out->activity && shoal_activity_finish(out->activity, &e))
        emit_activity(s, w, out, &e);
}

/* ---- replies ------------------------------------------------------------------------- */

void shoald_emit_changed(shoald_session *s, shoald_worker *w, shoal_reason reason)
{
    shoald_track *t = &s->track;
    shoal_buf b = scratch(w);
    uint64_t frame = (uint64_t)shoal_stream_next_frame(t->stream);
    shoal_options now = { 0 };
    shoald_outputs_tell(&t->outputs, &now);
    shoal_changed m = {
        .depth = shoal_stream_get_depth(t->stream),
        .depth_min = t->depth_min,
        .depth_max = t->depth_max,
        .from_frame = frame,
        .from_sample = shoal_frame_start_sample(frame, s->options.rate),
        .outputs = now.outputs,
        .reason = reason,
        .tap_count = now.tap_count,
    };
    memcpy(m.taps, now.taps, sizeof m.taps);
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_changed_encode(&b, &m), 0);
}

void shoald_emit_flushed(shoald_session *s, shoald_worker *w)
{
    shoal_buf b = scratch(w);
    shoal_flushed m = {
        .received = shoald_track_received(s),
        .processed = processed(s),
        .frames = s->track.frames,
    };
    memcpy(m.id, s->track.flush_id, sizeof m.id);
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_flushed_encode(&b, &m), 0);
}

void shoald_emit_done(shoald_session *s, shoald_worker *w)
{
    shoald_track *t = &s->track;
    shoal_buf b = scratch(w);
    shoal_done m = {
        .received = shoald_track_received(s),
        .processed = processed(s),
        .frames = t->frames,
        .phones = t->phones,
        .packets = t->packets,
    };
    m.seconds = (double)m.received / s->options.rate;
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_done_encode(&b, &m), SHOAL_CLOSE_NORMAL);
}

void shoald_emit_error(shoald_session *s, shoald_worker *w, const shoal_error *err)
{
    shoal_buf b = scratch(w);
    int close_code = err->fatal ? shoal_code_get_info(err->code)->close_code : 0;
    shoald_count(&w->stats.errors[err->code], 1);
    put_encoded(s, w, SHOALD_OUT_TEXT, &b, shoal_error_encode(&b, err), close_code);
}

void shoald_emit_text(shoald_session *s, shoald_worker *w, const void *text, size_t n,
                      int close_code)
{
    put(s, w, SHOALD_OUT_TEXT, text, n, close_code);
}

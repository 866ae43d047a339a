/* messages_server.c - what the server says: ready, phones, activity, changed, flushed, done, error
 *
 * Written without a DOM (text.c). phones is on the hot path: one for every chunk of every
 * client, into a buffer of SHOAL_PHONES_BYTES. pong is in messages_client.c beside ping,
 * features in packet_json.c.
 */
#include "protocol-internal.h"

#include <string.h>

typedef unsigned long long ull; /* for %llu */

static int valid_count(uint64_t v)
{
    return v <= SHOAL_MAX_COUNT;
}

/* A depth that was asked for with @; a session without any never sees the member. */
static void write_tap(shoal__text *t, int tap)
{
    if (tap)
        shoal__text_printf(t, ",\"tap\":%d", tap);
}

static void write_string(shoal__text *t, const char *key, const char *value)
{
    shoal__text_member(t, key);
    shoal__text_string(t, value);
}

/* ---- ready ---- */

static void write_labels(shoal__text *t, const shoal_ready *m)
{
    shoal__text_printf(t, ",\"labels\":[");
    for (int i = 0; i < m->classes; i++) {
        if (i)
            shoal__text_char(t, ',');
        shoal__text_string(t, m->labels[i]);
    }
    shoal__text_char(t, ']');
}

static void write_model(shoal__text *t, const shoal_ready *m)
{
    shoal__text_printf(t, ",\"model\":{\"rate\":%d,\"depth\":%d", m->model_rate, m->model_depth);
    write_string(t, "name", m->model);
    write_string(t, "sha256", m->model_sha256);
    shoal__text_char(t, '}');
}

static void write_engine(shoal__text *t, const shoal_ready *m)
{
    if (!*m->backend)
        return;
    shoal__text_printf(t, ",\"engine\":{\"same_in_any_company\":%s",
                       m->same_in_any_company ? "true" : "false");
    write_string(t, "precision", m->precision);
    write_string(t, "backend", m->backend);
    write_string(t, "kernels", m->kernels);
    if (*m->cache)
        write_string(t, "cache", m->cache);
    shoal__text_char(t, '}');
}

static void write_frame(shoal__text *t, int rate)
{
    shoal__text_printf(t, ",\"frame_ms\":%d,\"frame_seconds\":0.%03d,\"frame_samples\":",
                       SHOAL_FRAME_MS, SHOAL_FRAME_MS);
    shoal__text_decimal(t, shoal_frame_samples(rate), 2);
}

static void write_return(shoal__text *t, const shoal_ready *m)
{
    if (m->replay_ms)
        shoal__text_printf(t, ",\"replay_ms\":%d", m->replay_ms);
    if (*m->ticket)
        shoal__text_printf(t, ",\"resume\":\"%s\",\"park_ms\":%d", m->ticket, m->park_ms);
    if (m->is_resumed)
        shoal__text_printf(t, ",\"resumed\":{\"bytes\":%llu,\"requests\":%llu,\"received\":%llu}",
                           (ull)m->held_bytes, (ull)m->held_requests, (ull)m->held_samples);
}

static int return_valid(const shoal_ready *m)
{
    return shoal__ticket_valid(m->ticket) && m->replay_ms >= 0 && m->park_ms >= 0 &&
           valid_count(m->held_bytes) && valid_count(m->held_requests) &&
           valid_count(m->held_samples);
}

static int ready_valid(const shoal_ready *m)
{
    shoal_error err;
    shoal_options o = m->options;

    o.given = SHOAL_OPT_ALL;
    return m->classes >= 0 && m->classes <= SHOAL_MAX_CLASSES && m->dim >= 0 &&
           m->dim <= SHOAL_MAX_DIM && m->mels >= 0 && m->mels <= SHOAL_MAX_DIM &&
           valid_count(m->max_message_bytes) && return_valid(m) &&
           shoal_options_check(&o, &err) == 0;
}

int shoal_ready_encode(shoal_buf *out, const shoal_ready *m)
{
    shoal__text t;

    if (!ready_valid(m))
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"ready\",\"protocol\":\"%s\"", SHOAL_SUBPROTOCOL);
    write_string(&t, "server", m->server);
    write_string(&t, "session", m->session);
    write_model(&t, m);
    write_engine(&t, m);
    write_frame(&t, m->options.rate);
    shoal__text_printf(&t, ",\"dim\":%d,\"classes\":%d", m->dim, m->classes);
    if (m->mels)
        shoal__text_printf(&t, ",\"mels\":%d", m->mels);
    write_labels(&t, m);
    shoal__text_printf(&t, ",\"depth\":%d,\"latency_ms\":%d,\"options\":{", m->depth,
                       m->latency_ms);
    shoal__options_write_json(&t, &m->options, SHOAL_OPT_ALL);
    shoal__text_printf(&t,
                       "},\"limits\":{\"max_message_bytes\":%llu,\"max_backlog_ms\":%d,"
                       "\"idle_timeout_s\":%d}",
                       (ull)m->max_message_bytes, m->max_backlog_ms, m->idle_timeout_s);
    write_return(&t, m);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

/* ---- phones ---- */

/* Without the bracket that closes it. */
static void write_phone(shoal__text *t, const shoal_wire_phone *p)
{
    shoal__text_printf(t, "{\"phone\":");
    shoal__text_string(t, p->phone);
    shoal__text_printf(t, ",\"start\":");
    shoal__text_decimal(t, p->start, 3);
    shoal__text_printf(t, ",\"end\":");
    shoal__text_decimal(t, p->end, 3);
    shoal__text_printf(t, ",\"confidence\":");
    shoal__text_decimal(t, p->confidence, 4);
}

static void write_settled(shoal__text *t, const shoal_phones *m)
{
    shoal__text_printf(t, ",\"phones\":[");
    for (int i = 0; i < m->count; i++) {
        if (i)
            shoal__text_char(t, ',');
        write_phone(t, &m->phones[i]);
        shoal__text_char(t, '}');
    }
    shoal__text_char(t, ']');
}

static void write_tentative(shoal__text *t, const shoal_phones *m)
{
    if (!m->has_tentative)
        return;
    shoal__text_printf(t, ",\"tentative\":[");
    for (int i = 0; i < m->tentative_count; i++) {
        if (i)
            shoal__text_char(t, ',');
        write_phone(t, &m->tentative[i].phone);
        shoal__text_printf(t, ",\"stable_ms\":%d}", m->tentative[i].stable_ms);
    }
    shoal__text_char(t, ']');
}

int shoal_phones_encode(shoal_buf *out, const shoal_phones *m)
{
    shoal__text t;

    if (m->count < 0 || m->count > SHOAL_MAX_PHONES || m->tentative_count < 0 ||
        m->tentative_count > SHOAL_MAX_TENTATIVE)
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"phones\",\"seq\":%u,\"depth\":%d", m->seq, m->depth);
    write_tap(&t, m->tap);
    shoal__text_t0(&t, m->t0_ms);
    shoal__text_printf(&t, ",\"received\":%llu,\"processed\":%llu,\"lag_ms\":%d", (ull)m->received,
                       (ull)m->processed, m->lag_ms);
    write_settled(&t, m);
    write_tentative(&t, m);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

/* ---- the small ones ---- */

int shoal_activity_encode(shoal_buf *out, const shoal_wire_activity *m)
{
    shoal__text t;

    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"activity\",\"seq\":%u,\"depth\":%d", m->seq, m->depth);
    write_tap(&t, m->tap);
    shoal__text_t0(&t, m->t0_ms);
    shoal__text_printf(&t, ",\"state\":\"%s\",\"frame\":%llu,\"sample\":%llu,\"time\":",
                       m->speech ? "speech" : "silence", (ull)m->frame, (ull)m->sample);
    shoal__text_decimal(&t, m->time, 3);
    shoal__text_printf(&t, ",\"received\":%llu,\"processed\":%llu}", (ull)m->received,
                       (ull)m->processed);
    return shoal__text_end(&t);
}

int shoal_changed_encode(shoal_buf *out, const shoal_changed *m)
{
    shoal_options o = shoal_options_default();
    shoal_error err;
    shoal__text t;

    o.given = SHOAL_OPT_DEPTH | SHOAL_OPT_OUTPUT;
    o.depth_min = m->depth_min;
    o.depth_max = m->depth_max;
    o.outputs = m->outputs;
    o.tap_count = m->tap_count;
    memcpy(o.taps, m->taps, sizeof o.taps);
    if (shoal_options_check(&o, &err) < 0)
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t,
                       "{\"type\":\"changed\",\"depth\":%d,\"range\":[%d,%d],"
                       "\"from_frame\":%llu,\"from_sample\":%llu,\"reason\":\"%s\"",
                       m->depth, m->depth_min, m->depth_max, (ull)m->from_frame,
                       (ull)m->from_sample, m->reason == SHOAL_REASON_LOAD ? "load" : "set");
    shoal__options_write_json(&t, &o, SHOAL_OPT_OUTPUT);
    if (m->chunk_ms)
        shoal__text_printf(&t, ",\"chunk_ms\":%d,\"latency_ms\":%d", m->chunk_ms, m->latency_ms);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

int shoal_flushed_encode(shoal_buf *out, const shoal_flushed *m)
{
    shoal__text t;

    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"flushed\"");
    if (*m->id)
        write_string(&t, "id", m->id);
    shoal__text_printf(&t, ",\"received\":%llu,\"processed\":%llu,\"frames\":%llu}",
                       (ull)m->received, (ull)m->processed, (ull)m->frames);
    return shoal__text_end(&t);
}

int shoal_done_encode(shoal_buf *out, const shoal_done *m)
{
    shoal__text t;

    shoal__text_begin(&t, out);
    shoal__text_printf(&t,
                       "{\"type\":\"done\",\"received\":%llu,\"processed\":%llu,"
                       "\"frames\":%llu,\"phones\":%llu,\"packets\":%llu,\"seconds\":",
                       (ull)m->received, (ull)m->processed, (ull)m->frames, (ull)m->phones,
                       (ull)m->packets);
    shoal__text_decimal(&t, m->seconds, 3);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

int shoal_error_encode(shoal_buf *out, const shoal_error *m)
{
    shoal__text t;

    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"error\"");
    write_string(&t, "code", m->name);
    write_string(&t, "message", m->message);
    shoal__text_printf(&t, ",\"fatal\":%s,\"retry\":%s", m->fatal ? "true" : "false",
                       m->retry ? "true" : "false");
    if (m->retry_after_ms > 0)
        shoal__text_printf(&t, ",\"retry_after_ms\":%d", m->retry_after_ms);
    if (*m->ref)
        write_string(&t, "ref", m->ref);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

/* messages_server_in.c - what a client hears
 *
 * Read leniently where a newer server may say more (unknown members and types are skipped),
 * strictly in what is used: every number has a range, every string a size, so that a client
 * may index arrays with what it gets.
 */
#include "protocol-internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_tap(shoal__in *in)
{
    return json_object_get(in->obj, "tap") ? shoal__in_int(in, "tap", 1, SHOAL_MAX_DEPTH) : 0;
}

/* Words of a server come to terminals and into lines of files. */
static void in_word(shoal__in *in, const char *key, char *dst, size_t size)
{
    shoal__in_string(in, key, dst, size);
    if (shoal_text_tame(dst))
        shoal__in_fail(in, key, "without control characters");
}

/* ---- ready ---- */

static void read_labels(shoal_ready *m, shoal__in *in)
{
    const json_t *list = shoal__in_array(in, "labels");

    if (list && json_array_size(list) != (size_t)m->classes)
        shoal__in_fail(in, "labels", "an array of as many labels as there are classes");
    for (int i = 0; i < m->classes && !in->failed; i++) {
        const json_t *j = json_array_get(list, (size_t)i);
        if (json_is_string(j) && json_string_length(j) <= SHOAL_MAX_LABEL)
            strcpy(m->labels[i], json_string_value(j));
        else
            shoal__in_fail(in, "labels", "an array of strings of at most 15 bytes");
        if (shoal_text_tame(m->labels[i]))
            shoal__in_fail(in, "labels", "without control characters");
    }
}

static void read_model(shoal_ready *m, shoal__in *in)
{
    shoal__in model = shoal__in_object(in, "model");

    in_word(&model, "name", m->model, sizeof m->model);
    in_word(&model, "sha256", m->model_sha256, sizeof m->model_sha256);
    m->model_rate = shoal__in_int(&model, "rate", 1, 1000000);
    m->model_depth = shoal__in_int(&model, "depth", 1, SHOAL_MAX_DEPTH);
    in->failed |= model.failed;
}

static void read_engine(shoal_ready *m, shoal__in *in)
{
    if (!json_object_get(in->obj, "engine"))
        return;
    shoal__in engine = shoal__in_object(in, "engine");
    m->same_in_any_company = shoal__in_bool(&engine, "same_in_any_company");
    in_word(&engine, "precision", m->precision, sizeof m->precision);
    in_word(&engine, "backend", m->backend, sizeof m->backend);
    in_word(&engine, "kernels", m->kernels, sizeof m->kernels);
    if (json_object_get(engine.obj, "cache"))
        in_word(&engine, "cache", m->cache, sizeof m->cache);
    in->failed |= engine.failed;
}

static void read_limits(shoal_ready *m, shoal__in *in)
{
    shoal__in limits = shoal__in_object(in, "limits");

    m->max_message_bytes = shoal__in_count(&limits, "max_message_bytes", SHOAL_MAX_COUNT);
    m->max_backlog_ms = shoal__in_int(&limits, "max_backlog_ms", 0, INT_MAX);
    m->idle_timeout_s = shoal__in_int(&limits, "idle_timeout_s", 0, INT_MAX);
    in->failed |= limits.failed;
}

static void read_return(shoal_ready *m, shoal__in *in)
{
    if (json_object_get(in->obj, "replay_ms"))
        m->replay_ms = shoal__in_int(in, "replay_ms", 0, INT_MAX);
    if (json_object_get(in->obj, "resume")) {
        in_word(in, "resume", m->ticket, sizeof m->ticket);
        m->park_ms = shoal__in_int(in, "park_ms", 0, INT_MAX);
    }
    if (!shoal__ticket_valid(m->ticket))
        shoal__in_fail(in, "resume", "32 hex digits");
    if (!json_object_get(in->obj, "resumed"))
        return;
    shoal__in held = shoal__in_object(in, "resumed");
    m->is_resumed = 1;
    m->held_bytes = shoal__in_count(&held, "bytes", SHOAL_MAX_COUNT);
    m->held_requests = shoal__in_count(&held, "requests", SHOAL_MAX_COUNT);
    m->held_samples = shoal__in_count(&held, "received", SHOAL_MAX_COUNT);
    in->failed |= held.failed;
}

static void read_ready(shoal_ready *m, shoal__in *in)
{
    shoal__in options = shoal__in_object(in, "options");

    shoal__options_read_json(&m->options, &options);
    in->failed |= options.failed;
    in_word(in, "server", m->server, sizeof m->server);
    in_word(in, "session", m->session, sizeof m->session);
    read_model(m, in);
    read_engine(m, in);
    m->dim = shoal__in_int(in, "dim", 0, SHOAL_MAX_DIM);
    m->classes = shoal__in_int(in, "classes", 0, SHOAL_MAX_CLASSES);
    if (json_object_get(in->obj, "mels"))
        m->mels = shoal__in_int(in, "mels", 0, SHOAL_MAX_DIM);
    read_labels(m, in);
    m->depth = shoal__in_int(in, "depth", 1, SHOAL_MAX_DEPTH);
    m->latency_ms = shoal__in_int(in, "latency_ms", 0, INT_MAX);
    read_limits(m, in);
    read_return(m, in);
}

/* ---- phones ---- */

static void read_phone(shoal_wire_phone *p, shoal__in *in)
{
    in_word(in, "phone", p->phone, sizeof p->phone);
    p->start = shoal__in_real(in, "start", 0, 1e9);
    p->end = shoal__in_real(in, "end", 0, 1e9);
    p->confidence = shoal__in_real(in, "confidence", 0, 1);
}

static void read_settled(shoal_phones *m, shoal__in *in)
{
    const json_t *list = shoal__in_array(in, "phones");

    if (json_array_size(list) > SHOAL_MAX_PHONES)
        shoal__in_fail(in, "phones", "an array of at most 256 phones");
    for (size_t i = 0; !in->failed && i < json_array_size(list); i++) {
        shoal__in one = { json_array_get(list, i), in->err, 0 };
        read_phone(&m->phones[i], &one);
        in->failed |= one.failed;
        m->count++;
    }
}

/* Only sessions that have asked for it see this member. */
static void read_tentative(shoal_phones *m, shoal__in *in)
{
    if (!json_object_get(in->obj, "tentative"))
        return;
    m->has_tentative = 1;
    const json_t *list = shoal__in_array(in, "tentative");
    if (json_array_size(list) > SHOAL_MAX_TENTATIVE)
        shoal__in_fail(in, "tentative", "an array of at most 65 phones");
    for (size_t i = 0; !in->failed && i < json_array_size(list); i++) {
        shoal__in one = { json_array_get(list, i), in->err, 0 };
        read_phone(&m->tentative[i].phone, &one);
        m->tentative[i].stable_ms = shoal__in_int(&one, "stable_ms", 0, INT_MAX);
        in->failed |= one.failed;
        m->tentative_count++;
    }
}

static void read_phones(shoal_phones *m, shoal__in *in)
{
    m->seq = (uint32_t)shoal__in_count(in, "seq", UINT32_MAX);
    m->depth = shoal__in_int(in, "depth", 0, SHOAL_MAX_DEPTH);
    m->tap = read_tap(in);
    m->t0_ms = shoal__in_t0(in);
    m->received = shoal__in_count(in, "received", SHOAL_MAX_COUNT);
    m->processed = shoal__in_count(in, "processed", SHOAL_MAX_COUNT);
    m->lag_ms = shoal__in_int(in, "lag_ms", INT_MIN, INT_MAX);
    read_settled(m, in);
    read_tentative(m, in);
}

/* ---- activity ---- */

static void read_activity(shoal_wire_activity *m, shoal__in *in)
{
    char state[32];

    m->seq = (uint32_t)shoal__in_count(in, "seq", UINT32_MAX);
    m->depth = shoal__in_int(in, "depth", 1, SHOAL_MAX_DEPTH);
    m->tap = read_tap(in);
    m->t0_ms = shoal__in_t0(in);
    in_word(in, "state", state, sizeof state);
    m->speech = strcmp(state, "speech") == 0;
    if (!m->speech && strcmp(state, "silence") != 0)
        shoal__in_fail(in, "state", "speech or silence");
    m->frame = shoal__in_count(in, "frame", SHOAL_MAX_COUNT);
    m->sample = shoal__in_count(in, "sample", SHOAL_MAX_COUNT);
    m->time = shoal__in_real(in, "time", 0, 1e9);
    m->received = shoal__in_count(in, "received", SHOAL_MAX_COUNT);
    m->processed = shoal__in_count(in, "processed", SHOAL_MAX_COUNT);
}

/* ---- features ---- */

static float value_of(const json_t *j, shoal__in *in)
{
    if (!json_is_number(j) && !json_is_null(j))
        shoal__in_fail(in, "data", "rows of numbers or null");
    return json_is_null(j) ? strtof("nan", NULL) : (float)json_number_value(j);
}

static void read_row(float *row, int dim, const json_t *j, shoal__in *in)
{
    if (!json_is_array(j) || json_array_size(j) != (size_t)dim)
        shoal__in_fail(in, "data", "rows of as many values as dim says");
    for (int i = 0; i < dim && !in->failed; i++)
        row[i] = value_of(json_array_get(j, (size_t)i), in);
}

static void read_data(shoal_server_msg *m, shoal__in *in)
{
    shoal_packet *p = &m->u.features;
    const json_t *data = shoal__in_array(in, "data");

    if (data && json_array_size(data) != (size_t)p->frames)
        shoal__in_fail(in, "data", "as many rows as frames says");
    if (in->failed)
        return;
    /* A value takes two bytes of text at least, so this refuses nothing that is real. */
    if ((size_t)p->frames * (size_t)p->dim > SHOAL_MAX_SERVER_TEXT_BYTES / 2)
        shoal__in_fail(in, "data", "smaller");
    else if (!(m->owned = malloc(((size_t)p->frames * (size_t)p->dim + 1) * sizeof(float))))
        shoal__in_fail(in, "data", "smaller: there is no memory for it");
    for (size_t i = 0; i < (size_t)p->frames && !in->failed; i++)
        read_row(m->owned + i * (size_t)p->dim, p->dim, json_array_get(data, i), in);
    p->payload = m->owned;
}

static void read_kind(shoal_packet *p, shoal__in *in)
{
    char kind[32];

    in_word(in, "kind", kind, sizeof kind);
    p->kind = SHOAL_KIND_POSTERIORS;
    while (shoal_kind_name(p->kind) && strcmp(shoal_kind_name(p->kind), kind) != 0)
        p->kind = (shoal_kind)(p->kind + 1);
    if (!shoal_kind_name(p->kind))
        shoal__in_fail(in, "kind", "posteriors, embedding, hidden or mel");
}

static uint32_t read_row_ms(shoal__in *in)
{
    uint64_t ms = SHOAL_FRAME_MS;

    if (json_object_get(in->obj, "row_ms"))
        ms = shoal__in_count(in, "row_ms", UINT32_MAX);
    if (ms == 0)
        shoal__in_fail(in, "row_ms", "above 0");
    return (uint32_t)ms;
}

static void read_features(shoal_server_msg *m, shoal__in *in)
{
    shoal_packet *p = &m->u.features;

    read_kind(p, in);
    p->encoding = SHOAL_ENCODING_JSON;
    p->seq = (uint32_t)shoal__in_count(in, "seq", UINT32_MAX);
    p->depth = shoal__in_int(in, "depth", p->kind < SHOAL_KIND_HIDDEN ? 1 : 0, SHOAL_MAX_DEPTH);
    p->tap = read_tap(in);
    p->row_ms = read_row_ms(in);
    p->t0_ms = shoal__in_t0(in);
    p->flags = (unsigned)shoal__in_int(in, "flags", 0, UINT16_MAX);
    p->first_frame = shoal__in_count(in, "first_frame", SHOAL_MAX_COUNT);
    p->start_sample = shoal__in_count(in, "start_sample", SHOAL_MAX_COUNT);
    p->received = shoal__in_count(in, "received", SHOAL_MAX_COUNT);
    p->processed = shoal__in_count(in, "processed", SHOAL_MAX_COUNT);
    p->frames = shoal__in_int(in, "frames", 0, SHOAL_MAX_PACKET_FRAMES);
    p->dim = shoal__in_int(in, "dim", 1, SHOAL_MAX_DIM);
    p->queued_us = (uint32_t)shoal__in_count(in, "queued_us", UINT32_MAX);
    p->computed_us = (uint32_t)shoal__in_count(in, "computed_us", UINT32_MAX);
    read_data(m, in);
}

/* ---- the small ones ---- */

/* Not through the options table: "reason" and "range" are not options, "output" is. */
static void read_changed(shoal_changed *m, shoal__in *in)
{
    char reason[32];
    shoal_options o = shoal_options_default();
    const json_t *range = shoal__in_array(in, "range");
    const json_t *output = shoal__in_array(in, "output");

    if (in->failed || shoal__options_add_json(&o, "depth", range, in->err) < 0 ||
        shoal__options_add_json(&o, "output", output, in->err) < 0 ||
        shoal_options_check(&o, in->err) < 0) {
        in->failed = 1;
        return;
    }
    m->depth_min = o.depth_min;
    m->depth_max = o.depth_max;
    m->outputs = o.outputs;
    m->tap_count = o.tap_count;
    memcpy(m->taps, o.taps, sizeof m->taps);
    m->depth = shoal__in_int(in, "depth", 1, SHOAL_MAX_DEPTH);
    m->from_frame = shoal__in_count(in, "from_frame", SHOAL_MAX_COUNT);
    m->from_sample = shoal__in_count(in, "from_sample", SHOAL_MAX_COUNT);
    in_word(in, "reason", reason, sizeof reason);
    m->reason = strcmp(reason, "load") == 0 ? SHOAL_REASON_LOAD : SHOAL_REASON_SET;
    if (json_object_get(in->obj, "chunk_ms")) {
        m->chunk_ms = shoal__in_int(in, "chunk_ms", 0, INT_MAX);
        m->latency_ms = shoal__in_int(in, "latency_ms", 0, INT_MAX);
    }
}

static void read_id(char *id, shoal__in *in)
{
    if (json_object_get(in->obj, "id"))
        shoal__in_string(in, "id", id, SHOAL_MAX_ID + 1);
}

static void read_flushed(shoal_flushed *m, shoal__in *in)
{
    read_id(m->id, in);
    m->received = shoal__in_count(in, "received", SHOAL_MAX_COUNT);
    m->processed = shoal__in_count(in, "processed", SHOAL_MAX_COUNT);
    m->frames = shoal__in_count(in, "frames", SHOAL_MAX_COUNT);
}

static void read_done(shoal_done *m, shoal__in *in)
{
    m->received = shoal__in_count(in, "received", SHOAL_MAX_COUNT);
    m->processed = shoal__in_count(in, "processed", SHOAL_MAX_COUNT);
    m->frames = shoal__in_count(in, "frames", SHOAL_MAX_COUNT);
    m->phones = shoal__in_count(in, "phones", SHOAL_MAX_COUNT);
    m->packets = shoal__in_count(in, "packets", SHOAL_MAX_COUNT);
    m->seconds = shoal__in_real(in, "seconds", 0, 1e9);
}

static void read_error(shoal_error *m, shoal__in *in)
{
    const char *message = json_string_value(json_object_get(in->obj, "message"));

    shoal__in_string(in, "code", m->name, sizeof m->name);
    m->code = shoal_code_from_name(m->name);
    /* For people only: a long one is cut, and made fit for a terminal, not refused. */
    snprintf(m->message, sizeof m->message, "%s", message ? message : "");
    shoal_text_tame(m->message);
    m->fatal = shoal__in_bool(in, "fatal");
    m->retry = shoal__in_bool(in, "retry");
    if (json_object_get(in->obj, "retry_after_ms"))
        m->retry_after_ms = shoal__in_int(in, "retry_after_ms", 0, INT_MAX);
    if (json_object_get(in->obj, "ref"))
        shoal__in_string(in, "ref", m->ref, sizeof m->ref);
    shoal_text_tame(m->name);
    shoal_text_tame(m->ref);
}

/* ---- all ---- */

static void read_body(shoal_server_msg *m, shoal__in *in)
{
    switch (m->type) {
    case SHOAL_MSG_READY: read_ready(&m->u.ready, in); break;
    case SHOAL_MSG_PHONES: read_phones(&m->u.phones, in); break;
    case SHOAL_MSG_ACTIVITY: read_activity(&m->u.activity, in); break;
    case SHOAL_MSG_FEATURES: read_features(m, in); break;
    case SHOAL_MSG_CHANGED: read_changed(&m->u.changed, in); break;
    case SHOAL_MSG_FLUSHED: read_flushed(&m->u.flushed, in); break;
    case SHOAL_MSG_DONE: read_done(&m->u.done, in); break;
    case SHOAL_MSG_PONG: read_id(m->u.id, in); break;
    case SHOAL_MSG_ERROR: read_error(&m->u.error, in); break;
    default: break;
    }
}

int shoal_server_msg_decode(shoal_server_msg *m, const char *text, size_t n, shoal_error *err)
{
    json_t *obj = shoal__json_load(text, n, SHOAL_MAX_SERVER_TEXT_BYTES, err);
    shoal__in in = { obj, err, 0 };

    if (!obj)
        return -1;
    memset(m, 0, sizeof *m);
    m->type = shoal__msg_type_of(obj, SHOAL_MSG_READY, SHOAL_MSG_ERROR);
    if (!json_is_string(json_object_get(obj, "type")))
        shoal__in_fail(&in, "type", "a string");
    read_body(m, &in);
    json_decref(obj);
    if (in.failed)
        shoal_server_msg_free(m);
    return in.failed ? -1 : 0;
}

void shoal_server_msg_free(shoal_server_msg *m)
{
    free(m->owned);
    m->owned = NULL;
}

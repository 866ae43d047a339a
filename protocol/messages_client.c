/* messages_client.c - start, set, flush, skip, end, ping
 *
 *     {"type":"start","format":"s16le","rate":16000,"depth":[3,12],"output":["phones"]}
 *     {"type":"set","depth":6}
 *     {"type":"skip","samples":48000}
 *     {"type":"flush","id":"7"}    {"type":"end"}    {"type":"ping","id":"1"}
 *
 * Read strictly: a member that a message does not have is an error that names it.
 */
#include "protocol-internal.h"

#include <string.h>

static const char *const type_names[] = {
    [SHOAL_MSG_UNKNOWN] = "unknown",   [SHOAL_MSG_START] = "start",
    [SHOAL_MSG_SET] = "set",           [SHOAL_MSG_FLUSH] = "flush",
    [SHOAL_MSG_SKIP] = "skip",         [SHOAL_MSG_END] = "end",
    [SHOAL_MSG_PING] = "ping",         [SHOAL_MSG_READY] = "ready",
    [SHOAL_MSG_PHONES] = "phones",     [SHOAL_MSG_ACTIVITY] = "activity",
    [SHOAL_MSG_FEATURES] = "features", [SHOAL_MSG_CHANGED] = "changed",
    [SHOAL_MSG_FLUSHED] = "flushed",   [SHOAL_MSG_DONE] = "done",
    [SHOAL_MSG_PONG] = "pong",         [SHOAL_MSG_ERROR] = "error",
};

#define TYPES (int)(sizeof type_names / sizeof *type_names)

const char *shoal_msg_type_name(shoal_msg_type t)
{
    return type_names[(unsigned)t < (unsigned)TYPES ? t : SHOAL_MSG_UNKNOWN];
}

shoal_msg_type shoal__msg_type_of(const json_t *obj, shoal_msg_type first, shoal_msg_type last)
{
    const char *name = json_string_value(json_object_get(obj, "type"));

    for (int t = first; name && t <= (int)last; t++)
        if (strcmp(name, type_names[t]) == 0)
            return (shoal_msg_type)t;
    return SHOAL_MSG_UNKNOWN;
}

/* ---- encode ---- */

static int encode_start(shoal_buf *out, const shoal_options *o)
{
    shoal__text t;
    shoal_error err;

    if (shoal_options_check(o, &err) < 0)
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"start\"");
    shoal__options_write_json(&t, o, o->given);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

/* Only what a set may hold has to be right in o: start from the default to be checked alone. */
static int encode_set(shoal_buf *out, const shoal_options *o)
{
    shoal__text t;
    shoal_error err;
    shoal_options only = shoal_options_default();

    only.given = o->given;
    if (o->given & SHOAL_OPT_DEPTH)
        only.depth_min = o->depth_min, only.depth_max = o->depth_max;
    if (o->given & SHOAL_OPT_OUTPUT)
        shoal_options_copy_outputs(&only, o);
    if (o->given & SHOAL_OPT_CHUNK_MS)
        only.chunk_ms = o->chunk_ms;
    if (!o->given || o->given & ~(unsigned)SHOAL_OPT_SETTABLE ||
        shoal_options_check(&only, &err) < 0)
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"set\"");
    shoal__options_write_json(&t, &only, only.given);
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

static int encode_id(shoal_buf *out, shoal_msg_type type, const char *id)
{
    shoal__text t;

    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"%s\"", type_names[type]);
    if (*id) {
        shoal__text_printf(&t, ",\"id\":");
        shoal__text_string(&t, id);
    }
    shoal__text_char(&t, '}');
    return shoal__text_end(&t);
}

static int encode_skip(shoal_buf *out, uint64_t samples)
{
    shoal__text t;

    if (samples < 1 || samples > SHOAL_MAX_COUNT)
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "{\"type\":\"skip\",\"samples\":%llu}", (unsigned long long)samples);
    return shoal__text_end(&t);
}

int shoal_client_msg_encode(shoal_buf *out, const shoal_client_msg *m)
{
    switch (m->type) {
    case SHOAL_MSG_START: return encode_start(out, &m->options);
    case SHOAL_MSG_SET: return encode_set(out, &m->options);
    case SHOAL_MSG_FLUSH:
    case SHOAL_MSG_PING: return encode_id(out, m->type, m->id);
    case SHOAL_MSG_SKIP: return encode_skip(out, m->samples);
    case SHOAL_MSG_END: return encode_id(out, m->type, "");
    default: return -1;
    }
}

int shoal_pong_encode(shoal_buf *out, const char *id)
{
    return encode_id(out, SHOAL_MSG_PONG, id);
}

/* ---- decode ---- */

static int decode_start(shoal_client_msg *m, json_t *obj, shoal_error *err)
{
    const char *key;
    json_t *value;

    json_object_foreach(obj, key, value) if (strcmp(key, "type") != 0 &&
                                             shoal__options_add_json(&m->options, key, value, err) <
                                                 0) return -1;
    return shoal_options_finish(&m->options, err);
}

/* A refused set leaves the session as it was, so its errors are not fatal. */
static int fail_set(shoal_error *err, const char *ref, const char *why)
{
    if (why)
        shoal_error_set(err, SHOAL_CODE_BAD_OPTION, ref, "%s%s%s", ref, *ref ? ": " : "", why);
    err->fatal = 0;
    return -1;
}

static int decode_set(shoal_client_msg *m, json_t *obj, shoal_error *err)
{
    const char *key;
    json_t *value;

    json_object_foreach(obj, key, value)
    {
        if (strcmp(key, "type") == 0)
            continue;
        if (shoal__options_add_json(&m->options, key, value, err) < 0)
            return fail_set(err, NULL, NULL);
        if (m->options.given & ~(unsigned)SHOAL_OPT_SETTABLE)
            return fail_set(err, key,
                            "cannot change while the session runs, only depth, output and "
                            "chunk_ms can: open a new connection");
    }
    if (!m->options.given)
        return fail_set(err, "", "set changes nothing: give depth, output or chunk_ms");
    return shoal_options_finish(&m->options, err) < 0 ? fail_set(err, NULL, NULL) : 0;
}

static int decode_skip(shoal_client_msg *m, json_t *obj, shoal_error *err)
{
    shoal__in in = { obj, err, 0 };
    const char *key;
    json_t *value;

    json_object_foreach(obj, key,
                        value) if (strcmp(key, "type") != 0 && strcmp(key, "samples") != 0)
    {
        shoal_error_set(err, SHOAL_CODE_BAD_MESSAGE, key,
                        "skip has no member like that, only \"type\" and \"samples\"");
        return -1;
    }
    m->samples = shoal__in_count(&in, "samples", SHOAL_MAX_COUNT);
    if (!in.failed && m->samples == 0)
        shoal__in_fail(&in, "samples", "above 0: how many of one channel were left out");
    return in.failed ? -1 : 0;
}

static int decode_id(shoal_client_msg *m, json_t *obj, shoal_error *err)
{
    shoal__in in = { obj, err, 0 };
    const char *key;
    json_t *value;

    json_object_foreach(obj, key, value)
    {
        int is_id = m->type != SHOAL_MSG_END && strcmp(key, "id") == 0;
        if (is_id)
            shoal__in_string(&in, key, m->id, sizeof m->id);
        else if (strcmp(key, "type") != 0)
            shoal_error_set(err, SHOAL_CODE_BAD_MESSAGE, key, "%s has no member like that, only %s",
                            type_names[m->type],
                            m->type == SHOAL_MSG_END ? "\"type\"" : "\"type\" and \"id\"");
        else
            continue;
        if (in.failed || !is_id)
            return -1;
    }
    return 0;
}

static int fail_type(const json_t *obj, shoal_error *err)
{
    char shown[48];
    const char *name = json_string_value(json_object_get(obj, "type"));

    shoal__printable(shown, sizeof shown, name ? name : "", name ? strlen(name) : 0);
    shoal_error_set(
        err, SHOAL_CODE_BAD_MESSAGE, shown,
        name ? "there is no message of type \"%s\": send start, set, flush, skip, end or ping"
             : "\"type\" is missing or not a string%s: send start, set, flush, skip, "
               "end or ping",
        shown);
    return -1;
}

int shoal_client_msg_decode(shoal_client_msg *m, const char *text, size_t n, shoal_error *err)
{
    json_t *obj = shoal__json_load(text, n, SHOAL_MAX_TEXT_BYTES, err);
    int rc;

    if (!obj)
        return -1;
    *m = (shoal_client_msg){ .options = shoal_options_default() };
    m->type = shoal__msg_type_of(obj, SHOAL_MSG_START, SHOAL_MSG_PING);
    switch (m->type) {
    case SHOAL_MSG_START: rc = decode_start(m, obj, err); break;
    case SHOAL_MSG_SET: rc = decode_set(m, obj, err); break;
    case SHOAL_MSG_SKIP: rc = decode_skip(m, obj, err); break;
    case SHOAL_MSG_UNKNOWN: rc = fail_type(obj, err); break;
    default: rc = decode_id(m, obj, err); break;
    }
    json_decref(obj);
    return rc;
}

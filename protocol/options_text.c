/* options_text.c - options as a URL query and as members of a JSON message
 *
 * Reading JSON checks the type of a member, writes it in the query's text form and hands it to
 * shoal_options_add; so "depth":[3,12] and depth=3-12 are the same thing by construction.
 */
#include "protocol-internal.h"

#include <stdio.h>
#include <string.h>

/* ---- query in ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decode n bytes into dst of the same size; returns the length, or -1. */
static int percent_decode(char *dst, const char *s, size_t n)
{
    int len = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            dst[len++] = s[i];
            continue;
        }
        if (n - i < 3 || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0)
            return -1;
        dst[len++] = (char)(hex(s[i + 1]) << 4 | hex(s[i + 2]));
        i += 2;
    }
    return len;
}

static int add_pair(shoal_options *o, const char *pair, size_t n, shoal_error *err)
{
    char text[SHOAL_MAX_QUERY_BYTES], shown[64];
    const char *eq = memchr(pair, '=', n);
    size_t raw_name = eq ? (size_t)(eq - pair) : n;
    size_t raw_value = eq ? n - raw_name - 1 : 0;
    int name = percent_decode(text, pair, raw_name);
    int value = name < 0 || !eq ? 0 : percent_decode(text + name, eq + 1, raw_value);

    if (name < 0 || value < 0) {
        shoal__printable(shown, sizeof shown, pair, n);
        shoal_error_set(err, SHOAL_CODE_BAD_OPTION, NULL,
                        "\"%s\" is not percent-encoded correctly: %% needs two hex digits", shown);
        return -1;
    }
    return shoal_options_add(o, text, (size_t)name, text + name, (size_t)value, err);
}

shoal__span shoal__query_begin(const char *query, size_t n)
{
    size_t mark = n && *query == '?';

    return (shoal__span){ query + mark, n - mark };
}

int shoal__query_next(shoal__span *rest, shoal__span *pair)
{
    while (rest->n && *rest->at == '&')
        rest->at++, rest->n--;
    if (!rest->n)
        return 0;
    const char *amp = memchr(rest->at, '&', rest->n);
    *pair = (shoal__span){ rest->at, amp ? (size_t)(amp - rest->at) : rest->n };
    rest->at += pair->n;
    rest->n -= pair->n;
    return 1;
}

int shoal_options_parse_query(shoal_options *o, const char *query, size_t n, shoal_error *err)
{
    shoal__span rest = shoal__query_begin(query, n), pair;

    *o = shoal_options_default();
    if (n > SHOAL_MAX_QUERY_BYTES) {
        shoal_error_set(err, SHOAL_CODE_BAD_OPTION, NULL,
                        "the URL query has %zu bytes, at most %d are allowed", n,
                        SHOAL_MAX_QUERY_BYTES);
        return -1;
    }
    while (shoal__query_next(&rest, &pair))
        if (add_pair(o, pair.at, pair.n, err) < 0)
            return -1;
    return shoal_options_finish(o, err);
}

static int begins_with(const shoal__span *pair, const char *name)
{
    size_t n = strlen(name);

    return pair->n >= n && memcmp(pair->at, name, n) == 0;
}

int shoal_options_parse_model(shoal_options *o, const char *query, size_t n, shoal_error *err)
{
    enum { MOST = SHOAL_MAX_QUERY_BYTES }; /* longer ones are wrong anyway */
    shoal__span rest = shoal__query_begin(query, n), pair;

    *o = shoal_options_default();
    while (shoal__query_next(&rest, &pair))
        if ((begins_with(&pair, "model=") || begins_with(&pair, "program=")) &&
            add_pair(o, pair.at, pair.n < MOST ? pair.n : MOST, err) < 0)
            return -1;
    return 0;
}

/* ---- query and JSON out ---- */

/* a,b@4 or "a","b@4"; depth -1: no @; *sep goes before the next one */
static void write_outputs_of(shoal__text *t, const shoal__option *row, unsigned outputs, int depth,
                             const char *quote, const char **sep)
{
    for (int i = 0; row->names[i]; i++) {
        if (!(outputs & 1u << i))
            continue;
        shoal__text_printf(t, "%s%s%s", *sep, quote, row->names[i]);
        if (depth >= 0)
            shoal__text_printf(t, "@%d", depth);
        shoal__text_printf(t, "%s", quote);
        *sep = ",";
    }
}

static void write_outputs(shoal__text *t, const shoal_options *o, const shoal__option *row,
                          const char *quote)
{
    const char *sep = "";

    write_outputs_of(t, row, o->outputs, -1, quote, &sep);
    for (int i = 0; i < o->tap_count; i++)
        write_outputs_of(t, row, o->taps[i].outputs, o->taps[i].depth, quote, &sep);
}

/* 6, or a range between the given brackets: 3-12, [3,12] */
static void write_depth(shoal__text *t, const shoal_options *o, const char *open, const char *sep,
                        const char *close)
{
    if (o->depth_min == o->depth_max)
        shoal__text_printf(t, "%d", o->depth_min);
    else
        shoal__text_printf(t, "%s%d%s%d%s", open, o->depth_min, sep, o->depth_max, close);
}

static void write_query_value(shoal__text *t, const shoal_options *o, const shoal__option *row)
{
    int v = shoal__option_get(o, row);

    switch (row->kind) {
    case SHOAL__INT: shoal__text_printf(t, "%d", v); break;
    case SHOAL__NAME: shoal__text_printf(t, "%s", row->names[v]); break;
    case SHOAL__DEPTH: write_depth(t, o, "", "-", ""); break;
    case SHOAL__OUTPUT: write_outputs(t, o, row, ""); break;
    case SHOAL__PROGRAM:
    case SHOAL__MODEL: shoal__text_printf(t, "%s", shoal__option_word(o, row)); break;
    case SHOAL__CHANNEL: shoal__text_printf(t, "%s", row->names[v]); break;
    case SHOAL__TIME: shoal__text_ms(t, o->t0_ms); break;
    }
}

static void write_json_value(shoal__text *t, const shoal_options *o, const shoal__option *row)
{
    int v = shoal__option_get(o, row);

    switch (row->kind) {
    case SHOAL__INT: shoal__text_printf(t, "%d", v); break;
    case SHOAL__NAME: shoal__text_printf(t, "\"%s\"", row->names[v]); break;
    case SHOAL__DEPTH: write_depth(t, o, "[", ",", "]"); break;
    case SHOAL__OUTPUT:
        shoal__text_char(t, '[');
        write_outputs(t, o, row, "\"");
        shoal__text_char(t, ']');
        break;
    case SHOAL__PROGRAM:
    case SHOAL__MODEL: shoal__text_printf(t, "\"%s\"", shoal__option_word(o, row)); break;
    case SHOAL__CHANNEL: shoal__text_printf(t, "\"%s\"", row->names[v]); break;
    case SHOAL__TIME: shoal__text_ms(t, o->t0_ms); break;
    }
}

/* No name is no option, and no time. */
static int is_written(const shoal_options *o, const shoal__option *row, unsigned which)
{
    const char *word = shoal__option_word(o, row);

    if (row->kind == SHOAL__TIME && !o->t0_ms)
        return 0;
    return which & row->bit && (!word || *word);
}

int shoal_options_encode_query(shoal_buf *out, const shoal_options *o)
{
    shoal__text t;
    shoal_error err;
    const char *sep = "";

    if (shoal_options_check(o, &err) < 0)
        return -1;
    shoal__text_begin(&t, out);
    for (const shoal__option *row = shoal__options; row->name; row++) {
        if (!is_written(o, row, o->given))
            continue;
        shoal__text_printf(&t, "%s%s=", sep, row->name);
        write_query_value(&t, o, row);
        sep = "&";
    }
    return shoal__text_end(&t);
}

void shoal__options_write_json(shoal__text *t, const shoal_options *o, unsigned which)
{
    for (const shoal__option *row = shoal__options; row->name; row++) {
        if (!is_written(o, row, which))
            continue;
        shoal__text_member(t, row->name);
        write_json_value(t, o, row);
    }
}

/* ---- JSON in ---- */

typedef struct value_text {
    char s[SHOAL_MAX_QUERY_BYTES];
    size_t n;
    int bad;
} value_text;

static void text_add(value_text *v, const char *s, size_t n)
{
    if (n > sizeof v->s - v->n)
        v->bad = 1;
    else
        memcpy(v->s + v->n, s, n), v->n += n;
}

static void text_integer(value_text *v, const json_t *j)
{
    char s[32];

    if (!json_is_integer(j)) {
        v->bad = 1;
        return;
    }
    snprintf(s, sizeof s, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    text_add(v, s, strlen(s));
}

static void text_string(value_text *v, const json_t *j)
{
    if (json_is_string(j) && !strchr(json_string_value(j), ','))
        text_add(v, json_string_value(j), json_string_length(j));
    else
        v->bad = 1;
}

static void text_channel(value_text *v, const json_t *j)
{
    if (json_is_integer(j))
        text_integer(v, j);
    else
        text_string(v, j);
}

/* Without a comma, whatever the locale says. */
static void text_time(value_text *v, const json_t *j)
{
    char s[32];
    double x = json_is_number(j) ? json_number_value(j) : -1;

    if (!(x > 0 && x < 1e10)) {
        v->bad = 1;
        return;
    }
    long long ms = (long long)(x * 1000 + 0.5);
    snprintf(s, sizeof s, "%lld.%03lld", ms / 1000, ms % 1000);
    text_add(v, s, strlen(s));
}

static void text_depth(value_text *v, const json_t *j)
{
    if (!json_is_array(j)) {
        text_integer(v, j);
        return;
    }
    v->bad |= json_array_size(j) != 2;
    text_integer(v, json_array_get(j, 0));
    text_add(v, "-", 1);
    text_integer(v, json_array_get(j, 1));
}

static void text_output(value_text *v, const json_t *j)
{
    if (!json_is_array(j)) {
        text_string(v, j);
        return;
    }
    for (size_t i = 0; i < json_array_size(j); i++) {
        if (i)
            text_add(v, ",", 1);
        text_string(v, json_array_get(j, i));
    }
}

static void text_of(value_text *v, enum shoal__option_kind kind, const json_t *j)
{
    switch (kind) {
    case SHOAL__INT: text_integer(v, j); break;
    case SHOAL__PROGRAM:
    case SHOAL__MODEL:
    case SHOAL__NAME: text_string(v, j); break;
    case SHOAL__DEPTH: text_depth(v, j); break;
    case SHOAL__OUTPUT: text_output(v, j); break;
    case SHOAL__CHANNEL: text_channel(v, j); break;
    case SHOAL__TIME: text_time(v, j); break;
    }
}

static int fail_json(shoal_error *err, const shoal__option *row, const json_t *value)
{
    char shown[48], allowed[160];
    int quoted = json_is_string(value) &&
                 (row->kind == SHOAL__INT || row->kind == SHOAL__DEPTH || row->kind == SHOAL__TIME);

    if (json_dumpb(value, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT) < sizeof shown) {
        size_t n = json_dumpb(value, shown, sizeof shown - 1, JSON_ENCODE_ANY | JSON_COMPACT);
        shown[n] = '\0';
    } else {
        snprintf(shown, sizeof shown, "a long value");
    }
    snprintf(allowed, sizeof allowed, "%s%s", row->allowed,
             quoted ? ", a number without quotes" : "");
    shoal_error_set_option(err, row->name, shown, allowed);
    return -1;
}

int shoal__options_add_json(shoal_options *o, const char *key, const json_t *value,
                            shoal_error *err)
{
    const shoal__option *row = shoal__options;
    value_text v = { .n = 0 };

    while (row->name && strcmp(row->name, key) != 0)
        row++;
    if (row->name) {
        text_of(&v, row->kind, value);
        if (v.bad)
            return fail_json(err, row, value);
    }
    return shoal_options_add(o, key, strlen(key), v.s, v.n, err);
}

void shoal__options_read_json(shoal_options *o, shoal__in *in)
{
    *o = shoal_options_default();
    for (const shoal__option *row = shoal__options; row->name && !in->failed; row++) {
        const json_t *value = json_object_get(in->obj, row->name);
        if (!value && !row->always)
            continue; /* of a server that does not have it yet */
        if (!value)
            shoal__in_fail(in, row->name, "there");
        else if (shoal__options_add_json(o, row->name, value, in->err) < 0)
            in->failed = 1;
    }
    if (!in->failed && shoal_options_finish(o, in->err) < 0)
        in->failed = 1;
}

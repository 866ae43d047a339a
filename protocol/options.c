/* options.c - what a session asks for: read from a URL query or a start message
 *
 * Both ways end in shoal_options_add: a JSON value is turned into the query's text form after
 * its JSON type was checked (options_text.c), so the two cannot drift apart. The rows are in
 * options_table.c.
 */
#include "protocol-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shoal_options_copy_outputs(shoal_options *to, const shoal_options *from)
{
    to->outputs = from->outputs;
    to->tap_count = from->tap_count;
    memcpy(to->taps, from->taps, sizeof to->taps);
}

unsigned shoal_options_all_outputs(const shoal_options *o)
{
    unsigned all = o->outputs;
    for (int i = 0; i < o->tap_count; i++)
        all |= o->taps[i].outputs;
    return all;
}

/* ---- values ---- */

int shoal__option_get(const shoal_options *o, const shoal__option *row)
{
    int v;
    memcpy(&v, (const char *)o + row->offset, sizeof v);
    return v;
}

const char *shoal__option_word(const shoal_options *o, const shoal__option *row)
{
    int is_word = row->kind == SHOAL__PROGRAM || row->kind == SHOAL__MODEL;
    return is_word ? (const char *)o + row->offset : NULL;
}

static void option_set(shoal_options *o, const shoal__option *row, int v)
{
    memcpy((char *)o + row->offset, &v, sizeof v);
}

/* Decimal digits only, at most 9 of them; -1 for anything else. */
static int parse_int(const char *s, size_t n)
{
    int v = 0;

    if (n == 0 || n > 9)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

static int find_name(const char *const *names, const char *s, size_t n)
{
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0)
            return i;
    return -1;
}

static int int_allowed(const shoal__option *row, int v)
{
    return v >= row->min && v <= row->max && v % row->step == 0;
}

static int depth_allowed(int min, int max)
{
    return min >= 1 && min <= max && max <= SHOAL_MAX_DEPTH;
}

/* "6", "3-12", "3..12" */
static int parse_depth(shoal_options *o, const char *s)
{
    size_t first = strspn(s, "0123456789");
    const char *rest = s + first;
    size_t dash = *rest == '-' ? 1 : strncmp(rest, "..", 2) == 0 ? 2 : 0;
    int min = parse_int(s, first);
    int max = *rest ? parse_int(rest + dash, strlen(rest + dash)) : min;

    if ((*rest && !dash) || !depth_allowed(min, max))
        return -1;
    o->depth_min = min;
    o->depth_max = max;
    return 0;
}

/* The outputs of a depth, made if need be where it belongs; NULL if there is no room. */
static unsigned *outputs_at(shoal_options *o, int depth)
{
    int i = 0;

    while (i < o->tap_count && o->taps[i].depth < depth)
        i++;
    if (i < o->tap_count && o->taps[i].depth == depth)
        return &o->taps[i].outputs;
    if (o->tap_count == SHOAL_MAX_TAPS)
        return NULL;
    memmove(&o->taps[i + 1], &o->taps[i], (size_t)(o->tap_count++ - i) * sizeof *o->taps);
    o->taps[i] = (shoal_tap){ depth, 0 };
    return &o->taps[i].outputs;
}

/* Log-mels come before all layers, and what the first one reads is no output but hidden. */
static int tap_allowed(int depth, unsigned outputs)
{
    unsigned there = SHOAL_OUTPUT_ALL & ~(unsigned)SHOAL_OUTPUT_MEL;

    return depth >= 0 && depth <= SHOAL_MAX_DEPTH && outputs && !(outputs & ~there) &&
           (depth > 0 || outputs == SHOAL_OUTPUT_HIDDEN);
}

/* "phones" or "phones@4" */
static int add_output(shoal_options *o, const shoal__option *row, const char *s, size_t n)
{
    const char *at = memchr(s, '@', n);
    int i = find_name(row->names, s, at ? (size_t)(at - s) : n);
    int depth = at ? parse_int(at + 1, n - (size_t)(at + 1 - s)) : 0;
    unsigned *outputs;

    if (i < 0 || (at && !tap_allowed(depth, 1u << i)))
        return -1;
    outputs = at ? outputs_at(o, depth) : &o->outputs;
    if (!outputs || *outputs & 1u << i)
        return -1;
    *outputs |= 1u << i;
    return 0;
}

/* "phones@4,posteriors" */
static int parse_output(shoal_options *o, const shoal__option *row, const char *s)
{
    shoal_options said = { 0 };

    for (;; s++) {
        size_t n = strcspn(s, ",");
        if (add_output(&said, row, s, n) < 0)
            return -1;
        s += n;
        if (!*s)
            break;
    }
    shoal_options_copy_outputs(o, &said);
    return 0;
}

static int program_allowed(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n >= 1 && n <= SHOAL_MAX_PROGRAM && !s[n];
}

static size_t model_name_length(const char *s)
{
    return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
}

int shoal_model_name_allowed(const char *name)
{
    size_t n = model_name_length(name);
    return n >= 1 && n <= SHOAL_MAX_MODEL_NAME && !name[n];
}

/* "base", "base@0123abcd" */
static int model_allowed(const char *s)
{
    size_t name = model_name_length(s), digits;

    if (s[name] != '@')
        return shoal_model_name_allowed(s);
    digits = strspn(s + name + 1, "0123456789abcdef");
    return name >= 1 && name <= SHOAL_MAX_MODEL_NAME && digits >= SHOAL_MIN_MODEL_DIGITS &&
           digits <= 64 && !s[name + 1 + digits];
}

static int word_allowed(const shoal__option *row, const char *s)
{
    return row->kind == SHOAL__MODEL ? model_allowed(s) : program_allowed(s);
}

static int parse_word(shoal_options *o, const shoal__option *row, const char *s)
{
    if (!word_allowed(row, s))
        return -1;
    memcpy((char *)o + row->offset, s, strlen(s) + 1);
    return 0;
}

/* "left", "2" */
static int parse_channel(const shoal__option *row, const char *s)
{
    int named = find_name(row->names, s, strlen(s)), v = parse_int(s, strlen(s));

    return named >= 0 ? named : v >= 1 && v <= row->max ? v : -1;
}

/* Seconds with as many decimals as one likes; three of them count. */
static int parse_time(shoal_options *o, const char *s)
{
    size_t whole = strspn(s, "0123456789"), n = whole;
    int64_t ms = 0;

    if (s[n] == '.')
        n += 1 + strspn(s + n + 1, "0123456789");
    if (whole < 1 || whole > 10 || s[n] || n == whole + 1)
        return -1;
    for (size_t i = 0; i < whole; i++)
        ms = ms * 10 + (s[i] - '0');
    for (size_t i = whole + 1; i < whole + 4; i++)
        ms = ms * 10 + (i < n ? s[i] - '0' : 0);
    if (ms < 1)
        return -1;
    o->t0_ms = ms;
    return 0;
}

static int parse_value(shoal_options *o, const shoal__option *row, const char *s)
{
    int v = -1;

    switch (row->kind) {
    case SHOAL__DEPTH: return parse_depth(o, s);
    case SHOAL__OUTPUT: return parse_output(o, row, s);
    case SHOAL__PROGRAM:
    case SHOAL__MODEL: return parse_word(o, row, s);
    case SHOAL__TIME: return parse_time(o, s);
    case SHOAL__CHANNEL: v = parse_channel(row, s); break;
    case SHOAL__INT:
        v = parse_int(s, strlen(s));
        if (!int_allowed(row, v))
            return -1;
        break;
    case SHOAL__NAME: v = find_name(row->names, s, strlen(s)); break;
    }
    if (v < 0)
        return -1;
    option_set(o, row, v);
    return 0;
}

/* ---- one option ---- */

static const shoal__option *find_row(const char *name, size_t n)
{
    for (const shoal__option *row = shoal__options; row->name; row++)
        if (strlen(row->name) == n && memcmp(row->name, name, n) == 0)
            return row;
    return NULL;
}

/* "format, rate, channels..." */
static void list_names(char *out, size_t size)
{
    size_t at = 0;

    for (const shoal__option *row = shoal__options; row->name && at < size; row++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", row->name);
}

static int fail_unknown(shoal_error *err, const char *name, size_t n)
{
    char shown[48], names[SHOAL_MAX_ERROR_TEXT + 1];

    shoal__printable(shown, sizeof shown, name, n);
    list_names(names, sizeof names);
    shoal_error_set(err, SHOAL_CODE_BAD_OPTION, shown, "unknown option \"%s\": there are %s", shown,
                    names);
    return -1;
}

int shoal_options_add(shoal_options *o, const char *name, size_t name_len, const char *value,
                      size_t value_len, shoal_error *err)
{
    const shoal__option *row = find_row(name, name_len);
    char text[SHOAL_MAX_QUERY_BYTES], shown[64];

    if (!row)
        return fail_unknown(err, name, name_len);
    if (o->given & row->bit) {
        shoal_error_set(err, SHOAL_CODE_BAD_OPTION, row->name, "%s is given twice: say it once",
                        row->name);
        return -1;
    }
    shoal__printable(shown, sizeof shown, value, value_len);
    if (value_len < sizeof text && !memchr(value, '\0', value_len)) {
        memcpy(text, value, value_len);
        text[value_len] = '\0';
        if (parse_value(o, row, text) == 0) {
            o->given |= row->bit;
            return 0;
        }
    }
    shoal_error_set_option(err, row->name, shown, row->allowed);
    return -1;
}

/* ---- all together ---- */

static int opus_rate(int rate)
{
    return rate == 8000 || rate == 12000 || rate == 16000 || rate == 24000 || rate == 48000;
}

static int default_rate(shoal_format f)
{
    return f == SHOAL_FORMAT_MULAW || f == SHOAL_FORMAT_ALAW ? 8000
           : f == SHOAL_FORMAT_OPUS                          ? 48000
                                                             : 16000;
}

static int fail_value(shoal_error *err, const char *name, int v, const char *allowed)
{
    char text[16];

    snprintf(text, sizeof text, "%d", v);
    shoal_error_set_option(err, name, text, allowed);
    return -1;
}

/* No output may ask for more layers than the session runs. */
static int check_taps(const shoal_options *o, shoal_error *err)
{
    shoal_tap deepest = o->tap_count ? o->taps[o->tap_count - 1] : (shoal_tap){ 0 };
    char value[32], allowed[64];

    if (!(o->given & SHOAL_OPT_DEPTH) || deepest.depth <= o->depth_max)
        return 0;
    snprintf(value, sizeof value, "%s@%d", shoal_output_name(deepest.outputs & -deepest.outputs),
             deepest.depth);
    snprintf(allowed, sizeof allowed, "depths up to %d, for that is what depth says", o->depth_max);
    shoal_error_set_option(err, "output", value, allowed);
    return -1;
}

static int check_channel(const shoal_options *o, shoal_error *err)
{
    char allowed[48];

    if (o->channel <= o->channels)
        return 0;
    snprintf(allowed, sizeof allowed,
             o->channels == 1 ? "mix or left with channels=1" : "mix or 1..%d with channels=%d",
             o->channels, o->channels);
    shoal_error_set_option(err, "channel", shoal_channel_name(o->channel), allowed);
    return -1;
}

/* A margin lies in the pause that ends speech, and a cut leaves room for one on both sides. */
static int check_utterances(const shoal_options *o, shoal_error *err)
{
    int least = 2 * o->activity_hangover_ms + o->activity_pad_ms + SHOAL_FRAME_MS;
    char allowed[96];

    least = least > SHOAL_MIN_ACTIVITY_MAX_MS ? least : SHOAL_MIN_ACTIVITY_MAX_MS;
    snprintf(allowed, sizeof allowed, "at most activity_hangover_ms, which is %d",
             o->activity_hangover_ms);
    if (o->activity_pad_ms > o->activity_hangover_ms)
        return fail_value(err, "activity_pad_ms", o->activity_pad_ms, allowed);
    snprintf(allowed, sizeof allowed, "%d at least with this hangover and pad, or 0 (never)",
             least);
    if (o->activity_max_ms && o->activity_max_ms < least)
        return fail_value(err, "activity_max_ms", o->activity_max_ms, allowed);
    return 0;
}

int shoal_options_finish(shoal_options *o, shoal_error *err)
{
    if (!(o->given & SHOAL_OPT_RATE))
        o->rate = default_rate(o->format);
    if (check_taps(o, err) < 0)
        return -1;
    if (check_channel(o, err) < 0 || check_utterances(o, err) < 0)
        return -1;
    if (o->pool == SHOAL_POOL_UTTERANCE && o->every > 1)
        return fail_value(err, "every", o->every, "1 with pool=utterance, or leave pool out");
    if (o->format != SHOAL_FORMAT_OPUS)
        return 0;
    if (!opus_rate(o->rate))
        return fail_value(err, "rate", o->rate, "8000, 12000, 16000, 24000 or 48000 with opus");
    if (o->channels > 2)
        return fail_value(err, "channels", o->channels, "1 or 2 with opus");
    return 0;
}

static int outputs_allowed(const shoal_options *o)
{
    if (o->outputs & ~(unsigned)SHOAL_OUTPUT_ALL || o->tap_count < 0 ||
        o->tap_count > SHOAL_MAX_TAPS)
        return 0;
    for (int i = 0; i < o->tap_count; i++) {
        const shoal_tap *t = &o->taps[i];
        if (!tap_allowed(t->depth, t->outputs) || (i && t->depth <= t[-1].depth))
            return 0;
    }
    return o->outputs || o->tap_count;
}

static int row_allowed(const shoal_options *o, const shoal__option *row)
{
    int v = shoal__option_get(o, row), n = 0;
    const char *word = shoal__option_word(o, row);

    if (word) /* "" in a server's reply: it does not say which */
        return !*word || word_allowed(row, word);
    if (row->kind == SHOAL__DEPTH)
        return depth_allowed(o->depth_min, o->depth_max) ||
               (!(o->given & row->bit) && o->depth_min == 0 && o->depth_max == 0);
    if (row->kind == SHOAL__TIME) /* 0 in a server's reply: it has not been told */
        return o->t0_ms >= 0 && o->t0_ms <= SHOAL_MAX_T0_MS;
    if (row->bit == SHOAL_OPT_LEFT_MS && v == -1)
        return !(o->given & row->bit);
    if (row->kind == SHOAL__INT)
        return int_allowed(row, v);
    if (row->kind == SHOAL__OUTPUT)
        return outputs_allowed(o);
    while (row->names[n])
        n++;
    return v >= 0 && v < n;
}

static int fail_row(shoal_error *err, const shoal_options *o, const shoal__option *row)
{
    char shown[64];
    const char *word = shoal__option_word(o, row);

    if (!word)
        return fail_value(err, row->name,
                          row->kind == SHOAL__DEPTH ? o->depth_min : shoal__option_get(o, row),
                          row->allowed);
    shoal__printable(shown, sizeof shown, word, strnlen(word, sizeof shown));
    shoal_error_set_option(err, row->name, shown, row->allowed);
    return -1;
}

int shoal_options_check(const shoal_options *o, shoal_error *err)
{
    shoal_options copy = *o;

    for (const shoal__option *row = shoal__options; row->name; row++)
        if (!row_allowed(o, row))
            return fail_row(err, o, row);
    return shoal_options_finish(&copy, err);
}

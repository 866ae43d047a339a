/* options_table.c - the options of a session: names, kinds, ranges, defaults
 *
 * A new option is a new row here plus a field in shoal_options. options.c reads and checks what the
 * rows say, options_text.c writes it. A new one has no ALWAYS: servers that are older tell nothing
 * of it in `ready`, and their clients may be newer.
 */
#include "protocol-internal.h"

#include <stddef.h>

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

static const char *const format_names[] = { "s16le", "f32le", "mulaw", "alaw", "opus", NULL };
static const char *const attention_names[] = { "own", "reuse", NULL };
static const char *const encoding_names[] = { "json", "f32", "f16", NULL };
static const char *const switch_names[] = { "off", "on", NULL };
static const char *const pool_names[] = { "none", "utterance", NULL };
static const char *const channel_names[] = { "mix", "left", "right", "3", "4",
                                             "5",   "6",    "7",     "8", NULL };
static const char *const precision_names[] = { "auto", "fp32", "bf16", "int8", NULL };
static const char *const output_names[] = { "phones", "posteriors", "embedding", "activity",
                                            "hidden", "mel",        NULL };

#define AT(field) offsetof(shoal_options, field)
#define ALWAYS    1 /* in every `ready` */

const shoal__option shoal__options[] = {
    { "format", SHOAL_OPT_FORMAT, SHOAL__NAME, AT(format), 0, 0, 0, format_names,
      "s16le, f32le, mulaw, alaw or opus", ALWAYS },
    { "rate", SHOAL_OPT_RATE, SHOAL__INT, AT(rate), SHOAL_MIN_RATE, SHOAL_MAX_RATE, 1, NULL,
      "8000..48000 (Hz)", ALWAYS },
    { "channels", SHOAL_OPT_CHANNELS, SHOAL__INT, AT(channels), 1, SHOAL_MAX_CHANNELS, 1, NULL,
      "1..8", ALWAYS },
    { "depth", SHOAL_OPT_DEPTH, SHOAL__DEPTH, 0, 1, SHOAL_MAX_DEPTH, 1, NULL,
      "a layer count 1..255 or a range min-max (in JSON [min, max])", ALWAYS },
    { "chunk_ms", SHOAL_OPT_CHUNK_MS, SHOAL__INT, AT(chunk_ms), SHOAL_MIN_CHUNK_MS,
      SHOAL_MAX_CHUNK_MS, SHOAL_FRAME_MS, NULL, "20..1280 in steps of 20", ALWAYS },
    { "left_ms", SHOAL_OPT_LEFT_MS, SHOAL__INT, AT(left_ms), 0, SHOAL_MAX_LEFT_MS, SHOAL_FRAME_MS,
      NULL, "0..5120 in steps of 20", ALWAYS },
    { "attention", SHOAL_OPT_ATTENTION, SHOAL__NAME, AT(attention), 0, 0, 0, attention_names,
      "own or reuse", ALWAYS },
    { "output", SHOAL_OPT_OUTPUT, SHOAL__OUTPUT, AT(outputs), 0, 0, 0, output_names,
      "one or several of phones, posteriors, embedding, activity, hidden, mel, each with a depth "
      "of its own (phones@4, hidden@0, but not mel) or without, each once, at most 16 such depths",
      ALWAYS },
    { "encoding", SHOAL_OPT_ENCODING, SHOAL__NAME, AT(encoding), 0, 0, 0, encoding_names,
      "f32, f16 or json", ALWAYS },
    { "activity_threshold", SHOAL_OPT_ACTIVITY_THRESHOLD, SHOAL__INT, AT(activity_threshold),
      SHOAL_MIN_THRESHOLD, SHOAL_MAX_THRESHOLD, 1, NULL, "30..99 (percent)" },
    { "activity_hangover_ms", SHOAL_OPT_ACTIVITY_HANGOVER_MS, SHOAL__INT, AT(activity_hangover_ms),
      SHOAL_MIN_HANGOVER_MS, SHOAL_MAX_HANGOVER_MS, SHOAL_FRAME_MS, NULL,
      "20..5000 in steps of 20" },
    { "lm", SHOAL_OPT_LM, SHOAL__NAME, AT(lm), 0, 0, 0, switch_names, "on or off" },
    { "durations", SHOAL_OPT_DURATIONS, SHOAL__NAME, AT(durations), 0, 0, 0, switch_names,
      "on or off" },
    { "program", SHOAL_OPT_PROGRAM, SHOAL__PROGRAM, AT(program), 0, 0, 0, NULL,
      "a name of at most 31 of a-z, 0-9, _ . -, of a program that /v1/model lists" },
    { "settle_ms", SHOAL_OPT_SETTLE_MS, SHOAL__INT, AT(settle_ms), 0, SHOAL_MAX_SETTLE_MS,
      SHOAL_FRAME_MS, NULL, "0..1280 in steps of 20 (0: when nothing can take a phone back)" },
    { "settle_silence_ms", SHOAL_OPT_SETTLE_SILENCE_MS, SHOAL__INT, AT(settle_silence_ms), 0,
      SHOAL_MAX_SETTLE_MS, SHOAL_FRAME_MS, NULL, "0..1280 in steps of 20 (0: never)" },
    { "tentative", SHOAL_OPT_TENTATIVE, SHOAL__NAME, AT(tentative), 0, 0, 0, switch_names,
      "on or off" },
    { "precision", SHOAL_OPT_PRECISION, SHOAL__NAME, AT(precision), 0, 0, 0, precision_names,
      "auto, fp32, bf16 or int8" },
    { "every", SHOAL_OPT_EVERY, SHOAL__INT, AT(every), 1, SHOAL_MAX_EVERY, 1, NULL,
      "1..1000 (frames of 20 ms)" },
    { "pool", SHOAL_OPT_POOL, SHOAL__NAME, AT(pool), 0, 0, 0, pool_names, "none or utterance" },
    { "channel", SHOAL_OPT_CHANNEL, SHOAL__CHANNEL, AT(channel), 0, SHOAL_MAX_CHANNELS, 1,
      channel_names, "mix, left (or 1), right (or 2), or the number of another channel up to 8" },
    { "t0", SHOAL_OPT_T0, SHOAL__TIME, AT(t0_ms), 0, 0, 0, NULL,
      "seconds since 1970, above 0 and below 10000000000" },
    { "activity_min_ms", SHOAL_OPT_ACTIVITY_MIN_MS, SHOAL__INT, AT(activity_min_ms), 0,
      SHOAL_MAX_ACTIVITY_MIN_MS, SHOAL_FRAME_MS, NULL, "0..2000 in steps of 20" },
    { "activity_max_ms", SHOAL_OPT_ACTIVITY_MAX_MS, SHOAL__INT, AT(activity_max_ms), 0,
      SHOAL_MAX_ACTIVITY_MAX_MS, SHOAL_FRAME_MS, NULL, "1000..60000 in steps of 20, or 0 (never)" },
    { "activity_pad_ms", SHOAL_OPT_ACTIVITY_PAD_MS, SHOAL__INT, AT(activity_pad_ms), 0,
      SHOAL_MAX_ACTIVITY_PAD_MS, SHOAL_FRAME_MS, NULL, "0..500 in steps of 20" },
    { "smooth", SHOAL_OPT_SMOOTH, SHOAL__NAME, AT(smooth), 0, 0, 0, switch_names, "on or off" },
    { "model", SHOAL_OPT_MODEL, SHOAL__MODEL, AT(model), 0, 0, 0, NULL,
      "a name of at most 63 of A-Z, a-z, 0-9, _ . -, of a model that /v1/models lists, or that "
      "and @ with 8 to 64 digits of its sha256" },
    { 0 }
};

#define NAME_OF(names, i) ((unsigned)(i) < COUNT(names) - 1 ? names[i] : NULL)

int shoal_format_bytes(shoal_format f)
{
    switch (f) {
    case SHOAL_FORMAT_F32LE: return 4;
    case SHOAL_FORMAT_S16LE: return 2;
    case SHOAL_FORMAT_OPUS: return 0;
    default: return 1;
    }
}

const char *shoal_format_name(shoal_format f)
{
    return NAME_OF(format_names, f);
}
const char *shoal_attention_name(shoal_attention a)
{
    return NAME_OF(attention_names, a);
}
const char *shoal_encoding_name(shoal_encoding e)
{
    return NAME_OF(encoding_names, e);
}
const char *shoal_wire_precision_name(shoal_wire_precision p)
{
    return NAME_OF(precision_names, p);
}

const char *shoal_channel_name(int channel)
{
    return NAME_OF(channel_names, channel);
}

const char *shoal_output_name(unsigned one)
{
    for (int i = 0; output_names[i]; i++)
        if (one == 1u << i)
            return output_names[i];
    return NULL;
}

shoal_options shoal_options_default(void)
{
    return (shoal_options){
        .format = SHOAL_FORMAT_S16LE,
        .rate = 16000,
        .channels = 1,
        .chunk_ms = SHOAL_DEFAULT_CHUNK_MS,
        .left_ms = -1,
        .attention = SHOAL_ATTENTION_OWN,
        .outputs = SHOAL_OUTPUT_PHONES,
        .encoding = SHOAL_ENCODING_F32,
        .activity_threshold = SHOAL_DEFAULT_THRESHOLD,
        .activity_hangover_ms = SHOAL_DEFAULT_HANGOVER_MS,
        .lm = SHOAL_ON,
        .durations = SHOAL_OFF,
        .settle_silence_ms = SHOAL_DEFAULT_SETTLE_SILENCE_MS,
        .tentative = SHOAL_OFF,
        .precision = SHOAL_ANY_PRECISION,
        .every = 1,
        .pool = SHOAL_POOL_NONE,
        .smooth = SHOAL_OFF,
    };
}

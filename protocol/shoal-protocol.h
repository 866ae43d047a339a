/* shoal-protocol.h - the wire contract of shoal: bytes <-> messages
 *
 * What travels over the WebSocket (docs/protocol.md), as pure functions that the daemon, the
 * client library and the fuzzers share. Nothing here does I/O, keeps global state, or knows
 * of sockets, audio or the engine.
 *
 *     A server:                                     A client:
 *     shoal_client_msg in;                          shoal_client_msg out = {
 *     shoal_error err;                                  .type = SHOAL_MSG_START,
 *     if (shoal_client_msg_decode(&in, text, n,         .options = shoal_options_default() };
 *                                 &err) < 0)        out.options.depth_min = 3;
 *         shoal_error_encode(&buf, &err);           out.options.depth_max = 12;
 *     else if (in.type == SHOAL_MSG_FLUSH)          out.options.given |= SHOAL_OPT_DEPTH;
 *         flush(session, in.id);                    shoal_client_msg_encode(&buf, &out);
 *
 * Rules that hold everywhere:
 *   - Encoders append to a shoal_buf and return 0, or -1 (no memory, a fixed buffer is full,
 *     a value out of range) with the buffer as it was before the call. Text stays followed by
 *     a NUL that is not counted. Room wanted in front of a message (LWS_PRE) is made by
 *     starting with buf.size = LWS_PRE.
 *   - Decoders take any bytes at all. They return 0, or -1 with *err filled in; err is never
 *     NULL. *err is ready to be sent: what was wrong, where, and what is allowed.
 *   - Decoded structs own nothing (strings are arrays) unless a _free function is named.
 *   - Requests are read strictly: unknown keys and duplicates are errors, so that a new client
 *     learns at once that an old server cannot do what it asks. Replies are read leniently:
 *     unknown keys and message types are skipped, so that an old client survives a new server.
 */
#ifndef SHOAL_PROTOCOL_H
#define SHOAL_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "shoal-wire.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* libshoal-client.so gives these to its users */

/* ---- options --------------------------------------------------------------------------- */

typedef enum shoal_format {
    SHOAL_FORMAT_S16LE,
    SHOAL_FORMAT_F32LE,
    SHOAL_FORMAT_MULAW,
    SHOAL_FORMAT_ALAW,
    SHOAL_FORMAT_OPUS /* one packet a message, no container */
} shoal_format;

typedef enum shoal_attention { SHOAL_ATTENTION_OWN, SHOAL_ATTENTION_REUSE } shoal_attention;

/* of posteriors, embedding, hidden and mel; the others are always JSON */
typedef enum shoal_encoding {
    SHOAL_ENCODING_JSON = 0,
    SHOAL_ENCODING_F32 = 1,
    SHOAL_ENCODING_F16 = 2
} shoal_encoding;

typedef enum shoal_switch { SHOAL_OFF, SHOAL_ON } shoal_switch;

/* what rows of features are a mean of: so many frames (every), or an utterance */
typedef enum shoal_pooling { SHOAL_POOL_NONE, SHOAL_POOL_UTTERANCE } shoal_pooling;
/* what the server's products have to be computed in; features of two precisions are not the same
 * bytes */
typedef enum shoal_wire_precision {
    SHOAL_ANY_PRECISION, /* what it serves: "auto" */
    SHOAL_ONLY_FP32,
    SHOAL_ONLY_BF16,
    SHOAL_ONLY_INT8
} shoal_wire_precision;

/* outputs, a set */
enum {
    SHOAL_OUTPUT_PHONES = 1,
    SHOAL_OUTPUT_POSTERIORS = 2,
    SHOAL_OUTPUT_EMBEDDING = 4,
    SHOAL_OUTPUT_ACTIVITY = 8,
    SHOAL_OUTPUT_HIDDEN = 16,
    SHOAL_OUTPUT_MEL = 32, /* comes before all layers, so it is never a tap's */
    SHOAL_OUTPUT_ALL = 63
};

/* outputs that come from a depth of their own: phones@4 */
typedef struct shoal_tap {
    int depth;        /* 1..255; 0, what the first layer reads, with hidden alone */
    unsigned outputs; /* SHOAL_OUTPUT_*, at least one, but not mel */
} shoal_tap;

/* shoal_options.given, a set */
enum {
    SHOAL_OPT_FORMAT = 1 << 0,
    SHOAL_OPT_RATE = 1 << 1,
    SHOAL_OPT_CHANNELS = 1 << 2,
    SHOAL_OPT_DEPTH = 1 << 3,
    SHOAL_OPT_CHUNK_MS = 1 << 4,
    SHOAL_OPT_LEFT_MS = 1 << 5,
    SHOAL_OPT_ATTENTION = 1 << 6,
    SHOAL_OPT_OUTPUT = 1 << 7,
    SHOAL_OPT_ENCODING = 1 << 8,
    SHOAL_OPT_ACTIVITY_THRESHOLD = 1 << 9,
    SHOAL_OPT_ACTIVITY_HANGOVER_MS = 1 << 10,
    SHOAL_OPT_LM = 1 << 11,
    SHOAL_OPT_DURATIONS = 1 << 12,
    SHOAL_OPT_PROGRAM = 1 << 13,
    SHOAL_OPT_SETTLE_MS = 1 << 14,
    SHOAL_OPT_SETTLE_SILENCE_MS = 1 << 15,
    SHOAL_OPT_TENTATIVE = 1 << 16,
    SHOAL_OPT_PRECISION = 1 << 17,
    SHOAL_OPT_EVERY = 1 << 18,
    SHOAL_OPT_POOL = 1 << 19,
    SHOAL_OPT_CHANNEL = 1 << 20,
    SHOAL_OPT_T0 = 1 << 21,
    SHOAL_OPT_ACTIVITY_MIN_MS = 1 << 22,
    SHOAL_OPT_ACTIVITY_MAX_MS = 1 << 23,
    SHOAL_OPT_ACTIVITY_PAD_MS = 1 << 24,
    SHOAL_OPT_MODEL = 1 << 25,
    SHOAL_OPT_SMOOTH = 1 << 26,
    SHOAL_OPT_ALL = (1 << 27) - 1,
    SHOAL_OPT_SETTABLE = SHOAL_OPT_DEPTH | SHOAL_OPT_OUTPUT | SHOAL_OPT_CHUNK_MS /* by set */
};

/* What a session asks for, and in `ready` what it got. Later fields go to the end: always
 * start from shoal_options_default(). */
typedef struct shoal_options {
    unsigned given;                 /* SHOAL_OPT_*: said by the client, the rest is default;
                                     * encoders write only these */
    shoal_format format;            /* s16le */
    int rate;                       /* Hz, 8000..48000; default 16000, mulaw and alaw 8000, opus
                                     * 48000. opus: 8000, 12000, 16000, 24000 or 48000 */
    int channels;                   /* 1..8 (opus 1..2), interleaved; see channel */
    int depth_min, depth_max;       /* 1..255; equal: fixed depth; 0, 0: the server's choice.
                                     * The server checks them against its model */
    int chunk_ms;                   /* multiple of 20, 20..1280 */
    int left_ms;                    /* attention's left context, multiple of 20, 0..5120;
                                     * -1: the server's choice */
    shoal_attention attention;      /* own */
    unsigned outputs;               /* SHOAL_OUTPUT_* at the session's depth; phones. None only if
                                     * there are taps */
    shoal_encoding encoding;        /* f32 */
    int activity_threshold;         /* percent that speech must be likely to begin, 30..99; 80 */
    int activity_hangover_ms;       /* silence that ends speech, multiple of 20, 20..5000; 300 */
    int tap_count;                  /* 0..SHOAL_MAX_TAPS; said by `output` too */
    shoal_tap taps[SHOAL_MAX_TAPS]; /* depths ascend, each once; none beyond depth_max where
                                     * depth is given; the rest is zero */
    shoal_switch lm;                /* phones with the phone language model; on */
    shoal_switch durations;         /* phones with the phone duration model; off */
    char program[SHOAL_MAX_PROGRAM + 1]; /* which of the model's orders of layers, by its name, of
                                          * a-z, 0-9, _ . -; "": the server's choice, its first. The
                                          * server checks it against its model */
    int settle_ms;          /* phones are settled so long after a frame at the latest, multiple of
                             * 20, 0..1280; 0: when nothing can take them back */
    int settle_silence_ms;  /* and when so much is surely silence, 0..1280; 0: never; 60 */
    shoal_switch tentative; /* phones come with those that are not settled; off */
    shoal_wire_precision precision; /* any; a server that serves another refuses the session */
    int every;                      /* frames that a row of features is the mean of, 1..1000; 1 */
    shoal_pooling pool;             /* none; utterance only with every 1 */
    int channel;   /* which of the channels is heard, 1..channels; 0, all averaged */
    int64_t t0_ms; /* when sample 0 was, in ms since 1970, 1..9999999999999; 0: not said */
    /* speech as utterances, multiples of 20 */
    int activity_min_ms; /* shorter speech is not told, 0..2000; 0 */
    int activity_max_ms; /* longer speech is cut, 1000..60000, and more than twice the hangover and
                          * the pad; 0: never; 0 */
    int activity_pad_ms; /* begins earlier, ends later by that, 0..500, at most the hangover; 0 */
    char model[SHOAL_MAX_MODEL + 1]; /* which of the server's models, by its name there, or NAME@
                                      * and at least 8 digits of its file's SHA-256, lower case:
                                      * then no other will do; "": the server's choice, its first.
                                      * In `ready` the name alone */
    shoal_switch smooth;             /* posteriors whose argmax does not flicker; off */
} shoal_options;

/* 1: a model may have this name: 1..63 of A-Z, a-z, 0-9, _ . - */
int shoal_model_name_allowed(const char *name);

shoal_options shoal_options_default(void);
/* What `output` says, of another options: outputs and taps. */
void shoal_options_copy_outputs(shoal_options *to, const shoal_options *from);
/* All kinds of output, at whatever depth. */
unsigned shoal_options_all_outputs(const shoal_options *o);

/* A whole URL query, percent-encoded, with or without the leading '?'. Starts from the
 * defaults. "rate=8000&format=mulaw&depth=3-12&output=phones@3,posteriors" */
SHOAL_CHECKED int shoal_options_parse_query(shoal_options *o, const char *query, size_t n,
                                            shoal_error *err);

/* Of such a query only what it says of `model` and `program`; whatever else is there is passed
 * over. */
SHOAL_CHECKED int shoal_options_parse_model(shoal_options *o, const char *query, size_t n,
                                            shoal_error *err);

/* The same in steps, for servers that get the query already split and percent-decoded
 * (libwebsockets): start from shoal_options_default, add each pair, then finish. */
SHOAL_CHECKED int shoal_options_add(shoal_options *o, const char *name, size_t name_len,
                                    const char *value, size_t value_len, shoal_error *err);
/* Fill in defaults that depend on others (rate by format) and check them together. */
SHOAL_CHECKED int shoal_options_finish(shoal_options *o, shoal_error *err);

/* Check every field of options set by a program. Decoders and parsers have done it. */
SHOAL_CHECKED int shoal_options_check(const shoal_options *o, shoal_error *err);

/* "format=s16le&rate=16000..." of the given fields, without '?'. */
SHOAL_CHECKED int shoal_options_encode_query(shoal_buf *out, const shoal_options *o);

/* Bytes of a sample of one channel: 4, 2 or 1; 0 of opus, which has none. */
int shoal_format_bytes(shoal_format f);

const char *shoal_format_name(shoal_format f);                 /* "s16le"; NULL if out of range */
const char *shoal_attention_name(shoal_attention a);           /* "own" */
const char *shoal_encoding_name(shoal_encoding e);             /* "f32" */
const char *shoal_wire_precision_name(shoal_wire_precision p); /* "fp32" */
const char *shoal_channel_name(int channel);                   /* "mix", "left", "right", "3" */
const char *shoal_output_name(unsigned one); /* "phones" for SHOAL_OUTPUT_PHONES */

/* ---- messages -------------------------------------------------------------------------- */

typedef enum shoal_msg_type {
    SHOAL_MSG_UNKNOWN = 0, /* a reply of a newer server: skip it */
    /* client -> server */
    SHOAL_MSG_START,
    SHOAL_MSG_SET,
    SHOAL_MSG_FLUSH,
    SHOAL_MSG_SKIP,
    SHOAL_MSG_END,
    SHOAL_MSG_PING,
    /* server -> client */
    SHOAL_MSG_READY,
    SHOAL_MSG_PHONES,
    SHOAL_MSG_ACTIVITY,
    SHOAL_MSG_FEATURES,
    SHOAL_MSG_CHANGED,
    SHOAL_MSG_FLUSHED,
    SHOAL_MSG_DONE,
    SHOAL_MSG_PONG,
    SHOAL_MSG_ERROR
} shoal_msg_type;

const char *shoal_msg_type_name(shoal_msg_type t); /* "start"; "unknown" for the rest */

typedef struct shoal_client_msg {
    shoal_msg_type type;       /* START .. PING */
    shoal_options options;     /* START: finished and checked. SET: depth, outputs and chunk_ms, as
                                * options.given says; the rest means nothing */
    uint64_t samples;          /* SKIP: of one channel at the client's rate, 1..SHOAL_MAX_COUNT */
    char id[SHOAL_MAX_ID + 1]; /* FLUSH, PING: UTF-8, echoed; "" if not given */
} shoal_client_msg;

SHOAL_CHECKED int shoal_client_msg_encode(shoal_buf *out, const shoal_client_msg *m);
/* A bad `set` gives an error that is not fatal; all others are as the table says. */
SHOAL_CHECKED int shoal_client_msg_decode(shoal_client_msg *m, const char *text, size_t n,
                                          shoal_error *err);

typedef struct shoal_ready {
    char server[SHOAL_MAX_ID + 1];                       /* "shoald 0.1.0" */
    char session[SHOAL_MAX_ID + 1];                      /* names the session in logs */
    char model[SHOAL_MAX_ID + 1];                        /* "shoal-base" */
    char model_sha256[65];                               /* 64 hex digits, or "" */
    int model_rate;                                      /* Hz, what the model hears: 16000 */
    int model_depth;                                     /* depths 1..model_depth exist */
    int dim;                                             /* values an embedding frame */
    int classes;                                         /* values a posterior frame */
    char labels[SHOAL_MAX_CLASSES][SHOAL_MAX_LABEL + 1]; /* [classes] */
    shoal_options options;                               /* effective; all fields given */
    int depth;                  /* in force now, within options.depth_min..max */
    int latency_ms;             /* algorithmic: chunk + look-ahead + window */
    uint64_t max_message_bytes; /* of one binary message */
    int max_backlog_ms;
    int idle_timeout_s; /* 0: none */
    /* what computes; "" and 0 from a server that does not say */
    char precision[SHOAL_MAX_LABEL + 1]; /* "fp32", "bf16", "int8" */
    char backend[SHOAL_MAX_ID + 1];      /* of the matrix products: "own", "openblas 0.3.21 Zen" */
    char kernels[SHOAL_MAX_LABEL + 1];   /* level of what lies between: "avx2" */
    char cache[SHOAL_MAX_LABEL + 1]; /* what sessions remember in: "fp32", "bf16", "fp16", "int8" */
    int same_in_any_company;         /* 1: the same bytes whoever else is served */
    int mels;                        /* values in a row of log-mels; 0: it does not say */
    int replay_ms; /* audio before a frame that its results depend on; 0: it does not say */
    /* how the client comes back when its connection breaks (shoal_resume) */
    char ticket[SHOAL_TICKET_DIGITS + 1]; /* "resume" on the wire; "": it cannot */
    int park_ms;                          /* for so long the session is kept */
    int is_resumed;                       /* 1: it has come back, and the server holds: */
    uint64_t held_bytes;                  /* bytes of audio since the session began */
    uint64_t held_requests;               /* messages of text, and empty ones, but for start */
    uint64_t held_samples;                /* the audio in samples of a channel, skips included */
} shoal_ready; /* frame_ms, frame_seconds and frame_samples on the wire follow from rate */

/* How a client comes back to its session over a new connection: the URL's query, alone in it. */
typedef struct shoal_resume {
    char ticket[SHOAL_TICKET_DIGITS + 1]; /* of the last `ready`; lower case hex */
    uint64_t got; /* messages the session has given it, but for `ready`; 0..SHOAL_MAX_COUNT */
} shoal_resume;

/* 1: the query, with or without the leading '?', is one; 0: nobody comes back here; -1: it is
 * wrong. */
SHOAL_CHECKED int shoal_resume_parse_query(shoal_resume *r, const char *query, size_t n,
                                           shoal_error *err);
/* "resume=...&got=12", without '?'. */
SHOAL_CHECKED int shoal_resume_encode_query(shoal_buf *out, const shoal_resume *r);

typedef struct shoal_wire_phone {
    char phone[SHOAL_MAX_LABEL + 1]; /* "HH" */
    double start, end;               /* seconds of the client's audio, 0..1e9; wire: ms */
    double confidence;               /* 0..1; wire: 4 decimals */
} shoal_wire_phone;

/* A phone that later ones may still change or take back. */
typedef struct shoal_wire_tentative {
    shoal_wire_phone phone; /* end: so far */
    int stable_ms;          /* of audio since it was first given, 0.. */
} shoal_wire_tentative;

typedef struct shoal_phones {
    uint32_t seq;       /* one counter over all results of the session */
    int depth;          /* depth used */
    int tap;            /* depth asked for with @; 0: the session's */
    int64_t t0_ms;      /* the session's option; 0: none */
    uint64_t received;  /* samples (a channel) received at the client's rate */
    uint64_t processed; /* samples covered by results up to and with this one */
    int lag_ms;         /* (received - processed) as time */
    int count;          /* 0..SHOAL_MAX_PHONES; 0 is common: it reports progress */
    shoal_wire_phone phones[SHOAL_MAX_PHONES];
    int has_tentative;   /* 1: what follows is all that is not settled; it replaces what the last
                          * message of this tap said. 0: the session has not asked for it */
    int tentative_count; /* 0..SHOAL_MAX_TENTATIVE */
    shoal_wire_tentative tentative[SHOAL_MAX_TENTATIVE];
} shoal_phones;

typedef struct shoal_wire_activity {
    uint32_t seq;
    int depth, tap;  /* as in shoal_phones */
    int64_t t0_ms;   /* the same */
    int speech;      /* 1: speech begins here; 0: it ended here */
    uint64_t frame;  /* first frame of the new state */
    uint64_t sample; /* its first sample at the client's rate */
    double time;     /* the same in seconds, 0..1e9; wire: ms */
    uint64_t received, processed;
} shoal_wire_activity;

typedef enum shoal_reason { SHOAL_REASON_SET, SHOAL_REASON_LOAD } shoal_reason;

typedef struct shoal_changed {
    int depth;                /* from from_frame on */
    int depth_min, depth_max; /* range in force */
    uint64_t from_frame, from_sample;
    unsigned outputs;    /* this and the taps as in shoal_options */
    shoal_reason reason; /* "set": the client asked; "load": elastic depth */
    int tap_count;
    shoal_tap taps[SHOAL_MAX_TAPS];
    int chunk_ms, latency_ms; /* in force; 0: an older server does not say */
} shoal_changed;

typedef struct shoal_flushed {
    char id[SHOAL_MAX_ID + 1];
    uint64_t received, processed; /* samples at the client's rate */
    uint64_t frames;              /* feature frames given so far */
} shoal_flushed;

typedef struct shoal_done {
    uint64_t received, processed;     /* samples; equal: nothing was left behind */
    uint64_t frames, phones, packets; /* totals; packets counts features messages of any encoding */
    double seconds;                   /* of audio */
} shoal_done;

/* Feature packet: what the header says about [frames, dim] values, in binary or JSON. */
typedef enum shoal_kind {
    SHOAL_KIND_POSTERIORS = 1,
    SHOAL_KIND_EMBEDDING = 2,
    SHOAL_KIND_HIDDEN = 3,
    SHOAL_KIND_MEL = 4
} shoal_kind;

const char *shoal_kind_name(shoal_kind k); /* "posteriors"; NULL if out of range */

/* shoal_packet.flags; receivers ignore bits they don't know */
enum {
    SHOAL_PACKET_NEW_DEPTH = 1, /* not the depth of the packet before, of this kind and tap */
    SHOAL_PACKET_CUT = 2        /* chunk cut short by flush or end */
};

#define SHOAL_PACKET_HEADER      64 /* bytes; the payload begins aligned for Float32Array */
#define SHOAL_PACKET_LONG_HEADER 72 /* where a row is not one frame: row_ms follows */

typedef struct shoal_packet {
    shoal_kind kind;
    shoal_encoding encoding; /* F32 or F16; JSON when it came as text */
    int depth;               /* depth used, 1..255; 0: before all layers (mel, hidden@0) */
    unsigned flags;          /* 16 bits */
    uint32_t seq;
    uint64_t first_frame;
    uint64_t start_sample; /* first sample of first_frame at the client's rate */
    uint64_t received, processed;
    int frames, dim;      /* rows, 0..4096, and values in each, 1..8192 */
    uint32_t queued_us;   /* from the chunk's last sample received to its computation */
    uint32_t computed_us; /* its computation */
    int tap;              /* depth asked for with @, 1..255; 0: the session's */
    int64_t t0_ms;        /* JSON only: the session's option; 0: none */
    uint32_t row_ms;      /* audio that a row stands for; row i begins i * row_ms after
                           * start_sample. 20, a frame; 0 in what is to be encoded says that, too */
    const void *payload;  /* decoded binary: view into the packet, little-endian, maybe
                           * unaligned; decoded JSON: float[frames * dim] of the message */
} shoal_packet;

typedef struct shoal_server_msg {
    shoal_msg_type type; /* READY .. ERROR, or UNKNOWN */
    union {
        shoal_ready ready;
        shoal_phones phones;
        shoal_wire_activity activity;
        shoal_packet features; /* encoding JSON */
        shoal_changed changed;
        shoal_flushed flushed;
        shoal_done done;
        char id[SHOAL_MAX_ID + 1]; /* pong */
        shoal_error error;
    } u;
    float *owned;   /* features' values; shoal_server_msg_free */
} shoal_server_msg; /* about 16 KB */

/* err: SHOAL_CODE_BAD_MESSAGE, or SHOAL_CODE_INTERNAL when out of memory. */
SHOAL_CHECKED int shoal_server_msg_decode(shoal_server_msg *m, const char *text, size_t n,
                                          shoal_error *err);
void shoal_server_msg_free(shoal_server_msg *m); /* after a successful decode */

SHOAL_CHECKED int shoal_ready_encode(shoal_buf *out, const shoal_ready *m);
SHOAL_CHECKED int shoal_changed_encode(shoal_buf *out, const shoal_changed *m);
SHOAL_CHECKED int shoal_flushed_encode(shoal_buf *out, const shoal_flushed *m);
SHOAL_CHECKED int shoal_done_encode(shoal_buf *out, const shoal_done *m);
SHOAL_CHECKED int shoal_pong_encode(shoal_buf *out, const char *id);
SHOAL_CHECKED int shoal_error_encode(shoal_buf *out, const shoal_error *m);

/* Hot path: never allocates when the buffer has SHOAL_PHONES_BYTES(m->count + m->tentative_count)
 * bytes free. */
#define SHOAL_PHONES_BYTES(count) (256 + 256 * (size_t)(count))
SHOAL_CHECKED int shoal_phones_encode(shoal_buf *out, const shoal_phones *m);
#define SHOAL_ACTIVITY_BYTES 320 /* the same for one activity message */
SHOAL_CHECKED int shoal_activity_encode(shoal_buf *out, const shoal_wire_activity *m);

/* ---- feature packets ------------------------------------------------------------------- */

/* Bytes of the binary packet, 0 if p is not valid (encoding JSON included). */
size_t shoal_packet_size(const shoal_packet *p);
/* Append header and values [frames, dim] in p->encoding (F32, F16). Hot path: never allocates
 * when the buffer has shoal_packet_size(p) bytes free. */
SHOAL_CHECKED int shoal_packet_encode(shoal_buf *out, const shoal_packet *p, const float *values);
/* The same as a text message {"type":"features",...}. Values keep all their bits; what is
 * not finite becomes null. Never allocates with SHOAL_PACKET_JSON_BYTES free. */
#define SHOAL_PACKET_JSON_BYTES(frames, dim) (512 + (size_t)(frames) * ((size_t)(dim)*16 + 4))
SHOAL_CHECKED int shoal_packet_encode_json(shoal_buf *out, const shoal_packet *p,
                                           const float *values);
/* p->payload views into bytes. Every length is checked: size must match exactly. */
SHOAL_CHECKED int shoal_packet_decode(shoal_packet *p, const void *bytes, size_t size,
                                      shoal_error *err);
/* Values of a decoded packet of any encoding -> out[frames * dim]. */
void shoal_packet_values(const shoal_packet *p, float *out);

uint16_t shoal_f16_from_f32(float x); /* rounds to nearest, ties to even */
float shoal_f16_to_f32(uint16_t h);

/* ---- containers where raw samples were promised ------------------------------------------ */

typedef enum shoal_sniff {
    SHOAL_SNIFF_NO = 0,
    SHOAL_SNIFF_YES = 1,
    SHOAL_SNIFF_MORE = 2
} shoal_sniff;

#define SHOAL_SNIFF_BYTES 2048 /* never needs more than this */

/* Look at the first n bytes of an audio stream (from its very beginning) and tell whether they
 * are the header of a file: WAV, AIFF, AU, CAF, Ogg, WebM/Matroska, FLAC, MP3, MP4, AAC, AMR...
 *   NO    raw audio, go on
 *   YES   *err says what it is and what to do: bad_audio_format, or rate_mismatch for a WAV
 *         whose rate is not declared->rate
 *   MORE  cannot tell yet; ask again when *need bytes are there (or treat as NO at the end
 *         of the audio)
 * declared: the session's options, or NULL. */
SHOAL_CHECKED shoal_sniff shoal_sniff_container(const void *bytes, size_t n,
                                                const shoal_options *declared, size_t *need,
                                                shoal_error *err);

/* ---- Close ---------------------------------------------------------------------------- */

/* payload: of a Close that came. The code to answer it with: its own, 1000 where it has none, 1002
 * or 1007 where it is not what RFC 6455 allows. */
SHOAL_CHECKED int shoal_close_answer(const void *payload, size_t n);

/* ---- phones, for people ------------------------------------------------------------------ */

typedef struct shoal_arpabet {
    const char *label;   /* "IH" */
    const char *ipa;     /* "ɪ", UTF-8 */
    const char *example; /* "fIt": its capitals sound so */
} shoal_arpabet;

/* The phone of that label, static; NULL: English has none, or another model names it so. */
const shoal_arpabet *shoal_arpabet_find(const char *label);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

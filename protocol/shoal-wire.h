/* shoal-wire.h - what all of the protocol shares: limits, buffers, errors
 *
 * Included by shoal-protocol.h, which begins with the rules that hold everywhere.
 */
#ifndef SHOAL_WIRE_H
#define SHOAL_WIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* libshoal-client.so gives these to its users */

/* ---- names and limits ------------------------------------------------------------------ */

#define SHOAL_SUBPROTOCOL       "shoal.v1"
#define SHOAL_TOKEN_SUBPROTOCOL "shoal.token." /* and a token in base64url, beside shoal.v1 */
#define SHOAL_PATH              "/v1/stream"
#define SHOAL_DEFAULT_PORT      7350
#define SHOAL_FRAME_MS          20

enum {
    /* Hard limits of the format: a message beyond them is refused whatever the config says. */
    SHOAL_MAX_TEXT_BYTES = 16 << 10,       /* client -> server text message */
    SHOAL_MAX_AUDIO_BYTES = 1 << 20,       /* client -> server binary message (default) */
    SHOAL_MAX_SERVER_TEXT_BYTES = 8 << 20, /* server -> client text message */
    SHOAL_MAX_QUERY_BYTES = 1024,
    SHOAL_MAX_NESTING = 8,  /* JSON arrays and objects inside each other */
    SHOAL_MAX_ID = 64,      /* bytes of a flush or ping id, without NUL */
    SHOAL_MAX_LABEL = 15,   /* bytes of a phone label */
    SHOAL_MAX_PROGRAM = 31, /* bytes of a program's name */
    SHOAL_MAX_MODEL_NAME = 63,
    SHOAL_MIN_MODEL_DIGITS = 8, /* of NAME@DIGITS, the beginning of the file's SHA-256 */
    SHOAL_MAX_MODEL = SHOAL_MAX_MODEL_NAME + 1 + 64,
    SHOAL_MAX_CLASSES = 256,
    SHOAL_MAX_DIM = 8192,
    SHOAL_MAX_DEPTH = 255,    /* one byte in the packet header */
    SHOAL_MAX_PHONES = 256,   /* in one phones message */
    SHOAL_MAX_TENTATIVE = 65, /* beside them, not settled yet */
    SHOAL_MAX_PACKET_FRAMES = 4096,
    SHOAL_MAX_TAPS = 16, /* depths that outputs of a session have of their own */
    SHOAL_MAX_ERROR_TEXT = 447,
    SHOAL_TICKET_DIGITS = 32, /* hex: 128 bits */

    SHOAL_MIN_RATE = 8000,
    SHOAL_MAX_RATE = 48000,
    SHOAL_MAX_CHANNELS = 8,
    SHOAL_MIN_CHUNK_MS = 20,
    SHOAL_MAX_CHUNK_MS = 1280,
    SHOAL_DEFAULT_CHUNK_MS = 160,
    SHOAL_MAX_LEFT_MS = 5120,
    SHOAL_MAX_SETTLE_MS = 1280,
    SHOAL_DEFAULT_SETTLE_SILENCE_MS = 60, /* docs/settling.md has the price of others */
    SHOAL_MAX_EVERY = 1000,
    SHOAL_MAX_SECONDS = 100000000, /* of a session, what was skipped included */
    SHOAL_MIN_HANGOVER_MS = 20,
    SHOAL_MAX_HANGOVER_MS = 5000,
    SHOAL_DEFAULT_HANGOVER_MS = 300,
    SHOAL_MAX_ACTIVITY_MIN_MS = 2000,
    SHOAL_MIN_ACTIVITY_MAX_MS = 1000,
    SHOAL_MAX_ACTIVITY_MAX_MS = 60000,
    SHOAL_MAX_ACTIVITY_PAD_MS = 500,
    SHOAL_MIN_THRESHOLD = 30,
    SHOAL_MAX_THRESHOLD = 99,
    SHOAL_DEFAULT_THRESHOLD = 80,

    /* Defaults of server policy; `ready` tells the values in force. */
    SHOAL_DEFAULT_MAX_BACKLOG_MS = 2000, /* audio held before the socket is throttled */
    SHOAL_DEFAULT_IDLE_TIMEOUT_S = 60,   /* nothing from the client */
    SHOAL_DEFAULT_START_TIMEOUT_S = 10,  /* connected but no start */
};

/* Ends of years in milliseconds since 1970: 2286. */
#define SHOAL_MAX_T0_MS ((int64_t)9999999999999)

/* Counters (samples, frames) stay below 2^53 so that JavaScript can hold them. */
#define SHOAL_MAX_COUNT ((uint64_t)1 << 53)

/* Input samples a frame covers at the client's rate; fractional at 11025 Hz (220.5). */
static inline double shoal_frame_samples(int rate)
{
    return rate * (SHOAL_FRAME_MS / 1000.0);
}

/* First input sample, at the client's rate, of a frame: floor(frame * rate / 50). */
static inline uint64_t shoal_frame_start_sample(uint64_t frame, int rate)
{
    return frame * (uint64_t)rate / (1000 / SHOAL_FRAME_MS);
}

/* The compiler warns when the result is not looked at. */
#define SHOAL_CHECKED __attribute__((warn_unused_result))

/* ---- buffers --------------------------------------------------------------------------- */

/* Growable bytes. Zero-initialise (or shoal_buf_wrap), reset between messages, free once. */
typedef struct shoal_buf {
    char *data;
    size_t size; /* bytes in use; may be set by the caller to anything <= cap */
    size_t cap;  /* bytes allocated, or given to shoal_buf_wrap */
    int fixed;   /* memory is the caller's and never grows */
} shoal_buf;

/* Use the caller's memory, never allocate: for the hot path. Text needs one byte more than
 * its length, for the NUL. */
void shoal_buf_wrap(shoal_buf *b, void *memory, size_t cap);
void shoal_buf_free(shoal_buf *b); /* NULL data and fixed buffers are fine */
/* Bytes of the character at s if it does something to a terminal, or ends a line of a file: 1 (C0,
 * DEL) or, in UTF-8, 2 (C1); 0: it is another, or the end. */
size_t shoal_text_control(const char *s);
/* Those become blanks. Returns how many. */
int shoal_text_tame(char *text);
/* Make room for extra more bytes. 0 or -1. */
SHOAL_CHECKED int shoal_buf_reserve(shoal_buf *b, size_t extra);
SHOAL_CHECKED int shoal_buf_append(shoal_buf *b, const void *bytes, size_t n);

/* ---- errors ---------------------------------------------------------------------------- */

/* name, code on the wire, close code, HTTP status (0 = cannot be
 * one's answer), fatal (the server closes), retry (trying again unchanged may work), message.
 * The codes are stable: add, never change. docs/protocol.md lists them all. */
#define SHOAL_WIRE_ERRORS(X)                                                                       \
    X(BAD_MESSAGE, "bad_message", 1007, 400, 1, 0,                                                 \
      "the text message is not one that this protocol knows: send one JSON object with a "         \
      "known \"type\"")                                                                            \
    X(BAD_OPTION, "bad_option", 1008, 400, 1, 0,                                                   \
      "an option is unknown, given twice or out of range: correct it and connect again")           \
    X(BAD_AUDIO_FORMAT, "bad_audio_format", 1003, 415, 1, 0,                                       \
      "the audio is a file with a header where raw samples were promised: send the samples "       \
      "only, or use shoal-file")                                                                   \
    X(RATE_MISMATCH, "rate_mismatch", 1003, 415, 1, 0,                                             \
      "the audio has another sample rate than the session: set rate to the audio's own rate")      \
    X(AUDIO_NOT_FINITE, "audio_not_finite", 1007, 400, 1, 0,                                       \
      "the audio holds NaN or infinity: check that format says what you send (f32le or s16le)")    \
    X(BAD_AUDIO_PACKET, "bad_audio_packet", 1007, 400, 1, 0,                                       \
      "an Opus packet cannot be decoded: send one whole packet, without Ogg, in each message")     \
    X(MESSAGE_TOO_LARGE, "message_too_large", 1009, 413, 1, 0,                                     \
      "the message is larger than the server takes: send audio in smaller messages")               \
    X(NOT_STARTED, "not_started", 1008, 0, 1, 0,                                                   \
      "the session has not begun: send a start message first, or put options in the URL")          \
    X(ALREADY_STARTED, "already_started", 1008, 0, 0, 0,                                           \
      "the session has begun: use set to change depth and output")                                 \
    X(ALREADY_ENDED, "already_ended", 1008, 0, 0, 0,                                               \
      "nothing may follow end: open a new connection for more audio")                              \
    X(OVERLOADED, "overloaded", 1013, 503, 1, 1,                                                   \
      "the server cannot take another session in real time: try later, ask for a lower depth "     \
      "or give a range")                                                                           \
    X(TOO_MANY_SESSIONS, "too_many_sessions", 1013, 503, 1, 1,                                     \
      "the limit on sessions is reached: close one, or try later")                                 \
    X(START_TIMEOUT, "start_timeout", 1008, 408, 1, 1,                                             \
      "no start message came in time: send it right after connecting")                             \
    X(IDLE_TIMEOUT, "idle_timeout", 1008, 408, 1, 1,                                               \
      "nothing came from the client for too long: send audio, or ping to stay")                    \
    X(SLOW_READER, "slow_reader", 1008, 0, 1, 1,                                                   \
      "the client does not read its results fast enough: read while sending")                      \
    X(BACKLOG, "backlog", 1013, 503, 1, 1,                                                         \
      "audio waits too long to be processed: ask for a lower depth or give a range")               \
    X(DRAINING, "draining", 1012, 503, 1, 1,                                                       \
      "the server restarts; what it had received was finished: connect again")                     \
    X(SHUTDOWN, "shutdown", 1001, 503, 1, 1,                                                       \
      "the server stops now and may have left audio unprocessed: connect to another server")       \
    X(UNSUPPORTED, "unsupported", 1008, 501, 1, 0,                                                 \
      "this server's build or model cannot do that: see /v1/model for what it can")                \
    X(UNAUTHORIZED, "unauthorized", 1008, 401, 1, 0,                                               \
      "the credentials are missing or wrong: send Authorization: Bearer <token>")                  \
    X(NOT_FOUND, "not_found", 1008, 404, 1, 0,                                                     \
      "there is nothing at this path: streams are at /v1/stream")                                  \
    X(BAD_SUBPROTOCOL, "bad_subprotocol", 1008, 400, 1, 0,                                         \
      "the server does not speak that WebSocket subprotocol: offer shoal.v1 or none")              \
    X(INTERNAL, "internal", 1011, 500, 1, 1,                                                       \
      "the server made a mistake; its log says more: try again, and report it")                    \
    X(BAD_REQUEST, "bad_request", 1008, 400, 1, 0,                                                 \
      "the server does not take this HTTP request: correct it")                                    \
    X(FORBIDDEN, "forbidden", 1008, 403, 1, 0,                                                     \
      "the request comes from a page, or by a name, that the server does not serve: see origins "  \
      "and hosts of shoald.conf")                                                                  \
    X(CANNOT_RESUME, "cannot_resume", 1008, 410, 1, 0,                                             \
      "the session cannot be gone on with here: it ended, its time is over, or it is another "     \
      "server's: begin a new one and send again what it needs")

typedef enum shoal_code {
    SHOAL_CODE_UNKNOWN = 0, /* a code of a newer server; shoal_error.name has it */
#define SHOAL_X(NAME, code, close, http, fatal, retry, text) SHOAL_CODE_##NAME,
    SHOAL_WIRE_ERRORS(SHOAL_X)
#undef SHOAL_X
        SHOAL_CODE_COUNT
} shoal_code;

#define SHOAL_CLOSE_NORMAL 1000 /* after done */

typedef struct shoal_code_info {
    const char *name; /* "bad_option" */
    int close_code;
    int http_status; /* of a request; 0: cannot be the answer to one */
    int fatal, retry;
    const char *message;
} shoal_code_info;

/* An error message on the wire, and what every decoder fills in when it fails. */
typedef struct shoal_error {
    shoal_code code;
    char name[32];                          /* code on the wire */
    char message[SHOAL_MAX_ERROR_TEXT + 1]; /* for people: cause, value, range, remedy */
    int fatal;                              /* the server closes the connection after it */
    int retry;                              /* trying again unchanged may work */
    int retry_after_ms;                     /* 0: no advice */
    char ref[SHOAL_MAX_ID + 1];             /* the option, message type or id meant, or "" */
} shoal_error;

const shoal_code_info *shoal_code_get_info(shoal_code code); /* static; never NULL */
shoal_code shoal_code_from_name(const char *name);           /* SHOAL_CODE_UNKNOWN if none */
/* Fill err from the table; fmt may be NULL (default message), ref may be NULL. */
void shoal_error_set(shoal_error *err, shoal_code code, const char *ref, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "depth: 40 is not allowed, use 1..12". Also for checks against the server's own model. */
void shoal_error_set_option(shoal_error *err, const char *option, const char *value,
                            const char *allowed);

/* ---- whole files --------------------------------------------------------------------- */

/* Of a file of n bytes or more, by these first ones: "MP4, M4A or 3GP (AAC or ALAC)" and other
 * kinds that libsndfile does not read; NULL: none of those. Static. */
const char *shoal_file_kind(const void *head, size_t n);
/* Of a file that begins with these n bytes: where its sound ends by its header, in bytes from the
 * file's begin; 0: it does not say, or not there. Less is a file that was cut off. */
uint64_t shoal_file_promise(const void *head, size_t n);
/* Bytes that follow the sound of a WAV file, by its header: 1: they are no chunks, but more of it.
 */
int shoal_is_more_sound(const void *bytes, size_t n);
/* Does a FLAC file begin in these bytes? begins: they are the first of a file, whose own head does
 * not count. */
int shoal_has_flac_head(const void *bytes, size_t n, int begins);
enum { SHOAL_FLAC_HEAD_BYTES = 8 };       /* that are looked for */
enum { SHOAL_OGG_TAIL_BYTES = 70 << 10 }; /* more than an Ogg page can have */
/* The last n bytes of an Ogg file, SHOAL_OGG_TAIL_BYTES or all: 1: its last page is there in full
 * and has the end mark; 0: it was cut off. */
int shoal_ogg_is_whole(const void *tail, size_t n);

/* The end of what is read once: SHOAL_OGG_TAIL_BYTES and more, or all. Zero-initialise. */
typedef struct shoal_tail {
    unsigned char bytes[2 * SHOAL_OGG_TAIL_BYTES];
    size_t size;
} shoal_tail;

void shoal_tail_keep(shoal_tail *t, const void *bytes, size_t n);
/* shoal_ogg_is_whole of what has been kept. */
int shoal_tail_is_whole_ogg(const shoal_tail *t);
/* Of the got bytes of a file: does another FLAC file begin in those kept? Is what they have behind
 * byte `end` of a WAV file more of its sound? */
int shoal_tail_has_flac_head(const shoal_tail *t, uint64_t got);
int shoal_tail_is_more_sound(const shoal_tail *t, uint64_t got, uint64_t end);

/* ---- MP3 files (mp3.c) ---- */

typedef struct shoal_mp3 {
    double seconds;
    uint64_t bytes; /* of all its frames, from where the head begins */
} shoal_mp3;

/* Bytes of the ID3v2 tag that the file begins with; 0: none. n: 10 and more. */
uint64_t shoal_mp3_tag(const void *head, size_t n);
/* What its first frame says, behind that tag; zeros: it does not say. */
shoal_mp3 shoal_mp3_promise(const void *head, size_t n);
/* Does another MP3 file begin with these bytes, with its tag or a frame, or behind the ID3v1 tag of
 * the one before? n: SHOAL_MP3_FOLLOWS_BYTES, if there are so many. */
enum { SHOAL_MP3_FOLLOWS_BYTES = 132 };
int shoal_mp3_follows(const void *bytes, size_t n);
/* Of the got bytes of a file that begins with head [n]: does another MP3 begin behind the end that
 * the first one tells? */
int shoal_tail_has_mp3(const shoal_tail *t, uint64_t got, const void *head, size_t n);

/* The pages of an Ogg file, looked at as they come. Zero-initialise. */
typedef struct shoal_ogg_pages {
    unsigned char head[27 + 255]; /* of the page that has begun */
    size_t size, body;            /* bytes in head; bytes of the page that are still to come */
    uint32_t sum, serial, number; /* of this page; of the one before */
    int under_way, sounding, ended;
    int lost;  /* some of it is damaged, or missing in the middle */
    int later; /* another recording begins behind the first; what follows is not looked at */
} shoal_ogg_pages;

void shoal_ogg_look(shoal_ogg_pages *p, const void *bytes, size_t n);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

/* settings.h - the settings of shoald: defaults, then the file, then the command line
 *
 * shoald.conf.in is the manual: every key with unit, default and range. The table in settings.c
 * is the one place that knows them. Only the loop thread reads a shoald_settings; what a worker
 * needs is copied to it at the start.
 */
#ifndef SHOALD_SETTINGS_H
#define SHOALD_SETTINGS_H

#include "base/sites.h"
#include "base/trust.h"
#include "shoal-wire.h"

#include <limits.h>
#include <stddef.h>

#define SHOALD_MAX_LISTEN    16
#define SHOALD_LISTEN_LENGTH 128
#define SHOALD_MAX_MODELS    16

typedef enum shoald_source {
    SHOALD_FROM_DEFAULT,
    SHOALD_FROM_FILE,
    SHOALD_FROM_COMMAND_LINE
} shoald_source;

typedef struct shoald_model_file {
    char name[SHOAL_MAX_MODEL_NAME + 1]; /* "": as the file says */
    char path[PATH_MAX];                 /* "": the built-in model */
} shoald_model_file;

typedef struct shoald_settings {
    char listen[SHOALD_MAX_LISTEN][SHOALD_LISTEN_LENGTH]; /* "127.0.0.1:7350" */
    int listen_count;
    shoald_source listen_source; /* a later source replaces the whole list */
    int insecure_listen;         /* also where others than this machine can reach it */
    shoald_model_file models[SHOALD_MAX_MODELS]; /* the first is the default */
    int model_count;
    shoald_source model_source; /* a later source replaces the whole list, too */
    int backend, precision;     /* shoal_backend, shoal_precision */
    int cache;                  /* shoal_cache */
    int workers;                /* 0: one a CPU */
    int log_level;              /* shoald_log_level */

    int max_sessions;
    int max_sessions_per_ip;              /* 0: no limit */
    int max_http_connections;             /* connections beside the sessions */
    int max_http_connections_per_ip;      /* of them, without a request; 0: no limit */
    char proxy_from[SHOALD_TRUST_LENGTH]; /* who speaks for others (net/proxy.h) */
    char tokens[PATH_MAX];                /* file of those who may (base/tokens.h); "": anybody */
    char origins[SHOALD_SITES_LENGTH],
        hosts[SHOALD_SITES_LENGTH]; /* beside our own (base/sites.h) */
    int max_uploads;                /* sessions by POST */
    int upload_percent_per_ip;      /* of them, for one address */
    int max_message_bytes;          /* of one binary message */
    int backlog_ms;                 /* audio waiting for a worker, a session */
    int output_buffer_bytes;        /* results waiting for the socket, a session */
    int batch_frames;               /* most frames in one engine run */
    int park_ms;                    /* a session waits so long for its client; 0: not */
    int park_sessions;              /* that wait at once, as the next */
    int park_bytes;
    int park_percent_per_ip; /* of both, for one address */
    int park_keep_bytes;     /* results kept after they were sent, a session */
    int default_depth;       /* 0: the model's full depth */

    int elastic;                                   /* 0 or 1, as is admission */
    int elastic_high_percent, elastic_low_percent; /* of a worker */
    int admission;
    int admission_percent; /* of all workers */
    int capacity;          /* streams at full depth; 0: measured */
    int late_limit_ms;     /* 0: no limit */
    int rebalance_percent; /* of a worker; 0: always */

    int handshake_timeout_s;   /* connected -> request complete */
    int start_timeout_s;       /* upgraded -> start or audio */
    int idle_timeout_s;        /* nothing from the client; 0: never */
    int ping_interval_s;       /* 0: never ping */
    int slow_reader_timeout_s; /* results wait and the client takes none */
    int drain_timeout_s;       /* SIGTERM -> gone */
    int stall_timeout_s;       /* a worker that makes no progress is sick */
    int retry_after_s;         /* advice to clients that are refused */
} shoald_settings;

void shoald_settings_default(shoald_settings *c);
/* How many it takes: sessions and HTTP connections need one each, and so do those that are refused
 * after the upgrade, which gates.c limits to as many; a file's decoder has three. */
size_t shoald_settings_descriptors(const shoald_settings *c);
/* One setting. why: cause and remedy. 0 or -1. */
int shoald_settings_set(shoald_settings *c, const char *key, const char *value,
                        shoald_source source, char *why, size_t why_size);
/* "key = value" lines, # comments. why names file and line. 0 or -1. */
int shoald_settings_read(shoald_settings *c, const char *path, char *why, size_t why_size);
/* Take from fresh what may change while running; names of the other keys that differ go to
 * pending, separated by commas ("" if none). */
void shoald_settings_reload(shoald_settings *c, const shoald_settings *fresh, char *pending,
                            size_t pending_size);

#endif

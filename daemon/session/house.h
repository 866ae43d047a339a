/* house.h - what the loop thread's rooms have in common: settings, service, ports, sessions
 *
 * session/ and net/ see this and no more of the process. Everything belongs to the loop thread; the
 * ports' atomics are what the workers tell. Made and torn down by server.c.
 */
#ifndef SHOALD_HOUSE_H
#define SHOALD_HOUSE_H

#include "base/models.h"
#include "base/settings.h"
#include "base/stats.h"
#include "base/tokens.h"
#include "lane.h"
#include "plan/govern.h"
#include "plan/parking.h"

struct lws_vhost;
struct shoald_session;

typedef struct shoald_house {
    /* set at the start, then constant; settings change with SIGHUP */
    shoald_settings settings;
    shoald_tokens tokens; /* change with SIGHUP, too */
    shoald_models models; /* and so do these */
    shoald_port **ports;  /* [port_count] one a worker */
    int port_count;
    struct lws_vhost *vhost; /* what adopts connections */
    uint64_t started_ns;
    double started_s; /* the same since 1970, as the clock had it then: /metrics */
    uint64_t id_salt;
    /* one message on its way to a link, of tx_size bytes at most; what lws puts before it has
     * room there; both grow with a larger model */
    unsigned char *tx;
    size_t tx_size;

    shoald_price price;       /* of a stream, as the workers have measured it, renewed by admit.c */
    shoald_governor governor; /* who gets in, how deep, where; admit.c acts on it */
    double *costs;            /* [port_count] scratch: what the sessions of each cost now */
    uint64_t *run_ns;         /* [port_count] scratch */
    bool refusing;            /* the last decision, for the log */
    bool moving;              /* a session is on its way from one worker to another */
    uint64_t balanced_ns;     /* when it was last looked whether one should */
    uint64_t migrations;

    struct shoald_session *sessions; /* list of all that hold a slot */
    int session_count;               /* refused ones not included */
    int upload_count;                /* of them, those that came by POST (net/post.c) */
    shoald_parked parked;            /* of them, those that wait for their clients */
    int leaving_count;               /* of them, those that were parked and are over */
    uint32_t chance;                 /* of the last time that somebody was told to wait */
    int refused_count;               /* in the list, but only until they have been told */
    struct shoald_session *review;   /* sessions to pause, resume or close */
    int connection_count;            /* TCP connections, sessions included */
    uint64_t next_session;           /* makes ids */
    bool draining;
    int stalled; /* a worker that makes no progress (watch.c); -1: none */
    shoald_loop_stats stats;
} shoald_house;

#endif

/* client_watch.h - a client that a libuv loop polls: the library's side of shoal_client_watch */
#ifndef SHOAL_CLIENT_WATCH_H
#define SHOAL_CLIENT_WATCH_H

#include "shoal-client.h"

typedef struct shoal__watch shoal__watch;

/* What a watch asks of its client. */
typedef struct shoal__watched {
    int (*poll)(shoal_client *c, int timeout_ms, shoal_client_event *e);
    int (*socket)(const shoal_client *c);      /* once the connection stands; -1: not yet */
    int (*wants_write)(const shoal_client *c); /* something waits to be sent */
} shoal__watched;

/* 0, or SHOAL_CLIENT_ENOMEM. */
int shoal__watch_start(shoal__watch **out, shoal_client *c, const shoal__watched *asks,
                       struct uv_loop_s *loop, shoal_client_on_event *on_event, void *user)
    __attribute__((warn_unused_result));
/* The client goes: no callback comes any more; memory goes when the loop has closed the handles.
 * NULL is fine. */
void shoal__watch_stop(shoal__watch *w);
/* The connection is gone; the next one is taken when it stands. */
void shoal__watch_drop_socket(shoal__watch *w);
void shoal__watch_soon(shoal__watch *w); /* the loop's thread: something was queued */
void shoal__watch_wake(shoal__watch *w); /* any thread, signal handlers too */

#endif

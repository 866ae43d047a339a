/* greeting.h - a connection that is no session: its socket, the answer that it gets, its end
 *
 * What greet.c is made of; that has the states and says when. Loop thread.
 */
#ifndef SHOALD_GREETING_H
#define SHOALD_GREETING_H

#include "net/answer.h"
#include "net/head.h"
#include "net/waiting.h"
#include "net/post.h"
#include "session/house.h"

#include <uv.h>

typedef struct shoald_door {
    shoald_house *house;
    uv_loop_t *loop;
    shoald_waiting waiting;
    shoald_posts posts;
    int answers;      /* on connections that stay, since the last tick */
    uint64_t told_ns; /* refusals in the log: since when these are counted */
    int told, untold;
    uint64_t full_ns; /* when it was last told that somebody had to go */
} shoald_door;

typedef struct shoald_greeting {
    shoald_member member; /* first: their pointer is ours */
    shoald_door *door;
    shoald_peer peer;
    uv_poll_t poll;
    uv_poll_cb on_event;
    int fd, events;
    uint64_t deadline_ns;
    bool awaits_proxy; /* whose it is, is told first */
    bool asked_before;
    int answers; /* since the last tick */

    char *bytes; /* [room] what has been read of a head */
    size_t size, room;
    shoald_head head;

    shoal_buf top; /* of the answer: its head */
    shoald_answer answer;
    size_t sent; /* of both */
    bool closes;
    size_t drained, most_drained;
} shoald_greeting;

void shoald_greeting_set_deadline(shoald_greeting *g, int seconds);
/* Call on_event for these, and for no other. */
void shoald_greeting_want(shoald_greeting *g, int events);
/* The request and its answer. */
void shoald_greeting_forget(shoald_greeting *g);
/* The socket is nobody's then. To be done before somebody else polls it. */
void shoald_greeting_let_go(shoald_greeting *g);
void shoald_greeting_end(shoald_greeting *g);
/* All that can be said without memory. */
void shoald_greeting_say_no_memory(int fd);

/* g->answer, if it was made (0, not -1), behind what is left of g->top. */
void shoald_greeting_answer(shoald_greeting *g, int made);
/* What is left of g->top, and no more. */
void shoald_greeting_await_reader(shoald_greeting *g);
/* The socket takes more of it. */
void shoald_greeting_go_on(shoald_greeting *g);
/* It has been answered for good, and bytes come. */
void shoald_greeting_drain(shoald_greeting *g);

/* status 0: the error's own */
void shoald_greeting_refuse(shoald_greeting *g, int status, const shoal_error *err);
void shoald_greeting_refuse_request(shoald_greeting *g, int status, const char *why);
/* Whoever sends many gets some of them told, and the number of the others. */
void shoald_greeting_log_refusal(shoald_greeting *g, int status, const char *why);
/* That number, when its second is over. */
void shoald_greeting_log_untold(shoald_door *d, uint64_t now_ns);

#endif

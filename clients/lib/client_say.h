/* client_say.h - a message of the client's, as text into a queue; pure */
#ifndef SHOAL_CLIENT_SAY_H
#define SHOAL_CLIENT_SAY_H

#include "lib/client_queue.h"
#include "shoal-client.h"

/* 0, SHOAL_CLIENT_EINVAL or _EFULL. */
int shoal__say(shoal__queue *q, int kind, const shoal_client_msg *m)
    __attribute__((warn_unused_result));

/* Of pings, and their answers, that the program knows nothing of. */
extern const char shoal__alive_id[];

#endif

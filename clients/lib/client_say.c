/* client_say.c - see client_say.h */
#include "lib/client_say.h"

const char shoal__alive_id[] = "libshoal-client: alive";

int shoal__say(shoal__queue *q, int kind, const shoal_client_msg *m)
{
    char text[SHOAL_MAX_TEXT_BYTES];
    shoal_buf buf;

    shoal_buf_wrap(&buf, text, sizeof text);
    if (shoal_client_msg_encode(&buf, m) < 0)
        return SHOAL_CLIENT_EINVAL;
    return shoal__queue_push(q, kind, buf.data, buf.size) < 0 ? SHOAL_CLIENT_EFULL : 0;
}

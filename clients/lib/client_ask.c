/* client_ask.c - requests that lie between the audio: set, flush, skip, ping, end; see
 * client_session.h
 */
#include <stdio.h>
#include <string.h>

#include "lib/client_say.h"
#include "lib/client_session.h"

static int push_control(shoal__session *s, int kind, const shoal_client_msg *m)
{
    return s->ended ? SHOAL_CLIENT_ESTATE : shoal__say(&s->out.tx, kind, m);
}

int shoal__session_set(shoal__session *s, const shoal_options *o)
{
    shoal_client_msg m = { .type = SHOAL_MSG_SET, .options = *o };

    s->other_places |= !!(o->given & SHOAL_OPT_CHUNK_MS);
    return push_control(s, SHOAL__REQUEST(SHOAL__ASK_SET), &m);
}

/* What lies behind it has places of its own: bytes of the audio no longer tell them. */
int shoal__session_skip(shoal__session *s, uint64_t samples)
{
    shoal_client_msg m = { .type = SHOAL_MSG_SKIP, .samples = samples };
    uint64_t rate = (uint64_t)(s->links ? s->granted.rate : s->params.options.rate);
    int r;

    if (samples < (rate + 49) / 50 || samples < 1 || samples > SHOAL_MAX_COUNT)
        return SHOAL_CLIENT_EINVAL;
    r = push_control(s, SHOAL__REQUEST(SHOAL__ASK_SKIP), &m);
    if (!r) {
        s->other_places = 1;
        s->skipped += samples;
    }
    return r;
}

static int push_id(shoal__session *s, shoal_msg_type type, int kind, const char *id)
{
    shoal_client_msg m = { .type = type };

    if (id && strlen(id) > SHOAL_MAX_ID)
        return SHOAL_CLIENT_EINVAL;
    snprintf(m.id, sizeof m.id, "%s", id ? id : "");
    return push_control(s, kind, &m);
}

int shoal__session_flush(shoal__session *s, const char *id)
{
    return push_id(s, SHOAL_MSG_FLUSH, SHOAL__REQUEST(SHOAL__ASK_FLUSH), id);
}

int shoal__session_ping(shoal__session *s, const char *id)
{
    return push_id(s, SHOAL_MSG_PING, SHOAL__REQUEST(SHOAL__ASK_PING), id);
}

int shoal__session_end(shoal__session *s)
{
    int r = push_id(s, SHOAL_MSG_END, SHOAL__REQUEST(SHOAL__ASK_END), NULL);

    if (!r)
        s->ended = 1;
    return r;
}

int64_t shoal__session_tick(shoal__session *s, int64_t now_ms)
{
    int64_t every_ms = (int64_t)s->ready.idle_timeout_s * 1000 / 3;

    if (!s->params.keep_alive || !s->progress.ready || !every_ms || s->ended || s->over)
        return INT64_MAX;
    if (s->sent_messages != s->seen_messages || !s->quiet_since_ms) {
        s->seen_messages = s->sent_messages;
        s->quiet_since_ms = now_ms;
    }
    if (now_ms - s->quiet_since_ms >= every_ms) {
        s->quiet_since_ms = now_ms;
        /* While something waits to be sent it is the server that does not read. */
        if (!shoal__queue_used(&s->out.tx) &&
            push_id(s, SHOAL_MSG_PING, SHOAL__REQUEST(SHOAL__ASK_ALIVE), shoal__alive_id) < 0)
            return now_ms + every_ms;
    }
    return s->quiet_since_ms + every_ms;
}

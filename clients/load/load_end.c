/* load_end.c - one session: how it ended, and what it still owed */
#include <stdarg.h>

#include "load/load_link.h"

/* Frames that the server owes for the audio of the whole plan: none to who was refused when it
 * began to speak. */
static void count_owed(load_session *s, load_end end)
{
    load_stats *st = s->run->st;
    int64_t ms = s->plan->packets * s->plan->packet_ms;
    uint64_t owed = (uint64_t)((ms + SHOAL_FRAME_MS - 1) / SHOAL_FRAME_MS);

    st->active--;
    if (end == LOAD_REFUSED)
        return;
    st->expected += owed;
    st->missing += owed > s->frames ? owed - s->frames : 0;
}

static void count_end(load_session *s, load_end end)
{
    load_stats *st = s->run->st;

    st->finished += end == LOAD_FINISHED;
    st->refused += end == LOAD_REFUSED;
    st->failed += end == LOAD_FAILED;
    st->seq_gaps += s->progress.seq_gaps;
    if (s->ready)
        count_owed(s, end);
}

void load_session_close(load_session *s, load_end end, const char *fmt, ...)
{
    char text[LOAD_REASON_BYTES];
    va_list args;

    if (s->state == LOAD_CLOSED)
        return;
    if (end == LOAD_FAILED || end == LOAD_REFUSED) {
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        load_stats_reason(s->run->st, text);
    }
    count_end(s, end);
    load_link_close(s);
    shoal_buf_free(&s->out);
    shoal_buf_free(&s->in);
    s->state = LOAD_CLOSED;
    s->run->open--;
}

/* client_resume.c - see client_resume.h */
#include "lib/client_resume.h"

#include <stdio.h>
#include <string.h>

#include "lib/client_again.h"

/* ---- from where ---- */

/* Frames whose results the program has, of every output. */
static uint64_t frames_done(const shoal__session *s)
{
    uint64_t frames = s->join.processed * (1000 / SHOAL_FRAME_MS) / (uint64_t)s->granted.rate;

    return shoal__join_rows_done(&s->join, frames);
}

/* Where the chunks count from that lie before frame, of what is remembered. */
static uint64_t grid_before(const shoal__session *s, uint64_t frame)
{
    uint64_t origin = 0;

    for (int i = 0; i < s->grid_count && i < SHOAL__GRIDS; i++)
        if (s->grids[i] <= frame && s->grids[i] > origin)
            origin = s->grids[i];
    return origin;
}

static uint64_t byte_of(const shoal__session *s, uint64_t frame)
{
    return shoal_frame_start_sample(frame, s->granted.rate) *
           shoal__again_sample_bytes(&s->granted);
}

static uint64_t best_frame(const shoal__session *s)
{
    uint64_t done = frames_done(s), reach = shoal__again_reach_ms(&s->ready) / SHOAL_FRAME_MS;

    return shoal__again_frame(&s->ready, done, grid_before(s, done > reach ? done - reach : 0));
}

static void note_loss(shoal__session *s, uint64_t frame)
{
    uint64_t sample = shoal_frame_start_sample(frame, s->granted.rate);
    uint64_t taken = s->audio_taken / shoal__again_sample_bytes(&s->granted);
    shoal_client_gap *g = &s->gap;

    *g = (shoal_client_gap){ .from_sample = s->join.processed, .from_frame = frames_done(s) };
    g->samples = sample > g->from_sample ? sample - g->from_sample : 0;
    g->frames = frame > g->from_frame ? frame - g->from_frame : 0;
    g->replayed = s->out.kept.to / shoal__again_sample_bytes(&s->granted);
    g->replayed = g->replayed > sample ? g->replayed - sample : 0;
    g->replayed = g->replayed < taken ? g->replayed : taken;
}

/* The frame at which the new connection begins. */
static uint64_t choose_frame(shoal__session *s)
{
    uint64_t frame = best_frame(s);

    s->gap_text[0] = 0;
    if (byte_of(s, frame) < s->out.kept.from) {
        frame = shoal__again_first_frame(&s->ready, s->out.kept.from);
        snprintf(s->gap_text, sizeof s->gap_text,
                 "the audio on which results depend is not kept any more: keep_bytes is too small");
    }
    note_loss(s, frame);
    if (s->gap_text[0])
        snprintf(s->gap.name, sizeof s->gap.name, "audio_forgotten");
    return frame;
}

/* ---- the session itself, which the server has parked ---- */

void shoal__resume_query(const shoal__session *s, char to[SHOAL__RESUME_QUERY])
{
    shoal_resume r = { .got = s->got };
    shoal_buf buf;

    to[0] = 0;
    if (!s->coming_back)
        return;
    snprintf(r.ticket, sizeof r.ticket, "%s", s->ready.ticket);
    shoal_buf_wrap(&buf, to, SHOAL__RESUME_QUERY);
    if (shoal_resume_encode_query(&buf, &r) < 0)
        to[0] = 0;
}

/* Who was refused does not ask again. */
static int begin_there(shoal__session *s)
{
    if (s->coming_back && s->has_failure && !shoal__again_helps(&s->failure))
        s->ready.ticket[0] = 0;
    s->coming_back = *s->ready.ticket != 0;
    if (!s->coming_back)
        return 0;
    shoal__session_renew(s, 0);
    shoal__queue_clear(&s->out.hello);
    shoal__out_wait(&s->out);
    return 1;
}

static uint64_t replayed(const shoal__session *s, uint64_t byte)
{
    uint64_t unit = shoal__again_sample_bytes(&s->granted);

    return unit && s->out.kept.to > byte ? (s->out.kept.to - byte) / unit : 0;
}

/* Results go on as if nothing had been; the join knows nothing of it. */
static int take_there(shoal__session *s, shoal_client_event *e)
{
    const shoal_ready *r = e->ready;

    if (!r->is_resumed || shoal__out_continue(&s->out, r->held_bytes, r->held_requests) < 0) {
        s->ready.ticket[0] = 0;
        shoal__session_fail(s, SHOAL_CLIENT_LOST, "cannot_resume",
                            "what the server holds of the session is not what was sent to it");
        shoal__session_stop(s);
        return 0;
    }
    s->gap = (shoal_client_gap){ .from_sample = s->join.processed,
                                 .from_frame = s->join.frames,
                                 .replayed = replayed(s, r->held_bytes),
                                 .parked = 1 };
    return 1;
}

/* ---- a new session ---- */

int shoal__resume_begin(shoal__session *s)
{
    shoal_client_msg start = { .type = SHOAL_MSG_START, .options = s->granted };
    char text[SHOAL_MAX_TEXT_BYTES];
    uint64_t frame;
    shoal_buf buf;

    if (begin_there(s))
        return 0;
    shoal__session_renew(s, 1);
    s->got = 0;
    shoal_buf_wrap(&buf, text, sizeof text);
    if (shoal_client_msg_encode(&buf, &start) < 0)
        return SHOAL_CLIENT_ENOMEM;
    shoal__queue_clear(&s->out.hello);
    if (shoal__queue_push(&s->out.hello, SHOAL__TEXT, buf.data, buf.size) < 0)
        return SHOAL_CLIENT_ENOMEM;
    frame = choose_frame(s);
    shoal__out_again(&s->out, byte_of(s, frame));
    shoal__join_again(&s->join, frame, shoal_frame_start_sample(frame, s->granted.rate));
    return 0;
}

/* ---- is it the same? ---- */

/* NULL, or the name of what keeps results from joining; its text in s->gap_text. */
static const char *what_differs(shoal__session *s, const shoal_ready *now)
{
    const char *name = shoal__again_differs(&s->ready, now, s->gap_text, sizeof s->gap_text);

    return name ? name : s->gap.name[0] ? s->gap.name : NULL;
}

static int refuse(shoal__session *s, const char *name)
{
    char why[32];

    snprintf(why, sizeof why, "%s", name);
    shoal__session_fail(s, SHOAL_CLIENT_REJECTED, why,
                        "the session cannot go on where it was: %s; start a new one", s->gap_text);
    shoal__session_stop(s);
    return 0;
}

static size_t most_of(const shoal__session *s, const shoal_ready *r)
{
    uint64_t granted = r->max_message_bytes ? r->max_message_bytes : SHOAL__SAFE_MESSAGE_BYTES;

    return granted < s->params.message_bytes ? (size_t)granted : s->params.message_bytes;
}

static int take_anew(shoal__session *s, const shoal_client_event *e)
{
    const char *name = what_differs(s, e->ready);

    if (name && !s->params.gaps)
        return refuse(s, name);
    if (name && name != s->gap.name)
        snprintf(s->gap.name, sizeof s->gap.name, "%s", name);
    return 1;
}

int shoal__resume_take(shoal__session *s, shoal_client_event *e)
{
    if (e->type != SHOAL_CLIENT_READY || e->ready == &s->ready)
        return 1;
    if (s->coming_back ? !take_there(s, e) : !take_anew(s, e))
        return 0;
    s->coming_back = 0;
    s->ready = *e->ready;
    s->granted = s->ready.options;
    s->links++;
    shoal__out_open(&s->out, most_of(s, &s->ready));
    *e = (shoal_client_event){ .type = SHOAL_CLIENT_RESUMED, .ready = &s->ready, .gap = &s->gap };
    return 1;
}

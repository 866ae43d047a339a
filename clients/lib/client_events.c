/* client_events.c - see client_events.h */
#include "lib/client_events.h"

#include <stdlib.h>
#include <string.h>

#include "lib/client_queue.h"

static void count_result(shoal__progress *p, uint32_t seq, uint64_t received, uint64_t processed)
{
    p->seq_gaps += (uint32_t)(seq - p->next_seq);
    p->next_seq = seq + 1;
    p->received = received;
    p->processed = processed;
}

static int reserve_rows(shoal__scratch *scratch, size_t n, shoal_error *err)
{
    float *rows;

    if (n <= scratch->rows_cap)
        return 0;
    rows = malloc(n * sizeof *rows);
    if (!rows) {
        shoal_error_set(err, SHOAL_CODE_INTERNAL, NULL, "out of memory");
        return -1;
    }
    free(scratch->rows);
    scratch->rows = rows;
    scratch->rows_cap = n;
    return 0;
}

static int take_features(shoal__progress *p, shoal__scratch *scratch, const shoal_packet *packet,
                         shoal_client_event *e, shoal_error *err)
{
    uint64_t row_ms = packet->row_ms ? packet->row_ms : SHOAL_FRAME_MS;
    uint64_t end = packet->first_frame + (uint64_t)packet->frames * row_ms / SHOAL_FRAME_MS;

    if (!scratch->no_rows) {
        if (reserve_rows(scratch, (size_t)packet->frames * (size_t)packet->dim, err) < 0)
            return -1;
        shoal_packet_values(packet, scratch->rows);
    }
    count_result(p, packet->seq, packet->received, packet->processed);
    p->packets++;
    p->frames = end > p->frames ? end : p->frames;
    e->type = SHOAL_CLIENT_FEATURES;
    e->packet = packet;
    e->rows = scratch->rows;
    return 1;
}

static int take_phones(shoal__progress *p, const shoal_phones *m, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_PHONES;
    e->phones = m;
    count_result(p, m->seq, m->received, m->processed);
    p->phones += (uint64_t)m->count;
    return 1;
}

static int take_activity(shoal__progress *p, const shoal_wire_activity *m, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_ACTIVITY;
    e->activity = m;
    count_result(p, m->seq, m->received, m->processed);
    return 1;
}

static int take_flushed(shoal__progress *p, const shoal_flushed *m, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_FLUSHED;
    e->flushed = m;
    p->received = m->received;
    p->processed = m->processed;
    return 1;
}

/* How a session stands: ready, done, error. */
static int take_state(shoal__progress *p, const shoal_server_msg *m, shoal_client_event *e)
{
    switch (m->type) {
    case SHOAL_MSG_READY:
        p->ready = 1;
        e->type = SHOAL_CLIENT_READY;
        e->ready = &m->u.ready;
        return 1;
    case SHOAL_MSG_DONE:
        p->done = 1;
        e->type = SHOAL_CLIENT_DONE;
        e->done = &m->u.done;
        return 1;
    case SHOAL_MSG_ERROR:
        p->error_code = m->u.error.code;
        e->type = SHOAL_CLIENT_ERROR;
        e->error = &m->u.error;
        return 1;
    default: return 0;
    }
}

static int take_text(shoal__progress *p, shoal__scratch *scratch, shoal_client_event *e,
                     shoal_error *err)
{
    const shoal_server_msg *m = &scratch->msg;

    switch (m->type) {
    case SHOAL_MSG_PHONES: return take_phones(p, &m->u.phones, e);
    case SHOAL_MSG_ACTIVITY: return take_activity(p, &m->u.activity, e);
    case SHOAL_MSG_FEATURES: return take_features(p, scratch, &m->u.features, e, err);
    case SHOAL_MSG_FLUSHED: return take_flushed(p, &m->u.flushed, e);
    case SHOAL_MSG_CHANGED:
        e->type = SHOAL_CLIENT_CHANGED;
        e->changed = &m->u.changed;
        return 1;
    case SHOAL_MSG_PONG:
        e->type = SHOAL_CLIENT_PONG;
        e->id = m->u.id;
        return 1;
    default: return take_state(p, m, e);
    }
}

int shoal__event_make(shoal__progress *p, shoal__scratch *scratch, int kind, const void *bytes,
                      size_t n, shoal_client_event *e, shoal_error *err)
{
    shoal__scratch_release(scratch);
    memset(e, 0, sizeof *e);
    if (kind == SHOAL__BINARY) {
        if (shoal_packet_decode(&scratch->packet, bytes, n, err) < 0)
            return -1;
        return take_features(p, scratch, &scratch->packet, e, err);
    }
    if (shoal_server_msg_decode(&scratch->msg, bytes, n, err) < 0)
        return -1;
    scratch->has_msg = 1;
    return take_text(p, scratch, e, err);
}

void shoal__scratch_release(shoal__scratch *scratch)
{
    if (scratch->has_msg)
        shoal_server_msg_free(&scratch->msg);
    scratch->has_msg = 0;
}

void shoal__scratch_free(shoal__scratch *scratch)
{
    shoal__scratch_release(scratch);
    free(scratch->rows);
    scratch->rows = NULL;
    scratch->rows_cap = 0;
}

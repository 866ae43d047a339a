/* client_run.c - a recording in one call: see shoal_client_run
 *
 * Only the library's public calls: a loop that sends what fits and keeps what comes.
 */
#include "shoal-client.h"

#include <stdlib.h>
#include <string.h>

typedef struct run {
    shoal_client *client;
    shoal_client_result *to;
    const uint8_t *audio;
    size_t bytes, sent;
    int ended, no_memory;
} run;

/* Append n elements of size bytes. Doubles: count is a power of two when the room is used up. */
static void *append(run *r, void *array, size_t count, const void *more, size_t n, size_t size)
{
    size_t room = 1, need = count + n;
    char *p = array;

    while (room < count)
        room *= 2;
    if (!p || need > room) {
        while (room < need)
            room *= 2;
        p = realloc(array, room * size);
    }
    if (!p) {
        r->no_memory = 1;
        return array;
    }
    memcpy(p + count * size, more, n * size);
    return p;
}

/* ---- results ---- */

static shoal_client_rows *find_rows(run *r, const shoal_packet *p)
{
    shoal_client_result *to = r->to;
    shoal_client_rows fresh = { .kind = p->kind, .tap = p->tap, .dim = p->dim };

    for (int i = 0; i < to->rows_count; i++)
        if (to->rows[i].kind == p->kind && to->rows[i].tap == p->tap)
            return &to->rows[i];
    to->rows = append(r, to->rows, (size_t)to->rows_count, &fresh, 1, sizeof fresh);
    return r->no_memory ? NULL : &to->rows[to->rows_count++];
}

static void take_rows(run *r, const shoal_packet *p, const float *rows)
{
    shoal_client_rows *to = find_rows(r, p);
    size_t row = (size_t)p->dim * sizeof *rows;

    if (!to || !p->frames || p->dim != to->dim)
        return;
    to->values = append(r, to->values, to->frames, rows, (size_t)p->frames, row);
    to->frames += r->no_memory ? 0 : (size_t)p->frames;
}

static void take_phones(run *r, const shoal_phones *m)
{
    for (int i = 0; i < m->count && !r->no_memory; i++) {
        shoal_client_phone p = { m->phones[i], m->tap, m->depth };

        r->to->phones = append(r, r->to->phones, r->to->phone_count, &p, 1, sizeof p);
        r->to->phone_count += !r->no_memory;
    }
}

static void take_activity(run *r, const shoal_wire_activity *m)
{
    r->to->activity = append(r, r->to->activity, r->to->activity_count, m, 1, sizeof *m);
    r->to->activity_count += !r->no_memory;
}

static void take(run *r, const shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY: r->to->ready = *e->ready; break;
    case SHOAL_CLIENT_FEATURES: take_rows(r, e->packet, e->rows); break;
    case SHOAL_CLIENT_PHONES: take_phones(r, e->phones); break;
    case SHOAL_CLIENT_ACTIVITY: take_activity(r, e->activity); break;
    case SHOAL_CLIENT_DONE: r->to->done = *e->done; break;
    case SHOAL_CLIENT_CLOSED:
        if (e->failure)
            r->to->failure = *e->failure;
        break;
    default: break;
    }
}

/* ---- the loop ---- */

/* What does not fit waits for ROOM. */
static void send_some(run *r)
{
    if (r->sent < r->bytes)
        r->sent += shoal_client_send(r->client, r->audio + r->sent, r->bytes - r->sent);
    if (r->sent == r->bytes && !r->ended)
        r->ended = shoal_client_end(r->client) == 0;
}

static int run_session(run *r)
{
    shoal_client_event e;
    int got;

    do {
        send_some(r);
        got = shoal_client_poll(r->client, -1, &e);
        if (got > 0)
            take(r, &e);
    } while (got >= 0 && !r->no_memory);
    if (r->no_memory)
        return SHOAL_CLIENT_ENOMEM;
    return r->to->failure.cause ? SHOAL_CLIENT_EFAILED : 0;
}

int shoal_client_run(shoal_client_result *out, const char *url, const shoal_client_params *params,
                     const void *audio, size_t bytes, char *why, size_t why_size)
{
    run r = { .to = out, .audio = audio, .bytes = bytes };
    int code;

    memset(out, 0, sizeof *out);
    code = shoal_client_open(&r.client, url, params, why, why_size);
    if (code < 0)
        return code;
    code = run_session(&r);
    shoal_client_free(r.client);
    if (code == SHOAL_CLIENT_ENOMEM)
        shoal_client_result_free(out);
    return code;
}

void shoal_client_result_free(shoal_client_result *r)
{
    for (int i = 0; i < r->rows_count; i++)
        free(r->rows[i].values);
    free(r->rows);
    free(r->phones);
    free(r->activity);
    memset(r, 0, sizeof *r);
}

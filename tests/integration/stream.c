/* stream.c - one session from start to end, and what it gave: see integration.h */
#include "integration.h"
#include "shoal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BYTES_PER_MS = 32 }; /* s16le mono 16 kHz */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- audio ---- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

int16_t *make_audio(size_t samples, unsigned seed)
{
    int16_t *audio = malloc((samples + 1) * sizeof *audio);
    uint32_t state = seed * 2654435761u + 1;

    ck_assert(audio != NULL);
    for (size_t i = 0; i < samples; i++) {
        double t = (double)i / 16000;
        double voice = sin(2 * M_PI * 140 * t) + sin(2 * M_PI * (700 + 300 * sin(5 * t)) * t) / 2;
        double loud = 0.5 + 0.5 * sin(2 * M_PI * 3.1 * t + seed);
        double noise = (double)next_random(&state) / (1 << 24) - 0.5;

        audio[i] = (int16_t)(6000 * loud * voice + 3000 * noise);
    }
    return audio;
}

/* ---- results ---- */

static void add_rows(stream_rows *to, const shoal_packet *p, const float *rows)
{
    size_t dim = (size_t)p->dim, n = to->frames + (size_t)p->frames;

    ck_assert_msg(p->first_frame * SHOAL_FRAME_MS == to->frames * p->row_ms,
                  "packet begins at frame %llu, not %zu", (unsigned long long)p->first_frame,
                  to->frames);
    to->rows = realloc(to->rows, (n * dim + 1) * sizeof *to->rows);
    to->depths = realloc(to->depths, n + 1);
    ck_assert(to->rows && to->depths);
    memcpy(to->rows + to->frames * dim, rows, (size_t)p->frames * dim * sizeof *rows);
    memset(to->depths + to->frames, p->depth, (size_t)p->frames);
    to->frames = n;
    to->dim = p->dim;
}

stream_tap *stream_get_tap(stream_result *r, int depth)
{
    int i = 0;

    while (i < r->tap_count && r->taps[i].depth != depth)
        i++;
    ck_assert_int_lt(i, SHOAL_MAX_TAPS);
    if (i == r->tap_count)
        r->taps[r->tap_count++].depth = depth;
    return &r->taps[i];
}

static void add_phones(shoal_wire_phone **to, size_t *count, const shoal_phones *p)
{
    size_t n = (size_t)p->count;

    *to = realloc(*to, (*count + n + 1) * sizeof **to);
    ck_assert(*to != NULL);
    memcpy(*to + *count, p->phones, n * sizeof **to);
    *count += n;
}

static int was_shown(const stream_result *r, const shoal_wire_phone *p)
{
    for (int i = 0; i < r->tentative_count; i++) {
        const shoal_wire_phone *shown = &r->tentative[i].phone;
        if (strcmp(shown->phone, p->phone) == 0 && fabs(shown->start - p->start) < 0.05)
            return 1;
    }
    return 0;
}

static void take_tentative(stream_result *r, const shoal_phones *p)
{
    for (int i = 0; i < p->count; i++)
        r->shown_before += (size_t)was_shown(r, &p->phones[i]);
    r->shown_count += p->tentative_count > 0;
    r->tentative_count = p->tentative_count;
    memcpy(r->tentative, p->tentative, sizeof r->tentative);
}

static void take_phones(stream_result *r, const shoal_phones *p)
{
    if (!p->tap)
        take_tentative(r, p);
    stream_tap *t = p->tap ? stream_get_tap(r, p->tap) : NULL;

    add_phones(t ? &t->phones : &r->phones, t ? &t->phone_count : &r->phone_count, p);
    if (t)
        t->phones_depth = p->depth;
}

static void take_features(stream_result *r, const shoal_packet *p, const float *rows)
{
    stream_tap *t = p->tap ? stream_get_tap(r, p->tap) : NULL;
    stream_rows *to;

    switch (p->kind) {
    case SHOAL_KIND_POSTERIORS: to = t ? &t->posteriors : &r->posteriors; break;
    case SHOAL_KIND_EMBEDDING: to = t ? &t->embedding : &r->embedding; break;
    case SHOAL_KIND_HIDDEN: to = t ? &t->hidden : p->depth ? &r->hidden : &r->front; break;
    default: to = &r->mel; break;
    }
    r->packets++;
    add_rows(to, p, rows);
}

static void add_flushed(stream_result *r, const shoal_flushed *f)
{
    ck_assert_int_lt(r->flushed_count, STREAM_MAX_EVENTS);
    r->flushed_frames[r->flushed_count] = r->posteriors.frames;
    r->flushed[r->flushed_count++] = *f;
}

static void take_event(stream_result *r, const shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY: r->ready = *e->ready; break;
    case SHOAL_CLIENT_FEATURES: take_features(r, e->packet, e->rows); break;
    case SHOAL_CLIENT_PHONES: take_phones(r, e->phones); break;
    case SHOAL_CLIENT_ACTIVITY:
        ck_assert_int_lt(r->activity_count, STREAM_MAX_EVENTS);
        r->activity[r->activity_count++] = *e->activity;
        break;
    case SHOAL_CLIENT_CHANGED:
        ck_assert_int_lt(r->changed_count, STREAM_MAX_EVENTS);
        r->changed[r->changed_count++] = *e->changed;
        break;
    case SHOAL_CLIENT_FLUSHED: add_flushed(r, e->flushed); break;
    case SHOAL_CLIENT_DONE:
        r->done = *e->done;
        r->has_done = 1;
        break;
    case SHOAL_CLIENT_ERROR: r->error = *e->error; break;
    case SHOAL_CLIENT_CLOSED: r->close_code = e->close_code; break;
    case SHOAL_CLIENT_AWAY: r->away_count++; break;
    case SHOAL_CLIENT_RESUMED:
        r->resumed_count++;
        r->gap = *e->gap;
        break;
    default: break;
    }
}

/* ---- sending ---- */

typedef struct sender {
    const stream_plan *plan;
    shoal_client *client;
    size_t sent, slice_left;
    int slice, controlled, ended;
    int64_t started_ms;
} sender;

static size_t next_slice(sender *s)
{
    const size_t *slices = s->plan->slices;

    if (!slices)
        return 64 << 10;
    if (!slices[s->slice])
        s->slice = 0;
    return slices[s->slice++];
}

/* How far the audio may go now: to the pause for control, and no faster than real time. */
static size_t limit_of(const sender *s)
{
    size_t limit = s->plan->size;

    if (!s->controlled && s->plan->control_at && s->plan->control_at < limit)
        limit = s->plan->control_at;
    if (s->plan->realtime) {
        size_t due = (size_t)(now_ms() - s->started_ms) * BYTES_PER_MS;
        limit = due < limit ? due : limit;
    }
    if (s->plan->limit) {
        size_t allowed = s->plan->limit(s->plan->user);
        limit = allowed < limit ? allowed : limit;
    }
    return limit;
}

static void send_control(sender *s)
{
    char id[16];

    s->controlled = 1;
    if (s->plan->set)
        ck_assert_int_eq(shoal_client_set(s->client, s->plan->set), 0);
    for (int i = 0; i < s->plan->flushes; i++) {
        snprintf(id, sizeof id, "%d", i);
        ck_assert_int_eq(shoal_client_flush(s->client, id), 0);
    }
}

/* Send one slice if it may go. Returns 1 if there is more to send at once. */
static int send_some(sender *s)
{
    size_t limit = limit_of(s), n;

    if (s->ended)
        return 0;
    if (!s->controlled && s->sent == s->plan->control_at)
        send_control(s);
    if (s->sent == s->plan->size) {
        s->ended = shoal_client_end(s->client) == 0;
        return 0;
    }
    if (limit <= s->sent)
        return 0;
    if (!s->slice_left)
        s->slice_left = next_slice(s);
    n = s->slice_left < limit - s->sent ? s->slice_left : limit - s->sent;
    size_t taken = shoal_client_send(s->client, (const uint8_t *)s->plan->audio + s->sent, n);
    s->sent += taken;
    s->slice_left -= taken;
    return taken == n;
}

void stream_run(stream_result *r, int port, const stream_plan *plan)
{
    sender s = { .plan = plan, .started_ms = now_ms() };
    shoal_client_params p = shoal_client_default_params();
    shoal_client_event e;
    char url[2048], why[512];
    int got;

    memset(r, 0, sizeof *r);
    p.message_bytes = SHOAL_MAX_AUDIO_BYTES;
    p.connect_timeout_ms = PATIENCE_MS;
    p.reconnect_ms = plan->reconnect_ms;
    p.keep_bytes = plan->keep_bytes;
    p.allow_gaps = plan->allow_gaps;
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/?%s", port, plan->query);
    ck_assert_msg(shoal_client_open(&s.client, url, &p, why, sizeof why) == 0, "%s", why);
    do {
        int more = send_some(&s);
        int wait = more ? 0 : plan->realtime && !s.ended ? 5 : PATIENCE_MS;

        got = shoal_client_poll(s.client, wait, &e);
        ck_assert_msg(got || wait < PATIENCE_MS, "nothing happens any more");
        if (got > 0)
            take_event(r, &e);
        if (got > 0 && plan->each)
            plan->each(plan->user, &e);
    } while (got >= 0);
    r->stats = shoal_client_get_stats(s.client);
    shoal_client_free(s.client);
}

static void free_rows(stream_rows *rows)
{
    free(rows->rows);
    free(rows->depths);
}

void stream_free(stream_result *r)
{
    for (int i = 0; i < r->tap_count; i++) {
        free_rows(&r->taps[i].posteriors);
        free_rows(&r->taps[i].embedding);
        free_rows(&r->taps[i].hidden);
        free(r->taps[i].phones);
    }
    free_rows(&r->posteriors);
    free_rows(&r->embedding);
    free_rows(&r->hidden);
    free_rows(&r->front);
    free_rows(&r->mel);
    free(r->phones);
    memset(r, 0, sizeof *r);
}

/* ---- checks ---- */

static void check_rows_complete(const stream_rows *rows, const shoal_done *done)
{
    if (rows->frames)
        ck_assert_uint_eq(rows->frames, done->frames);
}

void stream_check_complete(const stream_result *r, size_t samples, int rate)
{
    ck_assert_msg(r->has_done, "no done; error: %s", r->error.message);
    ck_assert_int_eq(r->close_code, 1000);
    ck_assert_uint_eq(r->done.received, samples);
    ck_assert_uint_eq(r->done.processed, samples);
    uint64_t phones = r->phone_count;
    for (int i = 0; i < r->tap_count; i++)
        phones += r->taps[i].phone_count;
    ck_assert_uint_eq(r->done.phones, phones);
    ck_assert_uint_eq(r->done.packets, r->packets);
    ck_assert_uint_eq(r->stats.seq_gaps, 0);
    ck_assert_double_ge((double)(r->done.frames + 1) * shoal_frame_samples(rate), (double)samples);
    check_rows_complete(&r->posteriors, &r->done);
    check_rows_complete(&r->embedding, &r->done);
    for (int i = 0; i < r->tap_count; i++) {
        check_rows_complete(&r->taps[i].posteriors, &r->done);
        check_rows_complete(&r->taps[i].embedding, &r->done);
    }
}

void stream_check_close(const stream_rows *a, const stream_rows *b, float tolerance)
{
    size_t n = a->frames * (size_t)a->dim, worst = 0;
    float most = -1;

    ck_assert_uint_eq(a->frames, b->frames);
    ck_assert_uint_gt(a->frames, 0);
    ck_assert_int_eq(a->dim, b->dim);
    for (size_t i = 0; i < n; i++) {
        float d = fabsf(a->rows[i] - b->rows[i]);
        if (!(d <= most)) {
            most = d;
            worst = i;
        }
    }
    ck_assert_msg(most <= tolerance, "frame %zu value %zu: %.9g and %.9g, apart by %g",
                  worst / (size_t)a->dim, worst % (size_t)a->dim, (double)a->rows[worst],
                  (double)b->rows[worst], (double)most);
}

int features_are_invariant(void)
{
    static int known = -1;
    shoal_model *m;

    if (known < 0) {
        ck_assert_int_eq(shoal_model_open(&m, test_model_path(), NULL, 0), 0);
        known = shoal_model_get_info(m)->row_invariant;
        shoal_model_close(m);
    }
    return known;
}

void stream_check_company(const stream_rows *a, const stream_rows *b)
{
    if (features_are_invariant())
        stream_check_same(a, b);
    else
        stream_check_close(a, b, 1e-4);
}

void stream_check_same(const stream_rows *a, const stream_rows *b)
{
    stream_check_close(a, b, 0);
    ck_assert(!memcmp(a->rows, b->rows, a->frames * (size_t)a->dim * sizeof *a->rows));
    ck_assert(!memcmp(a->depths, b->depths, a->frames));
}

shoal_ready *read_ready(raw_ws *w)
{
    static shoal_server_msg m;
    shoal_ready *ready = malloc(sizeof *ready);
    shoal_error bad;
    raw_frame f;

    ck_assert_int_eq(raw_ws_recv_opcode(w, &f, RAW_TEXT, PATIENCE_MS), 1);
    ck_assert_int_eq(shoal_server_msg_decode(&m, (const char *)f.data, f.size, &bad), 0);
    ck_assert_int_eq(m.type, SHOAL_MSG_READY);
    *ready = m.u.ready;
    shoal_server_msg_free(&m);
    memset(ready->session, 0, sizeof ready->session);
    return ready;
}

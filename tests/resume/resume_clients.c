/* resume_clients.c - N sessions in one thread, whatever happens to their connections
 *
 *     resume_clients URL CLIENTS SECONDS PACE OUT [GO]
 *
 * Each sends noise of its own, PACE times as fast as real time (0: as fast as it is taken), in
 * s16le at 16 kHz; a flush lies in its midst. None ends before there is a file GO, so that what
 * shall happen to them has happened, however slow the machine is. OUT gets a block for each client,
 * all in the machine's order:
 *
 *     uint32 rows, dim, phones, parked, replayed, flushed
 *     uint64 samples lost, sent again
 *     float [rows][dim]
 *     phones: { char label[16]; double start, end }
 *
 * Rows are checked as they come: each frame once, in order. What fails is told on stderr, exit
 * status 1.
 */
#include <shoal-client.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RATE = 16000, PIECE = 1600 /* samples: 100 ms */, RECONNECT_MS = 60000 };

typedef struct told_phone {
    char label[16];
    double start, end;
} told_phone;

typedef struct client {
    shoal_client *c;
    int16_t *audio;
    size_t samples, sent; /* bytes of it have gone: sent */
    uint32_t rows, dim, phone_count, parked, replayed, flushed;
    uint64_t lost, again; /* samples */
    float *values;
    told_phone *phones;
    int index, asked_flush, ended, done, closed;
} client;

static int failures;
static const char *go; /* NULL: they may end at any time */

static void fail(const client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(const client *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "client %d: ", c->index);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    failures++;
}

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one client ---- */

/* Noise in bursts, the same for the same index in every run. */
static void make_audio(client *c, double seconds)
{
    uint32_t x = (uint32_t)c->index * 2654435761u + 12345;

    c->samples = (size_t)(seconds * RATE);
    c->audio = need(malloc(c->samples * sizeof *c->audio));
    for (size_t i = 0; i < c->samples; i++) {
        int loud = (i / 4000 + (size_t)c->index) % 5 ? 6000 : 60;

        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        c->audio[i] = (int16_t)((int)(x % (unsigned)(2 * loud)) - loud);
    }
}

static void open_client(client *c, const char *url)
{
    shoal_client_params p = shoal_client_default_params();
    char why[512];

    p.reconnect_ms = RECONNECT_MS;
    p.ping_s = 2;
    if (shoal_client_open(&c->c, url, &p, why, sizeof why) < 0) {
        fail(c, "%s", why);
        c->closed = 1;
    }
}

static void take_rows(client *c, const shoal_client_event *e)
{
    const shoal_packet *p = e->packet;
    size_t n = (size_t)p->frames * (size_t)p->dim;

    if (!p->frames)
        return;
    if (p->first_frame != c->rows)
        fail(c, "row %llu comes where %u is due", (unsigned long long)p->first_frame, c->rows);
    c->dim = (uint32_t)p->dim;
    c->values = need(realloc(c->values, ((size_t)c->rows * c->dim + n) * sizeof(float)));
    memcpy(c->values + (size_t)c->rows * c->dim, e->rows, n * sizeof(float));
    c->rows += (uint32_t)p->frames;
}

static void take_phones(client *c, const shoal_phones *m)
{
    size_t n = c->phone_count + (size_t)m->count;

    c->phones = need(realloc(c->phones, (n + 1) * sizeof *c->phones));
    for (int i = 0; i < m->count; i++) {
        told_phone *to = &c->phones[c->phone_count++];

        memset(to, 0, sizeof *to);
        snprintf(to->label, sizeof to->label, "%s", m->phones[i].phone);
        to->start = m->phones[i].start;
        to->end = m->phones[i].end;
    }
}

static void take_done(client *c, const shoal_done *m)
{
    c->done = 1;
    if (m->received != c->samples || m->processed != c->samples)
        fail(c, "done says %llu received, %llu processed of %zu samples",
             (unsigned long long)m->received, (unsigned long long)m->processed, c->samples);
    if (m->frames != c->rows || c->rows != (c->samples + 319) / 320)
        fail(c, "done says %llu frames, %u came of %zu", (unsigned long long)m->frames, c->rows,
             (c->samples + 319) / 320);
    if (m->phones != c->phone_count)
        fail(c, "done says %llu phones, %u came", (unsigned long long)m->phones, c->phone_count);
}

static void take(client *c, const shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_FEATURES: take_rows(c, e); break;
    case SHOAL_CLIENT_PHONES: take_phones(c, e->phones); break;
    case SHOAL_CLIENT_FLUSHED: c->flushed++; break;
    case SHOAL_CLIENT_RESUMED:
        c->parked += e->gap->parked != 0;
        c->replayed += !e->gap->parked;
        c->lost += e->gap->samples;
        c->again += e->gap->replayed;
        break;
    case SHOAL_CLIENT_DONE: take_done(c, e->done); break;
    case SHOAL_CLIENT_ERROR: fail(c, "%s: %s", e->error->name, e->error->message); break;
    case SHOAL_CLIENT_CLOSED: c->closed = 1; break;
    default: break;
    }
}

static int may_end(void)
{
    if (go && access(go, F_OK) == 0)
        go = NULL;
    return !go;
}

/* As much as is due by now. */
static void send_due(client *c, double seconds)
{
    size_t bytes = c->samples * sizeof *c->audio;
    size_t due = seconds < 0 ? bytes : (size_t)(seconds * RATE) * sizeof *c->audio;
    size_t half = bytes / 2;

    due = due < bytes ? due : bytes;
    if (!c->asked_flush && c->sent >= half)
        c->asked_flush = shoal_client_flush(c->c, "half") == 0;
    while (c->sent < due) {
        size_t n = due - c->sent < 2 * PIECE ? due - c->sent : 2 * PIECE, taken;

        if (!c->asked_flush && c->sent < half && c->sent + n > half)
            n = half - c->sent;
        if (!n)
            break;
        taken = shoal_client_send(c->c, (const char *)c->audio + c->sent, n);
        c->sent += taken;
        if (taken < n || c->sent == half)
            break;
    }
    if (c->sent == bytes && c->asked_flush && !c->ended && may_end())
        c->ended = shoal_client_end(c->c) == 0;
}

/* 1: something has happened. */
static int step(client *c, double seconds)
{
    shoal_client_event e;
    int happened = 0;

    send_due(c, seconds);
    while (!c->closed && shoal_client_poll(c->c, 0, &e) == 1) {
        take(c, &e);
        happened = 1;
    }
    return happened;
}

/* ---- all ---- */

static void write_client(FILE *f, const client *c)
{
    const uint32_t head[] = { c->rows, c->dim, c->phone_count, c->parked, c->replayed, c->flushed };

    if (!c->done)
        fail(c, "it did not end with done: %u rows", c->rows);
    fwrite(head, sizeof head, 1, f);
    fwrite(&c->lost, sizeof c->lost, 1, f);
    fwrite(&c->again, sizeof c->again, 1, f);
    if (c->rows)
        fwrite(c->values, sizeof(float) * c->dim, c->rows, f);
    if (c->phone_count)
        fwrite(c->phones, sizeof *c->phones, c->phone_count, f);
}

static void run(client *all, int n, double pace)
{
    const struct timespec rest = { 0, 2000000 };
    double start = now_s();

    for (int open = n; open > 0;) {
        double seconds = pace > 0 ? (now_s() - start) * pace : -1;
        int happened = 0;

        open = 0;
        for (int i = 0; i < n; i++) {
            if (all[i].closed)
                continue;
            happened |= step(&all[i], seconds);
            open += !all[i].closed;
        }
        if (!happened)
            nanosleep(&rest, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: resume_clients URL CLIENTS SECONDS PACE OUT [GO]\n");
        return 2;
    }
    go = argv[6];
    int n = atoi(argv[2]);
    client *all = need(calloc((size_t)n, sizeof *all));
    FILE *f = need(fopen(argv[5], "wb"));

    for (int i = 0; i < n; i++) {
        all[i].index = i;
        make_audio(&all[i], atof(argv[3]));
    }
    for (int i = 0; i < n; i++) /* now they are polled soon, as a server that waits expects */
        open_client(&all[i], argv[1]);
    run(all, n, atof(argv[4]));
    for (int i = 0; i < n; i++) {
        write_client(f, &all[i]);
        shoal_client_free(all[i].c);
        free(all[i].audio);
        free(all[i].values);
        free(all[i].phones);
    }
    free(all);
    return fclose(f) != 0 || failures > 0;
}

/* tune_stream.c - one clip through one session, at full speed or in real time */
#include "tune/tune.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "file/file_audio.h"
#include "lib/client_url.h"

enum { BLOCK_FRAMES = 3200, POLL_MS = 100, TRIES = 6, LEAST_RETRY_MS = 200, PIECES_A_SECOND = 50 };

volatile sig_atomic_t tune_interrupted;

typedef struct run {
    tune_stream *t;
    file_audio *audio;
    file_audio_info info;
    shoal_client *client;
    unsigned char *block; /* [BLOCK_FRAMES] */
    size_t used, size;    /* bytes of block: sent, read */
    int64_t frames;       /* read so far */
    double began_s;       /* 0: not READY yet */
    int ended, closed, failed, retry_ms;
    char why[640];
} run;

static double clock_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(run *r, const char *why)
{
    snprintf(r->why, sizeof r->why, "%s", why);
    r->failed = r->closed = 1;
}

/* How many frames may be read now; 0: later; -1: no more. In real time they come in pieces. */
static int64_t due(const run *r)
{
    int64_t most = r->t->most_s > 0 ? (int64_t)(r->t->most_s * r->info.rate) : INT64_MAX;
    int64_t left = most - r->frames, said;

    if (left <= 0)
        return -1;
    if (!r->t->realtime)
        return left < BLOCK_FRAMES ? left : BLOCK_FRAMES;
    said = (int64_t)((clock_s() - r->began_s) * r->info.rate) - r->frames;
    if (said < r->info.rate / PIECES_A_SECOND && said < left)
        return 0;
    said = said < left ? said : left;
    return said < BLOCK_FRAMES ? said : BLOCK_FRAMES;
}

static void read_block(run *r)
{
    int64_t want = due(r);
    ptrdiff_t n = 0;

    if (want == 0)
        return;
    if (want > 0)
        n = file_audio_read(r->audio, r->block, (size_t)want, r->why, sizeof r->why);
    if (n < 0)
        r->failed = r->closed = 1;
    else if (n == 0)
        r->ended = shoal_client_end(r->client) == 0;
    r->frames += n > 0 ? n : 0;
    r->used = 0;
    r->size = n > 0 ? (size_t)n * r->info.frame_bytes : 0;
}

/* Returns 1 if there may be more to send at once. */
static int send_some(run *r)
{
    size_t taken;

    if (r->ended || !r->began_s)
        return 0;
    if (r->used == r->size)
        read_block(r);
    taken = shoal_client_send(r->client, r->block + r->used, r->size - r->used);
    r->used += taken;
    return taken > 0;
}

static void take(run *r, const shoal_client_event *e)
{
    if (e->type == SHOAL_CLIENT_READY)
        r->began_s = clock_s();
    if (e->type == SHOAL_CLIENT_ERROR && e->error->fatal) {
        fail(r, e->error->message);
        r->retry_ms = e->failure ? e->failure->retry_ms : -1;
    }
    if (e->type == SHOAL_CLIENT_CLOSED)
        r->closed = 1;
    r->t->take(r->t->user, e, r->began_s > 0 ? clock_s() - r->began_s : 0);
}

static const file_audio_limits limits = { SHOAL_MIN_RATE, SHOAL_MAX_RATE, SHOAL_MAX_CHANNELS,
                                          16000 };

int tune_stream_can_read(const char *path, char *why, size_t why_size)
{
    file_audio *a;

    if (file_audio_open(&a, path, &limits, why, why_size) < 0)
        return 0;
    file_audio_close(a);
    return 1;
}

static int open_all(run *r)
{
    shoal_client_params p = shoal_client_default_params();

    if (file_audio_open(&r->audio, r->t->path, &limits, r->why, sizeof r->why) < 0)
        return -1;
    r->info = *file_audio_get_info(r->audio);
    p.options = r->t->options;
    p.options.given |= SHOAL_OPT_FORMAT | SHOAL_OPT_RATE | SHOAL_OPT_CHANNELS;
    p.options.format = r->info.s16 ? SHOAL_FORMAT_S16LE : SHOAL_FORMAT_F32LE;
    p.options.rate = r->info.rate;
    p.options.channels = r->info.channels;
    if (!(r->block = malloc(r->info.frame_bytes * BLOCK_FRAMES))) {
        snprintf(r->why, sizeof r->why, "out of memory");
        return -1;
    }
    p.token = *r->t->o->server.token ? r->t->o->server.token : NULL;
    shoal__tls_tell(&r->t->o->server.tls, &p);
    if (shoal__options_merge(&p.options, &r->t->o->session, r->why, sizeof r->why) < 0)
        return -1;
    return shoal_client_open(&r->client, r->t->o->server.url, &p, r->why, sizeof r->why);
}

static void try_once(run *r)
{
    shoal_client_event e;
    int got = 0;

    r->retry_ms = -1;
    if (open_all(r) < 0)
        r->failed = r->closed = 1;
    while (!r->closed && got >= 0 && !tune_interrupted) {
        int more = send_some(r);

        if (r->closed)
            break;
        got = shoal_client_poll(r->client, more ? 0 : r->t->realtime ? 5 : POLL_MS, &e);
        if (got > 0)
            take(r, &e);
    }
    r->failed |= tune_interrupted;
    if (r->audio) {
        file_audio_state state = file_audio_get_state(r->audio);

        r->t->cut = state.cut;
        r->t->cancels = state.cancels;
    }
    r->t->seconds = r->info.rate ? (double)r->frames / r->info.rate : 0;
    shoal_client_free(r->client);
    file_audio_close(r->audio);
    free(r->block);
}

static void wait_for(int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

int tune_stream_run(tune_stream *t)
{
    for (int i = 0; i < TRIES; i++) {
        run r = { .t = t };

        try_once(&r);
        if (!r.failed)
            return 0;
        /* what has come with results cannot be tried again: they would count twice */
        if (r.retry_ms < 0 || r.frames > 0 || i + 1 == TRIES || tune_interrupted) {
            if (!tune_interrupted)
                fprintf(stderr, "shoal-tune: %s: %s\n", t->path, r.why);
            return -1;
        }
        wait_for(r.retry_ms > LEAST_RETRY_MS ? r.retry_ms : LEAST_RETRY_MS);
    }
    return -1;
}

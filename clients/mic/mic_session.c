/* mic_session.c - the session of shoal-mic: see mic.h
 *
 * It must come about, or the program ends with the reason. When its connection breaks the library
 * goes on with it until nothing has come for RECONNECT_MS, and sends again what the results depend
 * on, so nothing is lost; sound waits meanwhile, that of a command in its pipe, that of a
 * microphone in the library's queue, and what finds no room there is counted and told. A session
 * that fails for good after it ran is followed by another.
 */
#include <stdio.h>
#include <string.h>

#include "mic/mic.h"

enum {
    MAX_RETRY_MS = 5000,
    RECONNECT_MS = 300000,      /* longer than the sound of a microphone finds room to wait */
    MAX_WAITING = 128 << 10,    /* bytes: 1.4 s at 48 kHz */
    MAX_WAITING_AWAY = 8 << 20, /* 87 s */
    OPUS_IS_SMALLER = 32,       /* times, at least */
    QUEUE_BYTES = MAX_WAITING_AWAY + (256 << 10)
};

static void on_retry(uv_timer_t *t)
{
    mic_session_open(t->data);
}

static void say_hole(mic_app *a)
{
    double seconds = (double)(mic_app_now_ms(a) - a->gone_ms) / 1000;
    char text[200];

    snprintf(text, sizeof text, "the server is back; %.1f s were not heard", seconds);
    mic_show_note(a, "hole", seconds, text);
}

static void on_ready(mic_app *a, const shoal_ready *r)
{
    const char *rest = a->o->server.url + (a->o->server.url[2] == 's' ? 6 : 5);
    char depth[32], text[400];

    if (a->was_ready && a->gone_ms)
        say_hole(a);
    a->ready = 1;
    a->gone_ms = a->retry_ms = 0;
    a->base = a->samples;
    a->depth = r->depth;
    a->model_depth = r->model_depth;
    if (a->was_ready)
        return;
    a->was_ready = 1;
    if (!(a->wanted.given & SHOAL_OPT_DEPTH))
        mic_session_set_range(a);
    a->load = a->terminal ? mic_load_start(a->o->server.url, a->o->server.token) : NULL;
    snprintf(depth, sizeof depth, a->wanted.depth_min == a->wanted.depth_max ? "%d" : "%d-%d",
             a->wanted.depth_min, a->wanted.depth_max);
    snprintf(text, sizeof text, "%s, %d Hz -> %.*s, depth %s: speak now%s", a->news.name,
             a->news.rate, (int)strcspn(rest, "/?"), rest, depth,
             a->terminal ? " (? help, Ctrl-C ends)" : "");
    mic_show_note(a, "start", -1, text);
}

static void on_away(mic_app *a, const shoal_client_failure *f)
{
    char text[600];

    if (a->gone_ms)
        return;
    a->gone_ms = mic_app_now_ms(a);
    a->dropped_before = a->dropped;
    snprintf(text, sizeof text, "%s; trying again", f->error.message);
    mic_show_note(a, "away", -1, text);
}

static void on_resumed(mic_app *a, const shoal_client_gap *g)
{
    double lost = (double)(g->samples + a->dropped - a->dropped_before) / a->news.rate;
    char text[200];

    snprintf(text, sizeof text, "the server is back after %.1f s; lost %.0f ms%s%s",
             (double)(mic_app_now_ms(a) - a->gone_ms) / 1000, lost * 1000, *g->name ? ": " : "",
             g->name);
    a->gone_ms = 0;
    mic_show_note(a, lost > 0 ? "hole" : "back", lost, text);
}

/* Our own depths are more than this model has: its depth comes with `ready`. */
static int is_shallower(const mic_app *a, const shoal_client_failure *f)
{
    return a->o->any_depth && a->wanted.given & SHOAL_OPT_DEPTH && !strcmp(f->error.ref, "depth");
}

static void say_failure(const mic_app *a, const shoal_client_failure *f)
{
    fprintf(stderr, "%sshoal-mic: %s\n", a->terminal ? "\r\033[J" : "", f->error.message);
    if (a->o->source.command &&
        (f->error.code == SHOAL_CODE_BAD_AUDIO_FORMAT || f->error.code == SHOAL_CODE_RATE_MISMATCH))
        fprintf(stderr,
                "The command must write samples, s16le of one channel at --rate: "
                "ffmpeg -i X -f s16le -ac 1 -ar %d -\n",
                a->news.rate);
    if (f->cause == SHOAL_CLIENT_UNREACHABLE)
        fputs("Another server: shoal-mic --url ws://HOST:PORT, or SHOAL_URL in the "
              "environment.\n",
              stderr);
}

/* The sound has ended, and its last results do not come. Who was interrupted does not want them. */
static void on_failure_at_end(mic_app *a, const shoal_client_failure *f)
{
    if (a->interrupted)
        return;
    say_failure(a, f);
    a->code = EXIT_FAILED;
}

/* What came first is what failed; CLOSED follows and has the same. */
static void on_failure(mic_app *a, const shoal_client_failure *f)
{
    char text[600];

    if (is_shallower(a, f)) {
        a->wanted.given &= ~(unsigned)SHOAL_OPT_DEPTH;
        uv_timer_start(&a->retry, on_retry, 0, 0);
        return;
    }
    if (!a->was_ready || f->retry_ms < 0) {
        say_failure(a, f);
        mic_app_stop(a, 0, EXIT_FAILED);
        return;
    }
    if (!a->gone_ms) {
        a->gone_ms = mic_app_now_ms(a);
        snprintf(text, sizeof text, "%s; trying again", f->error.message);
        mic_show_note(a, "away", -1, text);
    }
    a->retry_ms = a->retry_ms ? a->retry_ms * 2 : f->retry_ms;
    a->retry_ms = a->retry_ms > MAX_RETRY_MS ? MAX_RETRY_MS : a->retry_ms;
    uv_timer_start(&a->retry, on_retry, (uint64_t)a->retry_ms, 0);
}

static void on_closed(mic_app *a, const shoal_client_event *e)
{
    const shoal_client_failure failure = e->failure ? *e->failure : (shoal_client_failure){ 0 };
    int failed = e->failure != NULL;

    mic_session_close(a);
    a->ready = 0;
    if (a->stop_ms) {
        if (failed)
            on_failure_at_end(a, &failure);
        uv_stop(a->loop);
    } else if (failed)
        on_failure(a, &failure);
    else
        uv_timer_start(&a->retry, on_retry, 0, 0);
}

static void on_event(shoal_client *c, const shoal_client_event *e, void *user)
{
    mic_app *a = user;

    (void)c;
    switch (e->type) {
    case SHOAL_CLIENT_READY: on_ready(a, e->ready); break;
    case SHOAL_CLIENT_CLOSED: on_closed(a, e); return;
    case SHOAL_CLIENT_PHONES: mic_utter_processed(a, e->phones->processed); break;
    case SHOAL_CLIENT_ACTIVITY: mic_utter_turn(a, e->activity); break;
    case SHOAL_CLIENT_AWAY: on_away(a, e->failure); break;
    case SHOAL_CLIENT_RESUMED: on_resumed(a, e->gap); break;
    case SHOAL_CLIENT_CHANGED:
        a->depth = e->changed->depth;
        a->wanted.depth_min = e->changed->depth_min;
        a->wanted.depth_max = e->changed->depth_max;
        break;
    default: break;
    }
    mic_show_event(a, e);
}

static void cannot_open(mic_app *a, const char *why)
{
    fprintf(stderr, "shoal-mic: %s\n", *why ? why : "out of memory");
    mic_app_stop(a, 0, EXIT_FAILED);
}

void mic_session_open(mic_app *a)
{
    shoal_client_params p = shoal_client_default_params();
    char why[512] = "";

    if (a->opus)
        mic_opus_reset(a->opus);
    else if (a->o->opus && !(a->opus = mic_opus_open(a->news.rate, why, sizeof why)))
        return cannot_open(a, why);
    p.options = a->wanted;
    p.options.given |= SHOAL_OPT_FORMAT | SHOAL_OPT_RATE | SHOAL_OPT_CHANNELS;
    p.options.format = a->opus ? SHOAL_FORMAT_OPUS : SHOAL_FORMAT_S16LE;
    p.options.rate = a->news.rate;
    p.options.channels = 1;
    p.proxy = a->o->proxy;
    p.token = *a->o->server.token ? a->o->server.token : NULL;
    shoal__tls_tell(&a->o->server.tls, &p);
    p.queue_bytes = QUEUE_BYTES;
    p.reconnect_ms = RECONNECT_MS;
    p.allow_gaps = 1;
    if (shoal_client_open(&a->client, a->o->server.url, &p, why, sizeof why) == 0 &&
        shoal_client_watch(a->client, a->loop, on_event, a) == 0)
        return;
    cannot_open(a, why);
}

/* 1: as much as may wait for the socket does, and the next block shall not be given. */
int mic_session_is_full(const mic_app *a)
{
    size_t most = a->gone_ms && !a->pipe ? MAX_WAITING_AWAY : MAX_WAITING;

    most /= a->opus ? OPUS_IS_SMALLER : 1;
    return a->client && shoal_client_get_stats(a->client).queued_bytes > most;
}

int mic_session_send(mic_app *a, const int16_t *samples, size_t n)
{
    size_t bytes = n * sizeof *samples;

    if (a->opus && a->ready && !mic_session_is_full(a))
        return mic_opus_add(a->opus, samples, n, mic_app_send_packet, a) == 0;
    return a->ready && !a->opus && !mic_session_is_full(a) &&
           shoal_client_send(a->client, samples, bytes) == bytes;
}

void mic_session_flush(mic_app *a)
{
    if (a->ready && shoal_client_flush(a->client, "hole") < 0)
        return; /* its queue is full: the phones settle later */
}

void mic_session_set_depth(mic_app *a, int depth_min, int depth_max)
{
    shoal_options o = { .given = SHOAL_OPT_DEPTH, .depth_min = depth_min, .depth_max = depth_max };

    if (a->ready && depth_min >= 1 && depth_max <= a->model_depth &&
        shoal_client_set(a->client, &o) == 0) {
        a->wanted.depth_min = depth_min;
        a->wanted.depth_max = depth_max;
        a->wanted.given |= SHOAL_OPT_DEPTH;
    }
}

void mic_session_set_range(mic_app *a)
{
    int most = a->o->session.depth_max, least = a->o->session.depth_min;

    most = most < a->model_depth ? most : a->model_depth;
    mic_session_set_depth(a, least < most ? least : most, most);
}

void mic_session_close(mic_app *a)
{
    shoal_client_free(a->client);
    a->client = NULL;
}

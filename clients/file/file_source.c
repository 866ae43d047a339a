/* file_source.c - see file_source.h
 *
 * The thread owns the file_audio; ring, state and info are under the lock. A thread that sits in
 * read(2) cannot be joined without waiting for the source, so program and thread each own a share
 * and the last one frees.
 */
#include "file/file_source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "out/out_thread.h"

enum { PIECE_MS = 20, RING_PIECES = 50 };

typedef enum phase { OPENING, READING, AT_END, FAILED } phase;

struct file_source {
    const char *path; /* set at open, then constant */
    file_audio_limits limits;
    pthread_mutex_t lock;
    pthread_cond_t room; /* to the thread: the ring has room, or it shall end */
    pthread_cond_t news; /* to the program: opened */
    /* under lock: */
    phase phase;
    char why[512];
    file_audio_info info;
    file_audio_state state;
    uint8_t *ring;           /* [cap, info.frame_bytes] */
    size_t cap, first, used; /* frames */
    void (*on_news)(void *);
    void *user;
    int wanted; /* the program was told to come later */
    int closed, shares;
};

static void leave(file_source *s)
{
    int last;

    pthread_mutex_lock(&s->lock);
    last = --s->shares == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->room);
    pthread_cond_destroy(&s->news);
    free(s->ring);
    free(s);
}

/* ---- the thread ---- */

static void tell(file_source *s)
{
    pthread_cond_signal(&s->news);
    if (s->wanted && s->on_news)
        s->on_news(s->user);
    s->wanted = 0;
}

static void set_phase(file_source *s, phase next, const char *why)
{
    pthread_mutex_lock(&s->lock);
    s->phase = next;
    snprintf(s->why, sizeof s->why, "%s", why);
    tell(s);
    pthread_mutex_unlock(&s->lock);
}

/* Frames of one piece; 0: out of memory. */
static size_t prepare(file_source *s, const file_audio *a)
{
    file_audio_info info = *file_audio_get_info(a);
    size_t piece = (size_t)info.rate * PIECE_MS / 1000;

    s->ring = malloc(piece * RING_PIECES * info.frame_bytes);
    if (!s->ring)
        return 0;
    pthread_mutex_lock(&s->lock);
    s->cap = piece * RING_PIECES;
    s->info = info;
    pthread_mutex_unlock(&s->lock);
    set_phase(s, READING, "");
    return piece;
}

/* Wait for room for a piece. 0: it shall end. */
static int wait_for_room(file_source *s, size_t piece)
{
    int go_on;

    pthread_mutex_lock(&s->lock);
    while (s->cap - s->used < piece && !s->closed)
        pthread_cond_wait(&s->room, &s->lock);
    go_on = !s->closed;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

/* Pieces divide the ring, but the last of a block may be short: in two parts then. */
static void put(file_source *s, const uint8_t *bytes, size_t frames, const file_audio *a)
{
    size_t w = s->info.frame_bytes, at, part;

    pthread_mutex_lock(&s->lock);
    at = (s->first + s->used) % s->cap;
    part = frames < s->cap - at ? frames : s->cap - at;
    memcpy(s->ring + at * w, bytes, part * w);
    memcpy(s->ring, bytes + part * w, (frames - part) * w);
    s->used += frames;
    s->state = file_audio_get_state(a);
    tell(s);
    pthread_mutex_unlock(&s->lock);
}

static void read_all(file_source *s, file_audio *a, size_t piece, uint8_t *bytes)
{
    char why[512];
    ptrdiff_t got = 1;

    while (got > 0 && wait_for_room(s, piece)) {
        got = file_audio_read(a, bytes, piece, why, sizeof why);
        if (got > 0)
            put(s, bytes, (size_t)got, a);
    }
    pthread_mutex_lock(&s->lock);
    s->state = file_audio_get_state(a);
    pthread_mutex_unlock(&s->lock);
    set_phase(s, got < 0 ? FAILED : AT_END, got < 0 ? why : "");
}

static void *work(void *user)
{
    file_source *s = user;
    file_audio *a = NULL;
    uint8_t *bytes;
    size_t piece;
    char why[512];

    if (file_audio_open(&a, s->path, &s->limits, why, sizeof why) < 0) {
        set_phase(s, FAILED, why);
    } else {
        piece = prepare(s, a);
        bytes = piece ? malloc(piece * file_audio_get_info(a)->frame_bytes) : NULL;
        if (bytes)
            read_all(s, a, piece, bytes);
        else
            set_phase(s, FAILED, "out of memory");
        free(bytes);
        file_audio_close(a);
    }
    leave(s);
    return NULL;
}

/* ---- the program ---- */

static int start_thread(file_source *s)
{
    pthread_t thread;

    return out_thread_start(&thread, work, s) ? -1 : pthread_detach(thread);
}

file_source *file_source_open(const char *path, const file_audio_limits *limits)
{
    file_source *s = calloc(1, sizeof *s);
    pthread_condattr_t monotonic;

    if (!s)
        return NULL;
    *s = (file_source){ .path = path, .limits = *limits, .shares = 2 };
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    pthread_cond_init(&s->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (start_thread(s) == 0)
        return s;
    s->shares = 1;
    leave(s);
    return NULL;
}

void file_source_close(file_source *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closed = 1;
    s->on_news = NULL;
    pthread_cond_signal(&s->room);
    pthread_mutex_unlock(&s->lock);
    leave(s);
}

int file_source_wait(file_source *s, int ms, char *why, size_t why_size)
{
    struct timespec t;
    phase now;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000 + (t.tv_nsec + ms % 1000 * 1000000L) / 1000000000L;
    t.tv_nsec = (t.tv_nsec + ms % 1000 * 1000000L) % 1000000000L;
    pthread_mutex_lock(&s->lock);
    while (s->phase == OPENING && r == 0)
        r = pthread_cond_timedwait(&s->news, &s->lock, &t);
    now = s->phase;
    if (now == FAILED)
        snprintf(why, why_size, "%s", s->why);
    pthread_mutex_unlock(&s->lock);
    return now == OPENING ? 0 : now == FAILED ? FILE_SOURCE_FAILED : 1;
}

file_audio_info file_source_get_info(file_source *s)
{
    file_audio_info info;

    pthread_mutex_lock(&s->lock);
    info = s->info;
    pthread_mutex_unlock(&s->lock);
    return info;
}

static ptrdiff_t take(file_source *s, uint8_t *bytes, size_t frames)
{
    size_t w = s->info.frame_bytes, part;

    frames = frames < s->used ? frames : s->used;
    part = frames < s->cap - s->first ? frames : s->cap - s->first;
    memcpy(bytes, s->ring + s->first * w, part * w);
    memcpy(bytes + part * w, s->ring, (frames - part) * w);
    s->first = (s->first + frames) % s->cap;
    s->used -= frames;
    pthread_cond_signal(&s->room);
    return (ptrdiff_t)frames;
}

ptrdiff_t file_source_read(file_source *s, void *bytes, size_t frames, char *why, size_t why_size)
{
    ptrdiff_t r = FILE_SOURCE_LATER;

    pthread_mutex_lock(&s->lock);
    if (s->used)
        r = take(s, bytes, frames);
    else if (s->phase == AT_END)
        r = 0;
    else if (s->phase == FAILED) {
        snprintf(why, why_size, "%s", s->why);
        r = FILE_SOURCE_FAILED;
    }
    s->wanted = r == FILE_SOURCE_LATER;
    pthread_mutex_unlock(&s->lock);
    return r;
}

void file_source_on_news(file_source *s, void (*news)(void *user), void *user)
{
    pthread_mutex_lock(&s->lock);
    s->on_news = news;
    s->user = user;
    pthread_mutex_unlock(&s->lock);
}

file_audio_state file_source_get_state(file_source *s)
{
    file_audio_state state;

    pthread_mutex_lock(&s->lock);
    state = s->state;
    pthread_mutex_unlock(&s->lock);
    return state;
}

/* worker.c - the tick: inbox -> advance -> run ready chunks -> results; see worker.h
 *
 * A session is in `active` while it may have something to do. Those that wait for input or for
 * room in their output leave it and come back through the inbox, so a tick costs nothing for
 * idle sessions. Chunks are run in the order in which they became ready, which also shares the
 * machine fairly between live clients and uploads that are always ready: a stream that has just
 * run goes to the end of the line. Within a run streams are sorted deepest first, so that those
 * still running at a layer are a prefix.
 *
 * Later work hooks in here: elastic depth where chunks are picked (pick_run), migration where a
 * session is taken in and let go (take_mail, release). */
#include "worker.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>

/* ---- mail ---------------------------------------------------------------------------- */

void shoald_worker_poke(shoald_worker *w)
{
    if (!atomic_exchange(&w->woken, true))
        uv_sem_post(&w->wake);
}

void shoald_worker_post(shoald_worker *w, shoald_session *s)
{
    if (!atomic_exchange(&s->in_inbox, true))
        shoald_mailbox_put(&w->inbox, s);
    shoald_worker_poke(w);
}

void shoald_worker_post_last(shoald_worker *w, shoald_session *s)
{
    shoald_mailbox_put(&w->inbox, SHOALD_MARK(s));
    shoald_worker_poke(w);
}

void shoald_worker_report(shoald_worker *w, shoald_session *s)
{
    if (!atomic_exchange(&s->in_outbox, true))
        shoald_mailbox_put(&w->outbox, s);
    w->mail_sent = true;
}

static void notify_loop(shoald_worker *w)
{
    if (!w->mail_sent)
        return;
    w->mail_sent = false;
    uv_async_send(w->notify);
}

static void leave(shoald_worker *w, int i)
{
    w->active[i]->track.active = false;
    w->active[i] = w->active[--w->active_count];
}

static void release(shoald_worker *w, shoald_session *s)
{
    for (int i = 0; s->track.active; i++)
        if (w->active[i] == s)
            leave(w, i);
    shoald_track_close(s);
    shoald_mailbox_put(&w->outbox, SHOALD_MARK(s)); /* the last touch */
    w->mail_sent = true;
}

static void take_mail(shoald_worker *w)
{
    void *mail;
    while ((mail = shoald_mailbox_take(&w->inbox))) {
        shoald_session *s = SHOALD_UNMARK(mail);
        if (SHOALD_MARKED(mail)) {
            release(w, s);
            continue;
        }
        atomic_store(&s->in_inbox, false);
        if (!s->track.active) {
            s->track.active = true;
            w->active[w->active_count++] = s;
        }
    }
}

/* ---- advancing ----------------------------------------------------------------------- */

/* The loop may have stopped reading its socket: tell it when there is room again. */
static void report_drained_input(shoald_worker *w, shoald_session *s)
{
    if (atomic_load(&s->rx_paused) && shoald_queue_fill(&s->in) < s->in_low)
        shoald_worker_report(w, s);
}

/* true: it must wait for the loop to make room */
static bool wait_for_room(shoald_session *s)
{
    atomic_store(&s->blocked, true);
    if (shoald_queue_room(&s->out) < s->out_step)
        return true;
    atomic_store(&s->blocked, false);
    return false;
}

/* Everything received goes as far as it can without running the engine. Fills w->ready. */
static int advance_all(shoald_worker *w)
{
    int ready = 0;
    for (int i = 0; i < w->active_count;) {
        shoald_session *s = w->active[i];
        shoald_track_state state = shoald_track_advance(s, w);
        report_drained_input(w, s);
        if (state == SHOALD_READY) {
            if (!s->track.ready_ns)
                s->track.ready_ns = uv_hrtime();
            w->ready[ready++] = s;
            i++;
        } else if (state == SHOALD_IDLE || wait_for_room(s)) {
            leave(w, i);
        }
    }
    return ready;
}

/* ---- running ------------------------------------------------------------------------- */

static int by_age(const void *a, const void *b)
{
    const shoald_track *x = &(*(shoald_session *const *)a)->track;
    const shoald_track *y = &(*(shoald_session *const *)b)->track;
    return (x->ready_ns > y->ready_ns) - (x->ready_ns < y->ready_ns);
}

static int by_depth(const void *a, const void *b)
{
    const shoald_track *x = &(*(shoald_session *const *)a)->track;
    const shoald_track *y = &(*(shoald_session *const *)b)->track;
    return shoal_stream_get_depth(y->stream) - shoal_stream_get_depth(x->stream);
}

/* Oldest first, as many as fit into one run; then sorted by depth. */
static int pick_run(shoald_worker *w, int ready)
{
    int frames = 0, n = 0;
    qsort(w->ready, (size_t)ready, sizeof *w->ready, by_age);
    while (n < ready) {
        int more = shoal_stream_ready(w->ready[n]->track.stream);
        if (frames + more > w->batch_frames)
            break;
        frames += more;
        n++;
    }
    qsort(w->ready, (size_t)n, sizeof *w->ready, by_depth);
    return n;
}

static void fail_run(shoald_worker *w, int n, int code)
{
    shoal_error err;
    shoald_log(SHOALD_LOG_ERROR, "engine_failed", "worker=%d streams=%d code=%s", w->index, n,
               shoal_errname(code));
    shoal_error_set(&err, SHOAL_CODE_INTERNAL, NULL, "the engine failed: %s", shoal_strerror(code));
    for (int i = 0; i < n; i++)
        shoald_track_fail(w->ready[i], w, &err);
}

static void count_run(shoald_worker *w, int n, uint64_t start_ns, uint64_t end_ns)
{
    uint64_t frames = 0;
    for (int i = 0; i < n; i++)
        frames += (uint64_t)w->results[i].frames;
    shoald_count(&w->stats.runs, 1);
    shoald_count(&w->stats.chunks, (uint64_t)n);
    shoald_count(&w->stats.frames, frames);
    shoald_count(&w->stats.busy_ns, end_ns - start_ns);
    shoald_observe(&w->stats.batch, shoald_batch_bounds, SHOALD_BATCH_BUCKETS, n);
}

static void run(shoald_worker *w, int n)
{
    uint64_t start_ns = uv_hrtime();
    for (int i = 0; i < n; i++)
        w->streams[i] = w->ready[i]->track.stream;
    int result = shoal_batch_run(w->batch, w->streams, n, w->results);
    uint64_t end_ns = uv_hrtime();
    if (result < 0) {
        fail_run(w, n, result);
        return;
    }
    count_run(w, n, start_ns, end_ns);
    for (int i = 0; i < n; i++)
        shoald_track_deliver(w->ready[i], w, &w->results[i], start_ns, end_ns);
}

static void tick(shoald_worker *w)
{
    take_mail(w);
    int ready = advance_all(w);
    if (ready > 0)
        run(w, pick_run(w, ready));
    notify_loop(w);
    atomic_store(&w->ticks, atomic_load(&w->ticks) + 1);
}

static void worker_main(void *arg)
{
    shoald_worker *w = arg;
    while (!atomic_load(&w->stop)) {
        if (w->active_count == 0)
            uv_sem_wait(&w->wake);
        else
            uv_sem_trywait(&w->wake); /* or posts would pile up while it is busy */
        atomic_store(&w->woken, false);
        tick(w);
    }
    take_mail(w);
    notify_loop(w);
}

/* ---- start and stop ------------------------------------------------------------------ */

static size_t scratch_bytes(const shoal_model_info *m)
{
    shoal_options largest = shoal_options_default();
    largest.chunk_ms = m->max_chunk_frames * SHOAL_FRAME_MS;
    largest.encoding = SHOAL_ENCODING_JSON;
    size_t n = shoald_track_step_bytes(m, &largest);
    return n > SHOAL_MAX_TEXT_BYTES ? n : SHOAL_MAX_TEXT_BYTES; /* opus packets too */
}

static int allocate(shoald_worker *w)
{
    size_t n = (size_t)w->max_sessions;
    w->scratch_size = scratch_bytes(w->info);
    w->scratch = malloc(w->scratch_size);
    w->active = calloc(n, sizeof *w->active);
    w->ready = calloc(n, sizeof *w->ready);
    w->streams = calloc(n, sizeof *w->streams);
    w->results = calloc(n, sizeof *w->results);
    /* a session lies in a mailbox at most twice: once to be looked at, once marked */
    if (shoald_mailbox_init(&w->inbox, 2 * n) < 0 || shoald_mailbox_init(&w->outbox, 2 * n) < 0 ||
        !w->scratch || !w->active || !w->ready || !w->streams || !w->results)
        return SHOAL_ENOMEM;
    return shoal_batch_new(&w->batch, w->model, w->batch_frames);
}

int shoald_worker_reserve_taps(shoald_worker *w)
{
    shoal_batch *batch;
    if (w->has_taps)
        return 0;
    int result = shoal_batch_new_taps(&batch, w->model, w->batch_frames,
                                      SHOAL_MAX_TAPS * w->batch_frames);
    if (result < 0)
        return result;
    shoal_batch_free(w->batch);
    w->batch = batch;
    w->has_taps = true;
    return 0;
}

int shoald_worker_start(shoald_worker *w, int index, const shoal_model *model, uv_async_t *notify,
                        int max_sessions, int batch_frames)
{
    memset(w, 0, sizeof *w);
    w->index = index;
    w->model = model;
    w->info = shoal_model_get_info(model);
    w->notify = notify;
    w->max_sessions = max_sessions;
    w->batch_frames = batch_frames;
    int result = allocate(w);
    if (result == 0 && uv_sem_init(&w->wake, 0) != 0)
        result = SHOAL_ENOMEM;
    if (result == 0 && uv_thread_create(&w->thread, worker_main, w) != 0) {
        uv_sem_destroy(&w->wake);
        result = SHOAL_ENOMEM;
    }
    if (result < 0)
        shoald_worker_free(w);
    return result;
}

void shoald_worker_stop(shoald_worker *w)
{
    atomic_store(&w->stop, true);
    uv_sem_post(&w->wake);
    uv_thread_join(&w->thread);
    uv_sem_destroy(&w->wake);
}

void shoald_worker_free(shoald_worker *w)
{
    shoal_batch_free(w->batch);
    shoald_mailbox_free(&w->inbox);
    shoald_mailbox_free(&w->outbox);
    free(w->scratch);
    free(w->active);
    free(w->ready);
    free(w->streams);
    free(w->results);
    memset(w, 0, sizeof *w);
}

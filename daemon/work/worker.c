/* worker.c - the tick: inbox -> advance -> run ready chunks -> results; see worker.h
 *
 * A session is in `active` while it may have something to do. Those that wait for input or for
 * room in their output leave it and come back through the inbox, so a tick costs nothing for
 * idle sessions. Ready chunks run earliest deadline first (edf.h), as many together as make a run
 * of reasonable length; the engine sorts them by depth. When the cost model says that not all
 * will be in time, streams with a range of depths run shallower at once, and the loop is told. */
#include "work/worker.h"

#include "work/calibrate.h"
#include "plan/elastic.h"
#include "base/log.h"

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

void shoald_worker_post_move(shoald_worker *w, shoald_session *s)
{
    shoald_mailbox_put(&w->inbox, SHOALD_MARK_MOVE(s));
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

/* mail: s, marked; the last touch of this worker */
static void release(shoald_worker *w, shoald_session *s, void *mail)
{
    for (int i = 0; s->track.active; i++)
        if (w->active[i] == s)
            leave(w, i);
    if (SHOALD_MARKED(mail))
        shoald_track_close(s);
    shoald_mailbox_put(&w->outbox, mail);
    w->mail_sent = true;
}

static void take_mail(shoald_worker *w)
{
    void *mail;
    while ((mail = shoald_mailbox_take(&w->inbox))) {
        shoald_session *s = SHOALD_UNMARK(mail);
        if (mail != s) {
            release(w, s, mail);
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

/* A chunk that has just become ready, by audio or by a flush or end, gets its deadline. One that
 * waited for the client to read its results does not count as late for that. */
static void set_deadline(shoald_track *t, uint64_t chunk_ns)
{
    uint64_t complete_ns = t->was_blocked ? uv_hrtime() : t->record_ns;
    t->release_ns = shoald_edf_release(complete_ns, t->deadline_ns, chunk_ns);
    t->deadline_ns = t->release_ns + chunk_ns;
    t->due = true;
    t->was_blocked = false;
}

static shoald_due due_of(shoald_session *s)
{
    shoald_track *t = &s->track;
    int frames = shoal_stream_ready(t->stream);
    uint64_t chunk_ns = (uint64_t)frames * SHOAL_FRAME_MS * 1000000u;
    if (!t->due)
        set_deadline(t, chunk_ns);
    return (shoald_due){ t->deadline_ns, chunk_ns, frames, t->depth_min, t->depth_max, s };
}

/* Everything received goes as far as it can without running the engine. Fills w->due. */
static int advance_all(shoald_worker *w)
{
    int ready = 0;
    for (int i = 0; i < w->active_count;) {
        shoald_session *s = w->active[i];
        shoald_track_state state = shoald_track_advance(s, w);
        report_drained_input(w, s);
        if (state == SHOALD_READY) {
            w->due[ready++] = due_of(s);
            i++;
        } else if (state == SHOALD_IDLE || wait_for_room(s)) {
            s->track.was_blocked = state == SHOALD_BLOCKED;
            leave(w, i);
        }
    }
    return ready;
}

/* ---- running ------------------------------------------------------------------------- */

enum { NOTICE_MS = 500 }; /* by then the loop has taken over what was pressed */

int shoald_worker_depth(const shoald_worker *w, int depth_min, int depth_max)
{
    return shoald_elastic_depth(atomic_load(&w->ceiling), depth_min, depth_max);
}

/* The loop's ceiling, or less if that would make chunks late. */
static int choose_ceiling(shoald_worker *w, int ready, uint64_t now_ns)
{
    int ceiling = atomic_load(&w->ceiling);
    if (!atomic_load(&w->elastic))
        return ceiling;
    if (now_ns < w->local_until_ns && w->local_ceiling < ceiling)
        ceiling = w->local_ceiling;
    int fit = shoald_edf_fit(w->due, ready, &w->cost, ceiling, now_ns);
    if (fit == ceiling)
        return ceiling;
    w->local_ceiling = fit;
    w->local_until_ns = now_ns + NOTICE_MS * 1000000u;
    atomic_store(&w->pressed, fit);
    return fit;
}

/* w->due[0..n) is what runs next. */
static int pick_run(shoald_worker *w, int ready, shoald_work *work)
{
    uint64_t now_ns = uv_hrtime();
    shoald_edf_sort(w->due, ready);
    int ceiling = choose_ceiling(w, ready, now_ns);
    int n = shoald_edf_take(w->due, ready, &w->cost, ceiling, w->batch_frames,
                            (double)atomic_load(&w->run_ns), now_ns, work);
    for (int i = 0; i < n; i++) {
        shoald_session *s = w->due[i].session;
        shoald_track_set_depth(s, w, shoald_edf_depth(&w->due[i], ceiling));
        w->streams[i] = s->track.stream;
    }
    return n;
}

static void fail_run(shoald_worker *w, int n, int code)
{
    shoal_error err;
    shoald_log(SHOALD_LOG_ERROR, "engine_failed", "worker=%d streams=%d code=%s", w->index, n,
               shoal_errname(code));
    shoal_error_set(&err, SHOAL_CODE_INTERNAL, NULL, "the engine failed: %s", shoal_strerror(code));
    for (int i = 0; i < n; i++)
        shoald_track_fail(w->due[i].session, w, &err);
}

static void count_run(shoald_worker *w, int n, const shoald_work *work, uint64_t ns)
{
    shoald_cost_saw_run(&w->cost, work, (double)ns);
    shoald_count(&w->stats.runs, 1);
    shoald_count(&w->stats.chunks, (uint64_t)n);
    shoald_count(&w->stats.busy_ns, ns);
    shoald_observe(&w->stats.batch, shoald_batch_bounds, SHOALD_BATCH_BUCKETS, n);
}

static void deliver(shoald_worker *w, const shoald_due *due, const shoal_result *r,
                    uint64_t start_ns, uint64_t end_ns)
{
    shoald_track *t = &due->session->track;
    uint64_t late_ns = end_ns > due->deadline_ns ? end_ns - due->deadline_ns : 0;
    t->due = false;
    if (late_ns > atomic_load_explicit(&w->late_ns, memory_order_relaxed))
        atomic_store_explicit(&w->late_ns, late_ns, memory_order_relaxed);
    if (t->release_ns == t->record_ns) /* live; what waits in a client's own backlog says nothing */
        shoald_recent_add(&w->recent, r->depth, end_ns - t->record_ns, end_ns);
    shoald_count(&w->stats.frames, (uint64_t)r->frames);
    shoald_observe(&w->stats.late, shoald_late_bounds, SHOALD_LATE_BUCKETS, (double)late_ns / 1e9);
    shoald_track_deliver(due->session, w, r, start_ns, end_ns);
}

/* ns that the engine took */
static uint64_t run(shoald_worker *w, int n, const shoald_work *work)
{
    uint64_t start_ns = uv_hrtime();
    int result = shoal_batch_run(w->batch, w->streams, n, w->results);
    uint64_t end_ns = uv_hrtime();
    if (result < 0) {
        fail_run(w, n, result);
        return end_ns - start_ns;
    }
    count_run(w, n, work, end_ns - start_ns);
    for (int i = 0; i < n; i++)
        deliver(w, &w->due[i], &w->results[i], start_ns, end_ns);
    return end_ns - start_ns;
}

static uint64_t run_ready(shoald_worker *w, int ready, shoald_work *work)
{
    int n = pick_run(w, ready, work);
    atomic_store(&w->run_due_ns, w->due[0].deadline_ns);
    uint64_t engine_ns = run(w, n, work);
    atomic_store(&w->run_due_ns, 0);
    return engine_ns;
}

static void learn(shoald_worker *w, int frames, uint64_t other_ns)
{
    shoald_cost_saw_other(&w->cost, frames, (double)other_ns);
    atomic_store_explicit(&w->speed, w->cost.speed, memory_order_relaxed);
    atomic_store_explicit(&w->other, w->cost.other, memory_order_relaxed);
}

static void tick(shoald_worker *w)
{
    shoald_work work = { 0 };
    uint64_t start_ns = uv_hrtime(), engine_ns = 0;
    take_mail(w);
    bool worked = w->active_count > 0;
    int ready = advance_all(w);
    if (ready > 0)
        engine_ns = run_ready(w, ready, &work);
    notify_loop(w);
    if (worked)
        learn(w, work.frames, uv_hrtime() - start_ns - engine_ns);
    atomic_store(&w->ticks, atomic_load(&w->ticks) + 1);
}

static void calibrate(shoald_worker *w)
{
    w->calibrated = shoald_calibrate(&w->cost, w->model, w->batch);
    atomic_store(&w->speed, w->cost.speed);
    atomic_store(&w->other, w->cost.other);
    uv_sem_post(&w->ready);
}

static void worker_main(void *arg)
{
    shoald_worker *w = arg;
    calibrate(w);
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
    w->due = calloc(n, sizeof *w->due);
    w->streams = calloc(n, sizeof *w->streams);
    w->results = calloc(n, sizeof *w->results);
    /* a session lies in a mailbox at most twice: once to be looked at, once marked */
    if (shoald_recent_init(&w->recent, w->info->depth) < 0 ||
        shoald_mailbox_init(&w->inbox, 2 * n) < 0 || shoald_mailbox_init(&w->outbox, 2 * n) < 0 ||
        !w->scratch || !w->active || !w->due || !w->streams || !w->results)
        return SHOAL_ENOMEM;
    return shoal_batch_new(&w->batch, w->model, w->batch_frames);
}

int shoald_worker_reserve_taps(shoald_worker *w)
{
    shoal_batch *batch;
    if (w->has_taps)
        return 0;
    int result =
        shoal_batch_new_taps(&batch, w->model, w->batch_frames, SHOAL_MAX_TAPS * w->batch_frames);
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
    atomic_store(&w->ceiling, w->info->depth);
    atomic_store(&w->run_ns, SHOALD_LONGEST_RUN_NS);
    uv_sem_init(&w->wake, 0);
    uv_sem_init(&w->ready, 0);
    int result = allocate(w);
    if (result == 0 && uv_thread_create(&w->thread, worker_main, w) != 0)
        result = SHOAL_ENOMEM;
    if (result < 0)
        shoald_worker_free(w);
    return result;
}

int shoald_worker_wait(shoald_worker *w)
{
    uv_sem_wait(&w->ready);
    return w->calibrated;
}

shoald_cost shoald_worker_cost(const shoald_worker *w)
{
    return (shoald_cost){ .shape = w->cost.shape,
                          .speed = atomic_load_explicit(&w->speed, memory_order_relaxed),
                          .other = atomic_load_explicit(&w->other, memory_order_relaxed) };
}

void shoald_worker_stop(shoald_worker *w)
{
    atomic_store(&w->stop, true);
    uv_sem_post(&w->wake);
    uv_thread_join(&w->thread);
}

void shoald_worker_free(shoald_worker *w)
{
    uv_sem_destroy(&w->wake);
    uv_sem_destroy(&w->ready);
    shoal_batch_free(w->batch);
    shoald_recent_free(&w->recent);
    shoald_mailbox_free(&w->inbox);
    shoald_mailbox_free(&w->outbox);
    free(w->scratch);
    free(w->active);
    free(w->due);
    free(w->streams);
    free(w->results);
    memset(w, 0, sizeof *w);
}

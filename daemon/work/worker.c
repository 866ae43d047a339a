/* worker.c - the tick: inbox -> advance -> run ready chunks -> results; see worker.h
 *
 * A session is in `active` while it may have something to do. Those that wait for input or for
 * room in their output leave it and come back through the inbox, so a tick costs nothing for
 * idle sessions. Which ready chunks run is decided in turn.h; the engine sorts them by depth. When
 * the cost model says that not all will be in time, streams with a range of depths run shallower at
 * once, and the loop is told. When all that is ready waits for a gap, so does the worker. */
#include "work/worker.h"

#include "work/calibrate.h"
#include "work/track.h"
#include "base/log.h"
#include "plan/times.h"

#include <stdlib.h>
#include <string.h>

/* ---- advancing ----------------------------------------------------------------------- */

/* The loop may have stopped reading its socket: tell it when there is room again. */
static void report_drained_input(shoald_worker *w, shoald_lane *l)
{
    if (atomic_load(&l->rx_paused) && shoald_queue_fill(&l->in) < l->in_low)
        shoald_lane_report(l, &w->port);
}

/* true: it must wait for the loop to make room */
static bool wait_for_room(shoald_lane *l)
{
    atomic_store(&l->blocked, true);
    if (shoald_queue_room(&l->out) < l->out_step)
        return true;
    atomic_store(&l->blocked, false);
    return false;
}

/* A chunk that has just become ready, by audio or by a flush or end, gets its deadline. One that
 * waited for the client to read its results does not count as late for that. */
static void set_deadline(shoald_track *t, uint64_t chunk_ns)
{
    uint64_t now_ns = uv_hrtime(), complete_ns = t->was_blocked ? now_ns : t->record_ns;
    t->release_ns = shoald_edf_release(complete_ns, t->deadline_ns, chunk_ns);
    t->deadline_ns = t->release_ns + chunk_ns;
    t->patient_ns = shoald_turn_patience(t->release_ns, chunk_ns, now_ns);
    t->expected_ns = shoald_turn_expect(t->expected_ns, complete_ns, chunk_ns);
    t->due = true;
    t->was_blocked = false;
}

static shoald_due due_of(shoald_lane *l)
{
    shoald_track *t = l->track;
    int frames = shoal_stream_ready(t->stream);
    uint64_t chunk_ns = (uint64_t)frames * SHOAL_FRAME_MS * SHOALD_NS_PER_MS;
    if (!t->due)
        set_deadline(t, chunk_ns);
    return (shoald_due){ .deadline_ns = t->deadline_ns,
                         .chunk_ns = chunk_ns,
                         .patient_ns = t->patient_ns,
                         .frames = frames,
                         .depth_min = t->depth_min,
                         .depth_max = t->depth_max,
                         .layers = t->layers,
                         .kind = t->bench,
                         .owner = l };
}

/* What was done since then was for l. Returns the time. */
static uint64_t charge(shoald_worker *w, shoald_lane *l, uint64_t since_ns)
{
    uint64_t now_ns = uv_hrtime();
    shoald_count(&l->totals.beside_ns, now_ns - since_ns);
    shoald_count(&w->port.stats.beside_ns, now_ns - since_ns);
    return now_ns;
}

/* What was received goes on without running the engine, as far as it can or as is its turn. Fills
 * w->due. */
static int advance_all(shoald_worker *w)
{
    int ready = 0;
    uint64_t at_ns = w->roster.active_count ? uv_hrtime() : 0;
    for (int i = 0; i < w->roster.active_count;) {
        shoald_lane *l = w->roster.active[i];
        shoald_track_state state = shoald_track_advance(l, l->track->bench);
        report_drained_input(w, l);
        at_ns = charge(w, l, at_ns);
        if (state == SHOALD_READY) {
            w->due[ready++] = due_of(l);
            i++;
        } else if (state == SHOALD_MORE) {
            i++;
        } else if (state == SHOALD_IDLE || wait_for_room(l)) {
            l->track->was_blocked = state == SHOALD_BLOCKED;
            shoald_roster_leave(&w->roster, i);
        }
    }
    return ready;
}

/* ---- running ------------------------------------------------------------------------- */

static shoald_lane *lane_of(const shoald_due *due)
{
    return due->owner;
}

enum { NOTICE_MS = 500 }; /* by then the loop has taken over what was pressed */

/* The loop's ceiling, or what the worker has pressed it to lately. */
static int ceiling_now(const shoald_worker *w, uint64_t now_ns)
{
    int ceiling = atomic_load(&w->port.ceiling);
    bool pressed = atomic_load(&w->port.elastic) && now_ns < w->local_until_ns;
    return pressed && w->local_ceiling < ceiling ? w->local_ceiling : ceiling;
}

static void press(shoald_worker *w, int ceiling, uint64_t now_ns)
{
    w->local_ceiling = ceiling;
    w->local_until_ns = now_ns + NOTICE_MS * SHOALD_NS_PER_MS;
    atomic_store(&w->port.pressed, ceiling);
}

/* Fills w->expected_ns. Returns how many there are. */
static int expect(shoald_worker *w, uint64_t now_ns)
{
    for (int i = 0; i < w->roster.paced_count;) {
        const shoald_track *t = w->roster.paced[i]->track;
        w->expected_ns[i] = t->expected_ns;
        if (t->patient_ns || shoald_turn_paused(t->expected_ns, now_ns))
            shoald_roster_unpace(&w->roster, i);
        else
            i++;
    }
    return w->roster.paced_count;
}

/* Who runs next; the worker waits, if nobody does and nobody else has anything to do. */
static shoald_turn take_turn(shoald_worker *w, int ready)
{
    uint64_t now_ns = uv_hrtime();
    const shoald_turn_view view = { .cost = &w->cost,
                                    .ceiling = ceiling_now(w, now_ns),
                                    .elastic = atomic_load(&w->port.elastic),
                                    .batch_frames = w->batch_frames,
                                    .run_ns = (double)atomic_load(&w->port.run_ns),
                                    .expected_ns = w->expected_ns,
                                    .expected = expect(w, now_ns),
                                    .now_ns = now_ns };
    shoald_turn turn = shoald_turn_take(w->due, ready, &view);
    if (turn.ceiling < view.ceiling)
        press(w, turn.ceiling, now_ns);
    if (turn.count == 0 && ready == w->roster.active_count)
        w->wait_until_ns = turn.again_ns;
    return turn;
}

static void prepare_run(shoald_worker *w, const shoald_turn *turn)
{
    for (int i = 0; i < turn->count; i++) {
        shoald_lane *l = w->due[i].owner;
        shoald_bench *bench = l->track->bench;
        shoald_track_set_depth(l, bench, shoald_edf_depth(&w->due[i], turn->ceiling));
        bench->streams[i] = l->track->stream;
    }
}

static void fail_run(shoald_worker *w, int n, int code)
{
    shoal_error err;
    shoald_log(SHOALD_LOG_ERROR, "engine_failed", "worker=%d streams=%d code=%s", w->port.index, n,
               shoal_errname(code));
    shoal_error_set(&err, SHOAL_CODE_INTERNAL, NULL, "the engine failed: %s", shoal_strerror(code));
    for (int i = 0; i < n; i++)
        shoald_track_fail(lane_of(&w->due[i]), lane_of(&w->due[i])->track->bench, &err);
}

static void count_run(shoald_worker *w, int n, const shoald_work *work, uint64_t ns)
{
    shoald_cost_saw_run(&w->cost, work, (double)ns);
    shoald_count(&w->port.stats.runs, 1);
    shoald_count(&w->port.stats.chunks, (uint64_t)n);
    shoald_count(&w->port.stats.busy_ns, ns);
    shoald_observe(&w->port.stats.batch, shoald_batch_bounds, SHOALD_BATCH_BUCKETS, n);
}

/* How late the chunk came that has just been through. */
static void remember(shoald_worker *w, const shoald_lane *l, int depth, uint64_t end_ns)
{
    const shoald_service *s = l->service;
    if (w->port.index < s->recents)
        shoald_recent_add(&s->recent[w->port.index], depth, end_ns - l->track->record_ns, end_ns);
}

static void deliver(shoald_worker *w, const shoald_due *due, const shoal_result *r,
                    uint64_t start_ns, uint64_t end_ns)
{
    shoald_lane *l = due->owner;
    shoald_track *t = l->track;
    uint64_t late_ns = end_ns > due->deadline_ns ? end_ns - due->deadline_ns : 0;
    t->due = false;
    if (!t->patient_ns) /* it sends in real time, so its next chunk is expected */
        shoald_roster_pace(&w->roster, l);
    if (late_ns > atomic_load_explicit(&w->port.late_ns, memory_order_relaxed))
        atomic_store_explicit(&w->port.late_ns, late_ns, memory_order_relaxed);
    if (t->release_ns == t->record_ns) /* live; what waits in a client's own backlog says nothing */
        remember(w, l, r->depth, end_ns);
    shoald_count(&w->port.stats.frames, (uint64_t)r->frames);
    shoald_observe(&w->port.stats.late, shoald_late_bounds, SHOALD_LATE_BUCKETS,
                   (double)late_ns / 1e9);
    shoald_track_deliver(l, t->bench, r, start_ns, end_ns);
}

/* All n are of one model. */
static void run(shoald_worker *w, int n, const shoald_work *work)
{
    shoald_bench *bench = lane_of(&w->due[0])->track->bench;
    uint64_t start_ns = uv_hrtime();
    int result = shoal_batch_run(bench->batch, bench->streams, n, bench->results);
    uint64_t end_ns = uv_hrtime(), at_ns = end_ns;
    if (result < 0) {
        fail_run(w, n, result);
        return;
    }
    count_run(w, n, work, end_ns - start_ns);
    for (int i = 0; i < n; i++) {
        deliver(w, &w->due[i], &bench->results[i], start_ns, end_ns);
        at_ns = charge(w, w->due[i].owner, at_ns);
    }
}

static void run_ready(shoald_worker *w, int ready)
{
    shoald_turn turn = take_turn(w, ready);
    if (turn.count == 0)
        return;
    prepare_run(w, &turn);
    atomic_store(&w->port.run_due_ns, w->due[0].deadline_ns);
    run(w, turn.count, &turn.work);
    atomic_store(&w->port.run_due_ns, 0);
    w->ran_ns = uv_hrtime();
}

/* The loop pokes an idle worker now and then. */
static void rest(shoald_worker *w)
{
    uint64_t now_ns = uv_hrtime();
    shoald_cost_saw_rest(&w->cost, (double)(now_ns - w->ran_ns));
    w->ran_ns = now_ns;
}

void shoald_worker_turn(shoald_worker *w)
{
    shoald_roster_take_mail(&w->roster);
    shoald_roster_do_chores(&w->roster);
    shoald_bench_sweep(&w->roster.benches);
    w->wait_until_ns = 0;
    int ready = advance_all(w);
    if (ready > 0)
        run_ready(w, ready);
    else
        rest(w);
    shoald_port_notify(&w->port);
    atomic_store_explicit(&w->port.speed, w->cost.speed, memory_order_relaxed);
    atomic_store(&w->port.ticks, atomic_load(&w->port.ticks) + 1);
}

static void calibrate(shoald_worker *w)
{
    const shoald_bench *first = w->roster.benches;
    w->calibrated = shoald_calibrate(&w->cost, first->service, first->batch);
    w->port.shape = w->cost.shape;
    atomic_store(&w->port.speed, w->cost.speed);
    w->ran_ns = uv_hrtime();
    uv_sem_post(&w->ready);
}

/* As `top -H` and debuggers show it; the longest name is 15 bytes. */
static void name_thread(const shoald_worker *w)
{
    char name[16];
    snprintf(name, sizeof name, "worker-%d", w->port.index % 1000);
    pthread_setname_np(pthread_self(), name);
}

/* When to look again if nobody calls. */
static uint64_t wait_until(const shoald_worker *w)
{
    if (w->roster.chore_count > 0)
        return 0;
    return w->roster.active_count ? w->wait_until_ns : UINT64_MAX;
}

static void worker_main(void *arg)
{
    shoald_worker *w = arg;
    name_thread(w);
    calibrate(w);
    while (!atomic_load(&w->stop)) {
        shoald_port_wait(&w->port, wait_until(w));
        atomic_store(&w->port.woken, false);
        shoald_worker_turn(w);
    }
    shoald_roster_end(&w->roster);
    shoald_port_notify(&w->port);
}

/* ---- start and stop ------------------------------------------------------------------ */

static int allocate(shoald_worker *w, shoald_service *service, int max_lanes)
{
    size_t n = (size_t)max_lanes;
    int result = shoald_roster_init(&w->roster, &w->port, service, max_lanes, w->batch_frames);
    w->due = calloc(n, sizeof *w->due);
    w->expected_ns = calloc(n, sizeof *w->expected_ns);
    return !w->due || !w->expected_ns ? SHOAL_ENOMEM : result;
}

int shoald_worker_init(shoald_worker *w, int index, shoald_service *service, uv_async_t *notify,
                       int max_lanes, int batch_frames)
{
    memset(w, 0, sizeof *w);
    if (shoald_port_init(&w->port, index, service->depth, notify, max_lanes) < 0)
        return SHOAL_ENOMEM;
    w->batch_frames = batch_frames;
    atomic_store(&w->port.run_ns, SHOALD_LONGEST_RUN_NS);
    if (uv_sem_init(&w->ready, 0) < 0) {
        shoald_port_free(&w->port);
        return SHOAL_ENOMEM;
    }
    int result = allocate(w, service, max_lanes);
    if (result < 0)
        shoald_worker_free(w);
    return result;
}

int shoald_worker_start(shoald_worker *w, int index, shoald_service *service, uv_async_t *notify,
                        int max_lanes, int batch_frames)
{
    int result = shoald_worker_init(w, index, service, notify, max_lanes, batch_frames);
    if (result == 0 && uv_thread_create(&w->thread, worker_main, w) != 0) {
        shoald_worker_free(w);
        result = SHOAL_ENOMEM;
    }
    return result;
}

int shoald_worker_wait(shoald_worker *w)
{
    uv_sem_wait(&w->ready);
    return w->calibrated;
}

void shoald_worker_stop(shoald_worker *w)
{
    atomic_store(&w->stop, true);
    shoald_port_poke(&w->port);
    uv_thread_join(&w->thread);
}

void shoald_worker_free(shoald_worker *w)
{
    uv_sem_destroy(&w->ready);
    shoald_roster_free(&w->roster);
    shoald_port_free(&w->port);
    free(w->due);
    free(w->expected_ns);
    memset(w, 0, sizeof *w);
}

/* govern.c - see govern.h */
#include "plan/govern.h"

#include "plan/balance.h"
#include "session/grant.h"
#include "base/log.h"
#include "server.h"

#include <stdlib.h>
#include <string.h>

/* ---- counting ------------------------------------------------------------------------ */

static int chunk_frames(const shoal_options *o)
{
    return o->chunk_ms / SHOAL_FRAME_MS;
}

/* The mean of what the workers have measured. */
static void measure_price(shoald_server *server)
{
    shoald_governor *g = &server->governor;
    double speed = 0, other = 0, n = server->worker_count;
    for (int i = 0; i < server->worker_count; i++) {
        shoald_cost c = shoald_worker_cost(&server->workers[i]);
        speed += c.speed / n;
        other += c.other / n;
    }
    g->price.cost.speed = speed;
    g->price.cost.other = other;
    g->price.full_share = server->settings.capacity ? n / server->settings.capacity : 0;
}

/* Without elastic depth everybody runs as deep as asked. */
static shoald_demand demand_of(const shoald_server *server, const shoald_session *s)
{
    shoald_demand d = s->demand;
    if (!server->settings.elastic)
        d.depth_min = d.depth_max;
    return d;
}

typedef void count(shoald_load *l, const shoald_demand *d, const shoald_price *p);

/* add or remove */
static void count_session(shoald_server *server, const shoald_session *s, count *how)
{
    shoald_governor *g = &server->governor;
    shoald_demand d = demand_of(server, s);
    if (d.depth_max == 0)
        return;
    how(&g->total, &d, &g->price);
    if (s->worker)
        how(&g->loads[s->worker->index], &d, &g->price);
}

/* Now and then from the beginning, because rates and costs change. */
static void count_all(shoald_server *server)
{
    shoald_governor *g = &server->governor;
    memset(&g->total, 0, sizeof g->total);
    memset(g->loads, 0, (size_t)server->worker_count * sizeof *g->loads);
    for (const shoald_session *s = server->sessions; s; s = s->next)
        count_session(server, s, shoald_load_add);
}

/* Opus tells only that something came: then it counts as real time. */
static double audio_seconds(const shoald_session *s, uint64_t now_ns)
{
    const shoal_options *o = &s->options;
    uint64_t bytes = atomic_load_explicit(&s->received_bytes, memory_order_relaxed);
    if (o->format == SHOAL_FORMAT_OPUS)
        return bytes == s->looked_bytes
                   ? s->demand.audio_s
                   : s->demand.audio_s + (double)(now_ns - s->demand.sound_ns) / 1e9;
    return (double)bytes / ((double)shoald_track_frame_bytes(o) * o->rate);
}

static void look_at(shoald_session *s, uint64_t now_ns)
{
    if (s->demand.depth_max == 0)
        return;
    shoald_demand_look(&s->demand, audio_seconds(s, now_ns), now_ns);
    s->looked_bytes = atomic_load_explicit(&s->received_bytes, memory_order_relaxed);
}

/* ---- depth --------------------------------------------------------------------------- */

static shoald_marks marks_of(const shoald_settings *c)
{
    shoald_marks m = { c->elastic_high_percent / 100.0, c->elastic_low_percent / 100.0 };
    m.low = m.low < m.high ? m.low : m.high;
    return m;
}

static void log_ceiling(const shoald_server *server, int worker, int before)
{
    const shoald_elastic *e = &server->governor.elastic[worker];
    const shoald_load *l = &server->governor.loads[worker];
    if (l->at[e->depths] <= l->at[1])
        return; /* nobody is elastic */
    bool edge = before == e->depths || e->ceiling == e->depths;
    shoald_log(edge ? SHOALD_LOG_NOTICE : SHOALD_LOG_INFO, "depth_ceiling",
               "worker=%d ceiling=%d was=%d load=%.2f full_depth_load=%.2f sessions=%d", worker,
               e->ceiling, before, l->at[e->ceiling], l->at[e->depths], l->sessions);
}

static void decide_depth(shoald_server *server, int worker, uint64_t now_ns)
{
    shoald_governor *g = &server->governor;
    shoald_worker *w = &server->workers[worker];
    shoald_elastic *e = &g->elastic[worker];
    shoald_marks marks = marks_of(&server->settings);
    int before = e->ceiling;
    const shoald_news news = { atomic_exchange(&w->pressed, 0), g->late[worker].most_ns };
    atomic_store(&w->elastic, server->settings.elastic);
    if (!server->settings.elastic)
        shoald_elastic_init(e, e->depths);
    else
        shoald_elastic_step(e, &marks, &g->loads[worker], &news, now_ns);
    atomic_store(&w->ceiling, e->ceiling);
    if (e->ceiling != before)
        log_ceiling(server, worker, before);
}

/* ---- lateness ------------------------------------------------------------------------ */

static uint64_t late_limit_ns(const shoald_server *server)
{
    return (uint64_t)server->settings.late_limit_ms * 1000000u;
}

/* Since the last look; a run that goes on now counts, however long it takes. */
static uint64_t look_how_late(shoald_worker *w, uint64_t now_ns)
{
    uint64_t late_ns = atomic_exchange(&w->late_ns, 0), due_ns = atomic_load(&w->run_due_ns);
    uint64_t running_ns = due_ns && now_ns > due_ns ? now_ns - due_ns : 0;
    return late_ns > running_ns ? late_ns : running_ns;
}

/* Ending a session for which nothing waits would free nothing. */
static bool may_be_shed(const shoald_session *s, const shoald_worker *w)
{
    return s->conn && s->phase == SHOALD_STREAMING && s->worker == w &&
           shoald_queue_fill(&s->in) > 0;
}

/* The newest has lost the least, and those who were there first keep what they were promised. */
static void shed(shoald_server *server, int worker, uint64_t late_ns)
{
    for (shoald_session *s = server->sessions; s; s = s->next) {
        if (!may_be_shed(s, &server->workers[worker]))
            continue;
        shoald_log(SHOALD_LOG_WARNING, "shed", "session=%s worker=%d late_ms=%llu", s->id, worker,
                   (unsigned long long)(late_ns / 1000000u));
        shoald_session_fail(s, SHOAL_CODE_BACKLOG, NULL);
        return;
    }
}

static void look_at_lateness(shoald_server *server, int worker, uint64_t now_ns)
{
    shoald_late *l = &server->governor.late[worker];
    uint64_t late_ns = look_how_late(&server->workers[worker], now_ns);
    if (shoald_late_step(l, late_ns, late_limit_ns(server), now_ns))
        shed(server, worker, late_ns);
}

static bool too_late_for_more(const shoald_server *server)
{
    uint64_t limit_ns = late_limit_ns(server);
    for (int i = 0; i < server->worker_count; i++)
        if (shoald_late_refuses(&server->governor.late[i], limit_ns))
            return true;
    return false;
}

/* Runs are short beside the shortest chunk of a worker's sessions, lest one that becomes ready
 * in their midst is late; but very short ones would cost too much. */
static void decide_runs(shoald_server *server)
{
    uint64_t *run_ns = server->governor.run_ns;
    for (int i = 0; i < server->worker_count; i++)
        run_ns[i] = SHOALD_LONGEST_RUN_NS;
    for (const shoald_session *s = server->sessions; s; s = s->next) {
        uint64_t quarter_ns = (uint64_t)s->options.chunk_ms * 250000u;
        if (s->worker && quarter_ns < run_ns[s->worker->index])
            run_ns[s->worker->index] = quarter_ns;
    }
    for (int i = 0; i < server->worker_count; i++)
        atomic_store(&server->workers[i].run_ns,
                     run_ns[i] > SHOALD_SHORTEST_RUN_NS ? run_ns[i] : SHOALD_SHORTEST_RUN_NS);
}

/* ---- who gets in --------------------------------------------------------------------- */

static void say_overloaded(const shoald_server *server, shoal_error *err, const char *ref)
{
    shoal_error_set(err, SHOAL_CODE_OVERLOADED, ref, NULL);
    err->retry_after_ms = server->settings.retry_after_s * 1000;
}

static void log_admission(shoald_server *server, bool refusing)
{
    shoald_governor *g = &server->governor;
    if (g->refusing == refusing)
        return;
    g->refusing = refusing;
    shoald_log(SHOALD_LOG_NOTICE, refusing ? "overloaded" : "not_overloaded",
               "sessions=%d load=%.2f least_load=%.2f capacity_streams=%.0f", g->total.sessions,
               shoald_govern_load(server), g->total.at[1] / server->worker_count,
               shoald_govern_capacity(server));
}

/* With everybody as low as allowed. */
static bool fits(shoald_server *server, double more)
{
    const shoald_governor *g = &server->governor;
    double limit = server->settings.admission_percent / 100.0 * server->worker_count;
    return !server->settings.admission ||
           (!too_late_for_more(server) && g->total.at[1] + more <= limit);
}

static double least_share(const shoald_server *server, int depth_min, int depth_max, int frames)
{
    return shoald_price_share(&server->governor.price,
                              server->settings.elastic ? depth_min : depth_max, frames);
}

static bool admits(shoald_server *server, int depth_min, int depth_max, int frames,
                   shoal_error *err)
{
    bool yes = fits(server, least_share(server, depth_min, depth_max, frames));
    log_admission(server, !yes);
    if (!yes)
        say_overloaded(server, err, NULL);
    return yes;
}

bool shoald_govern_admits(shoald_server *server, const shoal_options *o, shoal_error *err)
{
    return admits(server, o->depth_min, o->depth_max, chunk_frames(o), err);
}

bool shoald_govern_has_room(shoald_server *server)
{
    shoal_options o = shoal_options_default();
    shoal_error err;
    shoald_grant_options(&o, server->info, server->settings.default_depth, &err);
    return fits(server, least_share(server, o.depth_min, o.depth_max, chunk_frames(&o)));
}

void shoald_govern_enter(shoald_session *s, const shoal_options *o)
{
    shoald_demand_start(&s->demand, o->depth_min, o->depth_max, chunk_frames(o), uv_hrtime());
    count_session(s->server, s, shoald_load_add);
}

static int least_loaded(const shoald_server *server)
{
    const shoald_governor *g = &server->governor;
    int best = 0;
    for (int i = 1; i < server->worker_count; i++)
        if (g->loads[i].at[g->price.depths] < g->loads[best].at[g->price.depths])
            best = i;
    return best;
}

void shoald_govern_place(shoald_session *s)
{
    shoald_server *server = s->server;
    shoald_governor *g = &server->governor;
    shoald_demand d = demand_of(server, s);
    int worker = least_loaded(server);
    s->worker = &server->workers[worker];
    s->worker->sessions++;
    shoald_load_add(&g->loads[worker], &d, &g->price);
}

bool shoald_govern_hears(shoald_session *s, shoal_error *err)
{
    shoald_server *server = s->server;
    const shoald_demand *d = &s->demand;
    uint64_t now_ns = uv_hrtime();
    if (!admits(server, d->depth_min, d->depth_max, d->chunk_frames, err))
        return false;
    count_session(server, s, shoald_load_remove);
    shoald_demand_speak(&s->demand, now_ns);
    count_session(server, s, shoald_load_add);
    decide_depth(server, s->worker->index, now_ns);
    return true;
}

bool shoald_govern_set(shoald_session *s, int depth_min, int depth_max, shoal_error *err)
{
    shoald_server *server = s->server;
    const shoald_demand *d = &s->demand;
    double before = least_share(server, d->depth_min, d->depth_max, d->chunk_frames);
    double more = least_share(server, depth_min, depth_max, d->chunk_frames) - before;
    if (more > 0 && !fits(server, more)) {
        shoal_error_set(err, SHOAL_CODE_OVERLOADED, "depth",
                        "there is no room for depth %d in real time: all stays as it was; try "
                        "later, ask for less or give a range",
                        depth_min);
        err->retry_after_ms = server->settings.retry_after_s * 1000;
        err->fatal = 0;
        return false;
    }
    count_session(server, s, shoald_load_remove);
    s->demand.depth_min = depth_min;
    s->demand.depth_max = depth_max;
    count_session(server, s, shoald_load_add);
    return true;
}

void shoald_govern_leave(shoald_session *s)
{
    count_session(s->server, s, shoald_load_remove);
    if (s->worker)
        s->worker->sessions--;
}

/* What it costs now, uploads as they come. */
double shoald_govern_cost(const shoald_session *s)
{
    const shoald_governor *g = &s->server->governor;
    shoald_demand d = demand_of(s->server, s);
    int ceiling = g->elastic[s->worker->index].ceiling;
    int depth = shoald_elastic_depth(ceiling, d.depth_min, d.depth_max);
    return d.rate * shoald_price_share(&g->price, depth, d.chunk_frames);
}

void shoald_govern_moved(shoald_session *s)
{
    count_session(s->server, s, shoald_load_remove);
    s->worker->sessions--;
    s->worker = s->move_to;
    s->worker->sessions++;
    s->move_to = NULL;
    count_session(s->server, s, shoald_load_add);
    s->server->governor.moving = false;
    s->server->governor.migrations++;
}

/* ---- as a whole ---------------------------------------------------------------------- */

int shoald_govern_init(shoald_server *server)
{
    shoald_governor *g = &server->governor;
    size_t n = (size_t)server->worker_count;
    g->loads = calloc(n, sizeof *g->loads);
    g->elastic = calloc(n, sizeof *g->elastic);
    g->sums = calloc(n, sizeof *g->sums);
    g->run_ns = calloc(n, sizeof *g->run_ns);
    g->late = calloc(n, sizeof *g->late);
    if (!g->late || !g->loads || !g->elastic || !g->sums || !g->run_ns)
        return -1;
    g->price.depths = server->info->depth;
    g->price.cost = shoald_worker_cost(&server->workers[0]);
    measure_price(server);
    for (int i = 0; i < server->worker_count; i++) {
        shoald_elastic_init(&g->elastic[i], server->info->depth);
        decide_depth(server, i, uv_hrtime());
    }
    return 0;
}

void shoald_govern_free(shoald_server *server)
{
    free(server->governor.loads);
    free(server->governor.elastic);
    free(server->governor.late);
    free(server->governor.sums);
    free(server->governor.run_ns);
}

void shoald_govern_step(shoald_server *server, uint64_t now_ns)
{
    if (!server->governor.run_ns)
        return; /* the start has failed */
    measure_price(server);
    for (shoald_session *s = server->sessions; s; s = s->next)
        look_at(s, now_ns);
    count_all(server);
    for (int i = 0; i < server->worker_count; i++) {
        look_at_lateness(server, i, now_ns);
        decide_depth(server, i, now_ns);
    }
    decide_runs(server);
    shoald_balance_step(server, now_ns);
}

double shoald_govern_load(const shoald_server *server)
{
    const shoald_governor *g = &server->governor;
    double sum = 0;
    for (int i = 0; i < server->worker_count; i++)
        sum += g->loads[i].at[g->elastic[i].ceiling];
    return sum / server->worker_count;
}

double shoald_govern_capacity(const shoald_server *server)
{
    const shoald_price *p = &server->governor.price;
    double share = shoald_price_share(p, p->depths, SHOAL_DEFAULT_CHUNK_MS / SHOAL_FRAME_MS);
    return share > 0 ? server->worker_count / share : 0;
}

int shoald_govern_ceiling(const shoald_server *server)
{
    int lowest = server->info->depth;
    for (int i = 0; i < server->worker_count; i++)
        if (server->governor.elastic[i].ceiling < lowest)
            lowest = server->governor.elastic[i].ceiling;
    return lowest;
}

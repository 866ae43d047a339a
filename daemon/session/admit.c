/* admit.c - see admit.h */
#include "session/admit.h"

#include "base/log.h"
#include "plan/balance.h"
#include "plan/edf.h"
#include "plan/grant.h"
#include "plan/times.h"
#include "session/state.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CHUNK_FRAMES = SHOAL_DEFAULT_CHUNK_MS / SHOAL_FRAME_MS };

/* ---- numbers ------------------------------------------------------------------------- */

static shoald_policy policy_of(const shoald_settings *c)
{
    shoald_marks m = { c->elastic_high_percent / 100.0, c->elastic_low_percent / 100.0 };
    m.low = m.low < m.high ? m.low : m.high;
    return (shoald_policy){ .elastic = c->elastic,
                            .admission = c->admission,
                            .admission_share = c->admission_percent / 100.0,
                            .marks = m,
                            .late_limit_ns = (uint64_t)c->late_limit_ms * SHOALD_NS_PER_MS };
}

static int chunk_frames(const shoal_options *o)
{
    return o->chunk_ms / SHOAL_FRAME_MS;
}

/* The mean of what the workers have measured. */
static void measure_price(shoald_house *house)
{
    shoald_price *price = &house->price;
    double speed = 0, n = house->port_count;
    for (int i = 0; i < house->port_count; i++) {
        speed += shoald_port_cost(house->ports[i]).speed / n;
    }
    const shoald_service *first = shoald_models_default(&house->models);
    price->cost.speed = speed;
    price->full = shoald_service_layers(first, 0)[first->info->depth];
    price->full_share = house->settings.capacity ? n / house->settings.capacity : 0;
}

/* sign 1: it counts from now on, -1: no longer */
static void count(const shoald_session *s, int sign)
{
    shoald_house *house = s->house;
    shoald_policy policy = policy_of(&house->settings);
    shoald_govern_count(&house->governor, &policy, &house->price, s->port ? s->port->index : -1,
                        &s->demand, sign);
}

/* Now and then from the beginning, because rates and costs change. */
static void count_all(shoald_house *house)
{
    shoald_govern_clear(&house->governor);
    for (const shoald_session *s = house->sessions; s; s = s->next)
        count(s, 1);
}

/* Opus tells only that something came: then it counts as real time. */
static double audio_seconds(const shoald_session *s, uint64_t bytes, uint64_t now_ns)
{
    const shoal_options *o = &s->lane.options;
    double before_s = s->demand.audio_s;
    if (o->format != SHOAL_FORMAT_OPUS)
        return (double)bytes / ((double)shoald_lane_frame_bytes(o) * o->rate);
    return bytes == s->looked_bytes ? before_s
                                    : before_s + (double)(now_ns - s->demand.sound_ns) / 1e9;
}

/* Whose link is gone sends no more: it does not count, or links that break would keep others out.
 * Before it has a worker there are no options either, by which its bytes would be seconds. */
static void look_at(shoald_session *s, uint64_t now_ns)
{
    uint64_t bytes = atomic_load_explicit(&s->lane.received_bytes, memory_order_relaxed);
    if (!s->port || !s->link)
        return;
    shoald_demand_look(&s->demand, audio_seconds(s, bytes, now_ns),
                       atomic_load_explicit(&s->lane.totals.beside_ns, memory_order_relaxed),
                       now_ns);
    s->looked_bytes = bytes;
}

/* ---- depth --------------------------------------------------------------------------- */

static void log_ceiling(const shoald_house *house, int worker, int before)
{
    const shoald_elastic *e = &house->governor.elastic[worker];
    const shoald_load *l = &house->governor.loads[worker];
    if (l->at[e->depths] <= l->at[1])
        return; /* nobody is elastic */
    bool edge = before == e->depths || e->ceiling == e->depths;
    shoald_log(edge ? SHOALD_LOG_NOTICE : SHOALD_LOG_INFO, "depth_ceiling",
               "worker=%d ceiling=%d was=%d load=%.2f full_depth_load=%.2f sessions=%d", worker,
               e->ceiling, before, l->at[e->ceiling], l->at[e->depths], l->sessions);
}

static void set_depth(shoald_house *house, int worker, uint64_t now_ns)
{
    shoald_port *port = house->ports[worker];
    shoald_policy policy = policy_of(&house->settings);
    int before = house->governor.elastic[worker].ceiling;
    int pressed = atomic_exchange(&port->pressed, 0);
    int ceiling = shoald_govern_depth(&house->governor, &policy, worker, pressed, now_ns);
    atomic_store(&port->elastic, policy.elastic);
    atomic_store(&port->ceiling, ceiling);
    if (ceiling != before)
        log_ceiling(house, worker, before);
}

/* ---- lateness ------------------------------------------------------------------------ */

/* Since the last look; a run that goes on now counts, however long it takes. */
static uint64_t look_how_late(shoald_port *port, uint64_t now_ns)
{
    uint64_t late_ns = atomic_exchange(&port->late_ns, 0), due_ns = atomic_load(&port->run_due_ns);
    uint64_t running_ns = due_ns && now_ns > due_ns ? now_ns - due_ns : 0;
    return late_ns > running_ns ? late_ns : running_ns;
}

/* Ending a session for which nothing waits would free nothing. */
static bool may_be_shed(const shoald_session *s, const shoald_port *port)
{
    return s->link && s->phase == SHOALD_STREAMING && !s->too_late && s->port == port &&
           shoald_queue_fill(&s->lane.in) > 0;
}

/* The newest has lost the least, and those who were there first keep what they were promised. */
static void shed(shoald_house *house, int worker, uint64_t late_ns)
{
    for (shoald_session *s = house->sessions; s; s = s->next) {
        if (!may_be_shed(s, house->ports[worker]))
            continue;
        shoald_log(SHOALD_LOG_WARNING, "shed", "session=%s worker=%d late_ms=%llu", s->lane.id,
                   worker, (unsigned long long)(late_ns / SHOALD_NS_PER_MS));
        s->too_late = true;
        return;
    }
}

static void look_at_lateness(shoald_house *house, int worker, uint64_t now_ns)
{
    shoald_policy policy = policy_of(&house->settings);
    uint64_t late_ns = look_how_late(house->ports[worker], now_ns);
    if (shoald_govern_late(&house->governor, &policy, worker, late_ns, now_ns))
        shed(house, worker, late_ns);
}

/* Runs are short beside the shortest chunk of those who speak, lest one that becomes ready in
 * their midst is late. */
static void shorten_runs(const shoald_session *s)
{
    uint64_t run_ns = shoald_edf_run_ns(s->demand.chunk_frames * SHOAL_FRAME_MS);
    uint64_t *least_ns = &s->house->run_ns[s->port->index];
    *least_ns = run_ns < *least_ns ? run_ns : *least_ns;
}

static void set_runs(shoald_house *house)
{
    for (int i = 0; i < house->port_count; i++)
        house->run_ns[i] = SHOALD_LONGEST_RUN_NS;
    for (const shoald_session *s = house->sessions; s; s = s->next)
        if (s->port && s->demand.rate > 0)
            shorten_runs(s);
    for (int i = 0; i < house->port_count; i++)
        atomic_store(&house->ports[i]->run_ns, house->run_ns[i]);
}

/* ---- who gets in --------------------------------------------------------------------- */

static void log_admission(shoald_house *house, bool refusing)
{
    if (house->refusing == refusing)
        return;
    house->refusing = refusing;
    shoald_log(SHOALD_LOG_NOTICE, refusing ? "overloaded" : "not_overloaded",
               "sessions=%d load=%.2f least_load=%.2f capacity_streams=%.0f",
               house->governor.total.sessions, shoald_govern_load(&house->governor),
               shoald_govern_least_load(&house->governor), shoald_admit_capacity(house));
}

static bool fits(const shoald_house *house, const shoald_demand *d, const shoald_demand *now)
{
    shoald_policy policy = policy_of(&house->settings);
    return shoald_govern_fits(&house->governor, &policy, &house->price, d, now);
}

/* xorshift32 */
int shoald_admit_retry_ms(shoald_house *house)
{
    uint32_t chance = house->chance ? house->chance : (uint32_t)house->id_salt | 1;
    chance ^= chance << 13;
    chance ^= chance >> 17;
    house->chance = chance ^= chance << 5;
    return shoald_spread_ms(house->settings.retry_after_s * 1000, chance);
}

static bool may_speak(shoald_house *house, const shoald_demand *d, shoal_error *err)
{
    bool yes = fits(house, d, NULL);
    log_admission(house, !yes);
    if (yes)
        return true;
    shoal_error_set(err, SHOAL_CODE_OVERLOADED, NULL, NULL);
    err->retry_after_ms = shoald_admit_retry_ms(house);
    return false;
}

/* Of the program that it has been granted; the first where it has not asked for any. */
static const double *layers_of(const shoald_service *service, const shoal_options *o)
{
    int program = shoald_grant_find_program(service->model, o->program);
    return shoald_service_layers(service, program < 0 ? 0 : program);
}

static shoald_demand demand_of(const shoald_service *service, const shoal_options *o)
{
    return (shoald_demand){ .depth_min = o->depth_min,
                            .depth_max = o->depth_max,
                            .chunk_frames = chunk_frames(o),
                            .layers = layers_of(service, o) };
}

int shoald_admit_grant(const shoald_house *house, const shoald_grant_limits *limits,
                       shoal_options *o, shoald_service **service, shoal_error *err)
{
    const shoald_named *one = shoald_models_pick(&house->models, o->model, err);
    if (!one || shoald_grant_options(o, one->service->model, limits, err) < 0)
        return -1;
    memcpy(o->model, one->name, sizeof one->name);
    *service = one->service;
    return 0;
}

bool shoald_admit_may_begin(shoald_house *house, const shoald_service *service,
                            const shoal_options *o, shoal_error *err)
{
    shoald_demand d = demand_of(service, o);
    return may_speak(house, &d, err);
}

bool shoald_admit_has_room(shoald_house *house)
{
    shoal_options o = shoal_options_default();
    const shoald_grant_limits limits = { .default_depth = house->settings.default_depth };
    const shoald_service *service = shoald_models_default(&house->models);
    shoal_error err;
    shoald_grant_options(&o, service->model, &limits, &err);
    shoald_demand d = demand_of(service, &o);
    return fits(house, &d, NULL);
}

void shoald_admit_enter(shoald_session *s, const shoal_options *o)
{
    shoald_demand_start(&s->demand, o->depth_min, o->depth_max, chunk_frames(o),
                        layers_of(s->lane.service, o), uv_hrtime());
    count(s, 1);
}

void shoald_admit_place(shoald_session *s)
{
    count(s, -1);
    int worker = shoald_govern_place(&s->house->governor, s->house->stalled);
    s->port = s->house->ports[worker];
    s->port->lanes++;
    count(s, 1);
}

bool shoald_admit_hears(shoald_session *s, shoal_error *err)
{
    uint64_t now_ns = uv_hrtime();
    if (!may_speak(s->house, &s->demand, err))
        return false;
    count(s, -1);
    shoald_demand_speak(&s->demand, now_ns);
    count(s, 1);
    set_depth(s->house, s->port->index, now_ns);
    shorten_runs(s);
    atomic_store(&s->port->run_ns, s->house->run_ns[s->port->index]);
    return true;
}

bool shoald_admit_set(shoald_session *s, const shoal_options *o, shoal_error *err)
{
    shoald_demand next = s->demand;
    bool chunk = chunk_frames(o) != s->demand.chunk_frames;
    next.depth_min = o->depth_min;
    next.depth_max = o->depth_max;
    next.chunk_frames = chunk_frames(o);
    if (!fits(s->house, &next, &s->demand)) {
        shoal_error_set(
            err, SHOAL_CODE_OVERLOADED, chunk ? "chunk_ms" : "depth",
            "there is no room for depth %d in chunks of %d ms in real time: all stays as "
            "it was; try later, ask for less or give a range",
            o->depth_min, o->chunk_ms);
        err->retry_after_ms = shoald_admit_retry_ms(s->house);
        err->fatal = 0;
        return false;
    }
    count(s, -1);
    s->demand = next;
    count(s, 1);
    return true;
}

void shoald_admit_rest(shoald_session *s)
{
    count(s, -1);
    s->demand.rate = s->demand.beside = 0;
    count(s, 1);
}

/* What it takes already is no more than it had; only who has sound to come needs room for it. */
bool shoald_admit_may_return(shoald_session *s, shoal_error *err)
{
    return s->phase != SHOALD_STREAMING || s->demand.rate > 0 ||
           may_speak(s->house, &s->demand, err);
}

void shoald_admit_leave(shoald_session *s)
{
    count(s, -1);
    if (s->port)
        s->port->lanes--;
}

/* ---- moves ------------------------------------------------------------------------------ */

static double cost_of(const shoald_session *s)
{
    const shoald_house *house = s->house;
    shoald_policy policy = policy_of(&house->settings);
    return shoald_govern_cost(&house->governor, &policy, &house->price, s->port->index, &s->demand);
}

static void sum_costs(shoald_house *house)
{
    memset(house->costs, 0, (size_t)house->port_count * sizeof *house->costs);
    for (const shoald_session *s = house->sessions; s; s = s->next)
        if (s->port)
            house->costs[s->port->index] += cost_of(s);
}

static void begin_move(shoald_session *s, int to)
{
    s->move_to = s->house->ports[to];
    s->house->moving = true;
    shoald_log(SHOALD_LOG_DEBUG, "migrate", "session=%s from=%d to=%d", s->lane.id, s->port->index,
               to);
    shoald_lane_post_move(&s->lane, s->port);
}

static void level(shoald_house *house)
{
    shoald_balance b;
    shoald_session *best = NULL;
    sum_costs(house);
    if (!shoald_balance_begin(&b, house->costs, house->port_count,
                              house->settings.rebalance_percent / 100.0))
        return;
    for (shoald_session *s = house->sessions; s; s = s->next)
        if (s->link && s->port == house->ports[b.from] && shoald_balance_offer(&b, cost_of(s)))
            best = s;
    if (best)
        begin_move(best, b.to);
}

static void balance(shoald_house *house, uint64_t now_ns)
{
    uint64_t wait_ns = house->settings.rebalance_percent ? SHOALD_NS_PER_S : 0;
    if (house->moving || house->port_count < 2 || now_ns - house->balanced_ns < wait_ns)
        return;
    house->balanced_ns = now_ns;
    level(house);
}

void shoald_admit_moved(shoald_session *s)
{
    count(s, -1);
    s->port->lanes--;
    s->port = s->move_to;
    s->port->lanes++;
    s->move_to = NULL;
    count(s, 1);
    s->house->moving = false;
    s->house->migrations++;
}

/* ---- as a whole ---------------------------------------------------------------------- */

static int highest_ceiling(const shoald_house *house)
{
    int highest = 1;
    for (int i = 0; i < house->models.count; i++) {
        int ceiling = shoald_service_ceiling(house->models.at[i].service);
        highest = ceiling > highest ? ceiling : highest;
    }
    return highest;
}

int shoald_admit_init(shoald_house *house)
{
    size_t n = (size_t)house->port_count;
    int ceiling = highest_ceiling(house);
    house->costs = calloc(n, sizeof *house->costs);
    house->run_ns = calloc(n, sizeof *house->run_ns);
    if (!house->costs || !house->run_ns ||
        shoald_govern_init(&house->governor, house->port_count, ceiling) < 0)
        return -1;
    house->price = (shoald_price){ .cost = shoald_port_cost(house->ports[0]), .depths = ceiling };
    measure_price(house);
    for (int i = 0; i < house->port_count; i++)
        set_depth(house, i, uv_hrtime());
    return 0;
}

void shoald_admit_free(shoald_house *house)
{
    shoald_govern_free(&house->governor);
    free(house->costs);
    free(house->run_ns);
}

int shoald_admit_ceiling(const shoald_house *house, const shoald_service *s, int program, int depth)
{
    return shoald_price_depth(shoald_service_layers(s, program),
                              shoald_govern_ceiling(&house->governor), 1, depth);
}

void shoald_admit_deepen(shoald_house *house)
{
    int ceiling = highest_ceiling(house);
    if (ceiling <= house->price.depths)
        return;
    house->price.depths = ceiling;
    shoald_govern_deepen(&house->governor, ceiling);
    count_all(house);
}

void shoald_admit_step(shoald_house *house, uint64_t now_ns)
{
    if (!house->governor.loads)
        return; /* the start has failed */
    measure_price(house);
    for (shoald_session *s = house->sessions; s; s = s->next)
        look_at(s, now_ns);
    count_all(house);
    for (int i = 0; i < house->port_count; i++) {
        look_at_lateness(house, i, now_ns);
        set_depth(house, i, now_ns);
    }
    set_runs(house);
    balance(house, now_ns);
}

double shoald_admit_capacity(const shoald_house *house)
{
    return shoald_govern_capacity(&house->governor, &house->price, DEFAULT_CHUNK_FRAMES);
}

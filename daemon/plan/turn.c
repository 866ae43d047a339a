/* turn.c - see turn.h */
#include "plan/turn.h"

#include <math.h>

/* Runs take longer than the cost model says now and then, and streams come early by a little: a run
 * should fill no more of a gap than this. */
#define FILL 0.7

uint64_t shoald_turn_patience(uint64_t release_ns, uint64_t chunk_ns, uint64_t now_ns)
{
    return release_ns > now_ns + SHOALD_AHEAD_NS ? now_ns + chunk_ns / 4 * 3 : 0;
}

uint64_t shoald_turn_expect(uint64_t expected_ns, uint64_t complete_ns, uint64_t chunk_ns)
{
    int64_t off_ns = (int64_t)(complete_ns - expected_ns), most_ns = (int64_t)chunk_ns / 4;
    bool in_step = expected_ns && off_ns > -most_ns && off_ns < most_ns;
    return (in_step ? expected_ns + (uint64_t)(off_ns / 8) : complete_ns) + chunk_ns;
}

/* However long it goes on to be missed, runs get no longer. */
bool shoald_turn_paused(uint64_t expected_ns, uint64_t now_ns)
{
    return (double)now_ns > (double)expected_ns + SHOALD_LONGEST_RUN_NS / FILL;
}

/* ---- gaps ---------------------------------------------------------------------------- */

/* What a run that begins now may take, as far as this stream is concerned: before it is expected,
 * till then; after, as long as it has been missed. */
static double room_beside(uint64_t expected_ns, uint64_t now_ns)
{
    return FILL * fabs((double)(int64_t)(expected_ns - now_ns));
}

static double room_of(const shoald_turn_view *v)
{
    double room_ns = INFINITY;
    for (int i = 0; i < v->expected; i++)
        room_ns = fmin(room_ns, room_beside(v->expected_ns[i], v->now_ns));
    return room_ns;
}

/* When all those who are in the way of such a run have been missed for long enough. Those who come
 * before wake the worker by that. */
static uint64_t opens_ns(const shoald_turn_view *v, double need_ns)
{
    uint64_t latest_ns = v->now_ns;
    for (int i = 0; i < v->expected; i++) {
        uint64_t at_ns = v->expected_ns[i] + (uint64_t)ceil(need_ns / FILL);
        if (room_beside(v->expected_ns[i], v->now_ns) < need_ns && at_ns > latest_ns)
            latest_ns = at_ns;
    }
    return latest_ns;
}

/* ---- chunks -------------------------------------------------------------------------- */

static void swap(shoald_due *a, shoald_due *b)
{
    shoald_due c = *a;
    *a = *b;
    *b = c;
}

/* Those that are patient no longer, or never were, come first. Returns how many. */
static int put_patient_last(shoald_due *due, int n, uint64_t now_ns)
{
    int first = 0;
    for (int i = 0; i < n; i++)
        if (due[i].patient_ns <= now_ns)
            swap(&due[i], &due[first++]);
    return first;
}

static double alone_ns(const shoald_due *due, const shoald_turn_view *v)
{
    shoald_work work = { 0 };
    shoald_work_add(&work, shoald_edf_layers(due, v->ceiling), due->frames);
    return shoald_cost_run_ns(v->cost, &work);
}

/* Those that alone would be through come first. */
static int put_long_last(shoald_due *due, int n, const shoald_turn_view *v, double room_ns)
{
    int first = 0;
    for (int i = 0; i < n; i++)
        if (alone_ns(&due[i], v) <= room_ns)
            swap(&due[i], &due[first++]);
    return first;
}

/* ---- turns --------------------------------------------------------------------------- */

/* Those that can share a run with the first one come next to it, in their order. Returns how many
 * they are with it. Of others the first is due later, and has its turn after this run. */
static int put_kin_first(shoald_due *due, int n)
{
    int kin = 1;
    for (int i = 1; i < n; i++)
        if (due[i].kind == due[0].kind)
            swap(&due[i], &due[kin++]);
    return kin;
}

/* All live, or all out of patience: those that are due first. */
static int lead(const shoald_due *due, int n)
{
    int count = 1;
    while (count < n && !due[count].patient_ns == !due[0].patient_ns)
        count++;
    return count;
}

/* What has lost its patience may be in the way of somebody live, but not for long. */
static double longest_ns(const shoald_due *first, const shoald_turn_view *v)
{
    bool in_the_way = first->patient_ns && v->expected > 0;
    return in_the_way ? fmin(v->run_ns, SHOALD_SHORTEST_RUN_NS) : v->run_ns;
}

static shoald_turn take_due(shoald_due *due, int n, const shoald_turn_view *v)
{
    shoald_turn t = { .ceiling = v->ceiling };
    shoald_edf_sort(due, n);
    if (v->elastic)
        t.ceiling = shoald_edf_fit(due, n, v->cost, v->ceiling, v->now_ns);
    t.count = shoald_edf_take(due, lead(due, put_kin_first(due, n)), v->cost, t.ceiling,
                              v->batch_frames, longest_ns(due, v), v->now_ns, &t.work);
    return t;
}

/* The first that has no patience left, or fits into a gap. */
static uint64_t wait_till(const shoald_due *due, int n, const shoald_turn_view *v)
{
    uint64_t patient_ns = UINT64_MAX;
    double need_ns = INFINITY;
    for (int i = 0; i < n; i++) {
        patient_ns = due[i].patient_ns < patient_ns ? due[i].patient_ns : patient_ns;
        need_ns = fmin(need_ns, alone_ns(&due[i], v));
    }
    uint64_t gap_ns = opens_ns(v, need_ns);
    return patient_ns < gap_ns ? patient_ns : gap_ns;
}

static shoald_turn take_gap(shoald_due *due, int n, const shoald_turn_view *v)
{
    shoald_turn t = { .ceiling = v->ceiling };
    double room_ns = room_of(v), limit_ns = fmin(v->run_ns * v->cost->speed, room_ns);
    int fit = put_long_last(due, n, v, room_ns);
    shoald_edf_sort(due, fit);
    if (fit > 0)
        t.count = shoald_edf_take_within(due, put_kin_first(due, fit), v->cost, v->ceiling,
                                         v->batch_frames, limit_ns, &t.work);
    else
        t.again_ns = wait_till(due, n, v);
    return t;
}

shoald_turn shoald_turn_take(shoald_due *due, int n, const shoald_turn_view *v)
{
    int live = put_patient_last(due, n, v->now_ns);
    return live > 0 ? take_due(due, live, v) : take_gap(due, n, v);
}

/* balance.c - see balance.h */
#include "plan/balance.h"

#include "base/log.h"
#include "server.h"

#include <string.h>

#define LOOK_NS 1000000000u

static void sum_costs(shoald_server *server)
{
    double *sums = server->governor.sums;
    memset(sums, 0, (size_t)server->worker_count * sizeof *sums);
    for (const shoald_session *s = server->sessions; s; s = s->next)
        if (s->worker)
            sums[s->worker->index] += shoald_govern_cost(s);
}

/* The session whose move brings the two workers closest together; NULL: none does. */
static shoald_session *best_move(const shoald_server *server, int from, double difference)
{
    shoald_session *best = NULL;
    double best_gap = difference; /* afterwards */
    for (shoald_session *s = server->sessions; s; s = s->next) {
        if (!s->conn || s->worker != &server->workers[from])
            continue;
        double gap = difference - 2 * shoald_govern_cost(s);
        gap = gap < 0 ? -gap : gap;
        if (gap < best_gap || (!best && server->settings.rebalance_percent == 0)) {
            best_gap = gap;
            best = s;
        }
    }
    return best;
}

static void begin_move(shoald_server *server, shoald_session *s, int to)
{
    s->move_to = &server->workers[to];
    server->governor.moving = true;
    shoald_log(SHOALD_LOG_DEBUG, "migrate", "session=%s from=%d to=%d", s->id, s->worker->index,
               to);
    shoald_worker_post_move(s->worker, s);
}

static void level(shoald_server *server)
{
    const double *sums = server->governor.sums;
    int least = 0, most = 0;
    sum_costs(server);
    for (int i = 1; i < server->worker_count; i++) {
        least = sums[i] < sums[least] ? i : least;
        most = sums[i] > sums[most] ? i : most;
    }
    double difference = sums[most] - sums[least];
    if (least == most || difference * 100 < server->settings.rebalance_percent)
        return;
    shoald_session *s = best_move(server, most, difference);
    if (s)
        begin_move(server, s, least);
}

void shoald_balance_step(shoald_server *server, uint64_t now_ns)
{
    shoald_governor *g = &server->governor;
    uint64_t wait_ns = server->settings.rebalance_percent ? LOOK_NS : 0;
    if (g->moving || server->worker_count < 2 || now_ns - g->balanced_ns < wait_ns)
        return;
    g->balanced_ns = now_ns;
    level(server);
}

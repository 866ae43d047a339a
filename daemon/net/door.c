/* door.c - see door.h */
#include "net/door.h"

#include "base/log.h"
#include "base/trust.h"
#include "plan/times.h"

#include <string.h>

void shoald_door_init(shoald_door *door, shoald_house *house, uv_loop_t *loop)
{
    memset(door, 0, sizeof *door);
    door->house = house;
    door->loop = loop;
    door->posts =
        (shoald_posts){ .house = house, .loop = loop, .take_back = shoald_greet_take_back };
    door->posts.owner = door;
}

static void log_full(shoald_door *door, const shoald_peer *peer)
{
    uint64_t now_ns = uv_hrtime();
    if (door->full_ns && now_ns - door->full_ns < 10 * SHOALD_NS_PER_S)
        return;
    door->full_ns = now_ns;
    shoald_log(SHOALD_LOG_WARNING, "connections_full", "closed=%s asking=%d hint=%s", peer->name,
               door->waiting.counts[SHOALD_ASKING],
               "\"the oldest without a request goes: max_http_connections, "
               "max_http_connections_per_ip\"");
}

void shoald_door_enter(shoald_door *door, int fd, const struct sockaddr_storage *from)
{
    const shoald_settings *c = &door->house->settings;
    shoald_peer peer;
    shoald_peer_set(&peer, from);
    /* a proxy has as many as its clients */
    int near = shoald_trust_has(c->proxy_from, &peer) ? 0 : c->max_http_connections_per_ip;
    shoald_member *victim =
        shoald_waiting_victim(&door->waiting, &peer, c->max_http_connections, near);
    if (victim) {
        log_full(door, victim->peer);
        shoald_count(&door->house->stats.evicted, 1);
        shoald_greet_end(victim);
    }
    shoald_greet_start(door, fd, &peer);
}

/* One that is through may move to a list that is looked at later; its deadline is new then. */
void shoald_door_step(shoald_door *door, uint64_t now_ns)
{
    door->answers = 0;
    shoald_greeting_log_untold(door, now_ns);
    for (int i = 0; i < SHOALD_STANDINGS; i++)
        for (shoald_member *m = door->waiting.oldest[i], *newer; m; m = newer) {
            newer = m->newer;
            shoald_greet_on_tick(m, now_ns);
        }
}

void shoald_door_close(shoald_door *door)
{
    shoald_posts_close(&door->posts);
    for (int i = 0; i < SHOALD_STANDINGS; i++)
        while (door->waiting.oldest[i])
            shoald_greet_end(door->waiting.oldest[i]);
}

/* elastic.c - see elastic.h */
#include "plan/elastic.h"

#include "plan/times.h"

#include <stdbool.h>

#define REST_NS     1500000000u            /* after going down */
#define MAX_REST_NS 4000000000u            /* after going down again and again */
#define CALM_NS     (10 * SHOALD_NS_PER_S) /* this long without stepping in, and all is forgotten */
#define RISE_NS     500000000u             /* between layers on the way up */

void shoald_elastic_init(shoald_elastic *e, int depths)
{
    *e = (shoald_elastic){ .ceiling = depths, .depths = depths, .patience_ns = REST_NS };
}

void shoald_elastic_deepen(shoald_elastic *e, int depths)
{
    if (e->ceiling == e->depths)
        e->ceiling = depths;
    e->depths = depths;
}

static void fall(shoald_elastic *e, int ceiling, uint64_t now_ns)
{
    e->ceiling = ceiling;
    e->rest_ns = now_ns + e->patience_ns;
}

/* The worker stepped in: what was projected was too good. */
static void fall_pressed(shoald_elastic *e, int ceiling, uint64_t now_ns)
{
    bool again = e->fell_ns && now_ns - e->fell_ns < CALM_NS;
    uint64_t twice_ns = 2 * e->patience_ns;
    e->patience_ns = !again ? REST_NS : twice_ns < MAX_REST_NS ? twice_ns : MAX_REST_NS;
    e->fell_ns = now_ns;
    fall(e, ceiling, now_ns);
}

static void fall_projected(shoald_elastic *e, const shoald_marks *marks, const shoald_load *load,
                           uint64_t now_ns)
{
    int ceiling = e->ceiling;
    while (ceiling > 1 && load->at[ceiling] > (marks->high + marks->low) / 2)
        ceiling--;
    fall(e, ceiling, now_ns);
}

/* One layer, and those beyond it that change nothing, because nobody may use them. */
static void rise(shoald_elastic *e, const shoald_load *load, uint64_t now_ns)
{
    e->ceiling++;
    while (e->ceiling < e->depths && load->at[e->ceiling + 1] <= load->at[e->ceiling])
        e->ceiling++;
    e->rest_ns = now_ns + RISE_NS;
}

int shoald_elastic_step(shoald_elastic *e, const shoald_marks *marks, const shoald_load *load,
                        const shoald_news *news, uint64_t now_ns)
{
    if (news->pressed && news->pressed < e->ceiling)
        fall_pressed(e, news->pressed, now_ns);
    if (load->at[e->ceiling] > marks->high)
        fall_projected(e, marks, load, now_ns);
    else if (e->ceiling < e->depths && now_ns >= e->rest_ns && news->late_ns == 0 &&
             load->at[e->ceiling + 1] <= marks->low)
        rise(e, load, now_ns);
    return e->ceiling;
}

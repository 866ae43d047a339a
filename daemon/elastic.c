/* elastic.c - see elastic.h */
#include "elastic.h"

#define REST_NS 1500000000u /* after going down */
#define RISE_NS 500000000u  /* between layers on the way up */

void shoald_elastic_init(shoald_elastic *e, int depths)
{
    *e = (shoald_elastic){ .ceiling = depths, .depths = depths };
}

static void fall(shoald_elastic *e, int ceiling, uint64_t now_ns)
{
    e->ceiling = ceiling;
    e->rest_ns = now_ns + REST_NS;
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
                        int pressed, uint64_t now_ns)
{
    if (pressed && pressed < e->ceiling)
        fall(e, pressed, now_ns);
    if (load->at[e->ceiling] > marks->high) {
        int ceiling = e->ceiling;
        while (ceiling > 1 && load->at[ceiling] > (marks->high + marks->low) / 2)
            ceiling--;
        fall(e, ceiling, now_ns);
    } else if (e->ceiling < e->depths && now_ns >= e->rest_ns &&
               load->at[e->ceiling + 1] <= marks->low) {
        rise(e, load, now_ns);
    }
    return e->ceiling;
}

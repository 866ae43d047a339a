/* load_rush.c - "100@20+10": sessions that come and go in mid-run, and what they did
 *
 * A rush shows elastic depth: the server serves everybody shallower while it lasts and deep again
 * afterwards. Its effect is read from the rows of the run, second by second.
 */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>

/* Part of the depth before that counts as back: means over a second waver a little. */
#define BACK 0.99

enum { LEAST_S = 2 };

static const char *number(const char *p, int most, int *value)
{
    char *end;
    long n = strtol(p, &end, 10);

    if (*p < '0' || *p > '9' || n > most)
        return NULL;
    *value = (int)n;
    return end;
}

int load_rush_parse(load_rush *r, const char *text, char *why, size_t why_size)
{
    load_rush got = { 0 };
    const char *p = number(text, LOAD_MAX_SESSIONS, &got.sessions);

    p = p && *p == '@' ? number(p + 1, LOAD_MAX_SECONDS, &got.at_s) : NULL;
    p = p && *p == '+' ? number(p + 1, LOAD_MAX_SECONDS, &got.for_s) : NULL;
    if (!p || *p || !got.sessions) {
        snprintf(why, why_size,
                 "\"%s\" is not a rush: say N@T+D, such as 100@20+10 for 100 sessions "
                 "from second 20 for 10 seconds",
                 text);
        return -1;
    }
    if (got.for_s < LEAST_S) {
        snprintf(why, why_size,
                 "\"%s\" lasts %d s, and %d is the least, so that there is a whole second to "
                 "measure: say %d@%d+%d",
                 text, got.for_s, LEAST_S, got.sessions, got.at_s, LEAST_S);
        return -1;
    }
    *r = got;
    return 0;
}

static load_phase phase(const load_stats *st, int from, int to)
{
    load_phase p = { 0 };
    double frames = 0, depth = 0;

    for (int i = 0; i < st->row_count; i++) {
        const load_row *r = &st->rows[i];

        if (!r->steady || r->t_s < from || r->t_s >= to)
            continue;
        frames += (double)r->frames;
        depth += r->depth * (double)r->frames;
        p.p99_ms = r->latency[2] > p.p99_ms ? r->latency[2] : p.p99_ms;
        p.lag = r->lag > p.lag ? r->lag : p.lag;
        p.active = r->active > p.active ? r->active : p.active;
    }
    p.depth = frames > 0 ? depth / frames : 0;
    return p;
}

load_rush_effect load_rush_measure(const load_rush *r, const load_stats *st)
{
    int end = r->at_s + r->for_s;
    load_rush_effect e = { phase(st, 0, r->at_s), phase(st, r->at_s, end),
                           phase(st, end, LOAD_MAX_SECONDS), -1 };

    for (int i = 0; i < st->row_count && e.back_s < 0; i++)
        if (st->rows[i].t_s >= end && st->rows[i].steady && st->rows[i].depth > 0 &&
            st->rows[i].depth >= BACK * e.before.depth)
            e.back_s = st->rows[i].t_s - end;
    return e;
}

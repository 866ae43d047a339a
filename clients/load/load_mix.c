/* load_mix.c - "3:0.5,12:0.5" -> which session gets what
 *
 * Each session takes the item that is furthest behind its share. That is deterministic, and any
 * prefix of the sessions has the mix, where drawing lots would give a ramp of another mix than
 * asked for.
 */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>

static int complain(const char *text, char *why, size_t why_size)
{
    snprintf(why, why_size,
             "\"%s\" is not a mix: give values or ranges with weights, such as 12 or "
             "3:0.5,12:0.5 or 3-12:1,12:3, at most %d of them",
             text, LOAD_MIX_MAX);
    return -1;
}

/* A whole number 1..99999; NULL when there is none. */
static const char *parse_number(const char *p, int *value)
{
    char *end;
    long n = strtol(p, &end, 10);

    if (*p < '0' || *p > '9' || n < 1 || n > 99999)
        return NULL;
    *value = (int)n;
    return end;
}

/* "3", "3:0.5", "3-12:0.5" or, as on the wire, "3..12:0.5", up to a comma or the end; NULL when it
 * is something else. */
static const char *parse_item(load_mix *m, const char *p)
{
    int min, max;
    double weight = 1;
    char *end;

    p = parse_number(p, &min);
    max = min;
    if (p && (*p == '-' || !strncmp(p, "..", 2)))
        p = parse_number(p + (*p == '-' ? 1 : 2), &max);
    if (p && *p == ':') {
        weight = strtod(p + 1, &end);
        p = end == p + 1 ? NULL : end;
    }
    if (!p || min > max || !(weight > 0 && weight < 1e9) || m->count == LOAD_MIX_MAX)
        return NULL;
    m->item[m->count].min = min;
    m->item[m->count].max = max;
    m->item[m->count++].weight = weight;
    return p;
}

int load_mix_parse(load_mix *m, const char *text, char *why, size_t why_size)
{
    double sum = 0;

    m->count = 0;
    for (const char *p = text;; p++) {
        p = parse_item(m, p);
        if (!p || (*p && *p != ','))
            return complain(text, why, why_size);
        if (!*p)
            break;
    }
    for (int i = 0; i < m->count; i++)
        sum += m->item[i].weight;
    for (int i = 0; i < m->count; i++)
        m->item[i].weight /= sum;
    return 0;
}

void load_mix_assign(const load_mix *m, int *chosen, int n)
{
    int taken[LOAD_MIX_MAX] = { 0 };

    for (int i = 0; i < n; i++) {
        int best = 0;
        double most = -1e300;

        for (int k = 0; k < m->count; k++) {
            double behind = m->item[k].weight * (i + 1) - taken[k];

            if (behind > most + 1e-9) {
                most = behind;
                best = k;
            }
        }
        taken[best]++;
        chosen[i] = best;
    }
}

uint64_t load_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void load_shuffle(int *a, int n, uint64_t *state)
{
    for (int i = n - 1; i > 0; i--) {
        int k = (int)(load_random(state) % (uint64_t)(i + 1)), t = a[i];

        a[i] = a[k];
        a[k] = t;
    }
}

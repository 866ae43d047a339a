/* file_latency.c - see file_latency.h */
#include "file/file_latency.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pause_s = 0.2; /* of silence behind a phone: it was the last before a pause */
static const double same_start_s = 0.04; /* two starts closer than that are one phone's */

/* ---- lists ---- */

static int push(file_latency_list *l, double ms)
{
    if (l->count == l->room) {
        size_t room = l->room * 2 + 256;
        double *more = realloc(l->ms, room * sizeof *more);

        if (!more)
            return -1;
        l->ms = more;
        l->room = room;
    }
    l->ms[l->count++] = ms;
    return 0;
}

void file_latency_free(file_latency *l)
{
    for (int i = 0; i < FILE_LATENCY_KINDS; i++)
        free(l->of[i].ms);
    memset(l, 0, sizeof *l);
}

int file_latency_add(file_latency *to, const file_latency *from)
{
    for (int k = 0; k < FILE_LATENCY_KINDS; k++)
        for (size_t i = 0; i < from->of[k].count; i++)
            if (push(&to->of[k], from->of[k].ms[i]) < 0)
                return -1;
    to->shown_before += from->shown_before;
    if (from->algorithmic_ms > to->algorithmic_ms) {
        to->algorithmic_ms = from->algorithmic_ms;
        to->depth = from->depth;
    }
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double file_latency_percentile(const file_latency_list *l, int p)
{
    double *sorted, value;

    if (!l->count || !(sorted = malloc(l->count * sizeof *sorted)))
        return -1;
    memcpy(sorted, l->ms, l->count * sizeof *sorted);
    qsort(sorted, l->count, sizeof *sorted, ascending);
    value = sorted[(l->count - 1) * (size_t)p / 100];
    free(sorted);
    return value;
}

/* ---- a session ---- */

void file_latency_begin(file_latency *l, file_latency_watch *w, const shoal_ready *r)
{
    *w = (file_latency_watch){ .rate = r->options.rate,
                               .ahead_ms = r->latency_ms - r->options.chunk_ms,
                               .last_end = -1 };
    if (r->latency_ms > l->algorithmic_ms) {
        l->algorithmic_ms = r->latency_ms;
        l->depth = r->depth;
    }
}

/* When p was first shown; -1: never. */
static double first_shown(const file_latency_watch *w, const shoal_wire_phone *p)
{
    for (int i = 0; i < w->shown_count; i++)
        if (!strcmp(w->shown[i].phone.phone, p->phone) &&
            fabs(w->shown[i].phone.start - p->start) <= same_start_s)
            return w->shown[i].first;
    return -1;
}

static int take_settled(file_latency *l, file_latency_watch *w, const shoal_wire_phone *p,
                        double now)
{
    double shown = first_shown(w, p), wait = (now - p->end) * 1000;
    int bad = 0;

    if (w->last_end >= 0 && p->start - w->last_end >= pause_s)
        bad |= push(&l->of[FILE_LATENCY_PAUSE], w->last_wait);
    l->shown_before += shown >= 0;
    bad |= push(&l->of[FILE_LATENCY_SETTLED], wait);
    bad |= push(&l->of[FILE_LATENCY_SHOWN], ((shown >= 0 ? shown : now) - p->end) * 1000);
    w->last_end = p->end;
    w->last_wait = wait;
    return bad;
}

static void take_shown(file_latency_watch *w, const shoal_phones *m, double now)
{
    file_latency_watch next = *w;

    next.shown_count = m->tentative_count;
    for (int i = 0; i < m->tentative_count; i++) {
        double first = first_shown(w, &m->tentative[i].phone);

        next.shown[i].phone = m->tentative[i].phone;
        next.shown[i].first = first >= 0 ? first : now;
    }
    *w = next;
}

int file_latency_take(file_latency *l, file_latency_watch *w, const shoal_phones *m, int over)
{
    double now = (double)m->processed / w->rate + w->ahead_ms / 1000.0;
    int bad = 0;

    if (over || m->tap)
        return 0;
    for (int i = 0; i < m->count; i++)
        bad |= take_settled(l, w, &m->phones[i], now);
    take_shown(w, m, now);
    return bad ? -1 : 0;
}

/* ---- for people ---- */

static void print_row(FILE *f, const char *what, const file_latency_list *l)
{
    if (l->count)
        fprintf(f, "  %-44s %6.0f %6.0f %6.0f\n", what, file_latency_percentile(l, 50),
                file_latency_percentile(l, 90), file_latency_percentile(l, 99));
    else
        fprintf(f, "  %-44s %6s %6s %6s\n", what, "-", "-", "-");
}

/* What the server has measured at that depth in its last minute. */
static void print_server(FILE *f, const char *depths, int depth)
{
    json_t *page = depths ? json_loads(depths, 0, NULL) : NULL;
    json_t *row = json_array_get(json_object_get(page, "depths"), (size_t)(depth - 1));
    json_t *latency = json_object_get(row, "latency_ms");

    if (json_is_object(latency))
        fprintf(f, "  %-44s %6.1f %6s %6.1f\n", "server: a complete chunk to its results",
                json_number_value(json_object_get(latency, "p50")), "",
                json_number_value(json_object_get(latency, "p99")));
    json_decref(page);
}

void file_latency_print(FILE *f, file_latency *l, const char *depths)
{
    size_t n = l->of[FILE_LATENCY_SETTLED].count;

    fprintf(f, "latency in ms, counted in audio (%zu phones)    %6s %6s %6s\n", n, "p50", "p90",
            "p99");
    fprintf(f, "  %-44s %6d at the latest\n", "algorithmic: a frame to its results",
            l->algorithmic_ms);
    print_server(f, depths, l->depth);
    print_row(f, "settled: a phone's end to its message", &l->of[FILE_LATENCY_SETTLED]);
    print_row(f, "  the last one before a pause", &l->of[FILE_LATENCY_PAUSE]);
    print_row(f, "first shown: a phone's end to its tentative", &l->of[FILE_LATENCY_SHOWN]);
    if (n)
        fprintf(f, "  %.1f %% of settled phones were shown before\n",
                100.0 * l->shown_before / (double)n);
}

/* mic_status.c - see mic_status.h */
#include "mic/mic_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METER = 10 };

void mic_waits_add(mic_waits *w, int ms)
{
    w->ms[w->next] = ms;
    w->next = (w->next + 1) % MIC_WAITS;
    w->n += w->n < MIC_WAITS;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int mic_waits_percentile(const mic_waits *w, int percent)
{
    int sorted[MIC_WAITS];

    if (!w->n)
        return -1;
    memcpy(sorted, w->ms, sizeof *sorted * (size_t)w->n);
    qsort(sorted, (size_t)w->n, sizeof *sorted, ascending);
    return sorted[(w->n - 1) * percent / 100];
}

static size_t add(char *text, size_t size, size_t at, const char *piece)
{
    int n = at < size ? snprintf(text + at, size - at, "%s%s", at ? "  " : "", piece) : 0;

    return at + (size_t)(n > 0 ? n : 0);
}

static void print_depth(const mic_status *s, char *piece, size_t size)
{
    if (s->depth_min == s->depth_max)
        snprintf(piece, size, "depth %d", s->depth);
    else
        snprintf(piece, size, "depth %d of %d-%d", s->depth, s->depth_min, s->depth_max);
}

/* What people must see comes first: a narrow terminal cuts the end. */
void mic_status_print(const mic_status *s, char *text, size_t size)
{
    char piece[64];
    size_t at;

    mic_level_print(s->level, METER, piece, sizeof piece);
    at = add(text, size, 0, piece);
    if (s->level->clip_left)
        at = add(text, size, at, "TOO LOUD");
    if (s->trouble || s->paused || mic_level_is_muted(s->level)) {
        add(text, size, at, s->trouble ? s->trouble : s->paused ? "paused (p goes on)" : "muted?");
        return;
    }
    print_depth(s, piece, sizeof piece);
    at = s->depth ? add(text, size, at, piece) : at;
    snprintf(piece, sizeof piece, "lag %.2f s", s->lag_ms / 1000.0);
    at = s->lag_ms >= 0 ? add(text, size, at, piece) : at;
    snprintf(piece, sizeof piece, "phones %.2f/%.2f s", mic_waits_percentile(s->waits, 50) / 1000.0,
             mic_waits_percentile(s->waits, 90) / 1000.0);
    at = s->waits->n ? add(text, size, at, piece) : at;
    snprintf(piece, sizeof piece, "lost %d ms", s->lost_ms);
    at = s->lost_ms ? add(text, size, at, piece) : at;
    snprintf(piece, sizeof piece, "load %d%%", s->load);
    at = s->load >= 0 ? add(text, size, at, piece) : at;
    add(text, size, at, "? help");
}

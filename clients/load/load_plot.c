/* load_plot.c - SVG, written by hand
 *
 *     panel: frame, grid with round numbers, lines of (x, y), legend
 *     a run:    latency percentiles | depth, its range | sessions   over seconds
 *     a search: p50, p99, max over sessions, with the limit
 *
 * Latency is drawn on a log axis: p50 and p99.9 differ by more than what a linear one shows.
 */
#include "load/load.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 900, LEFT = 70, RIGHT = 130, PANEL = 220, GAP = 60, TOP = 40, MAX_LINES = 6 };

typedef struct line {
    const char *name, *colour;
    const double *y; /* [n], <= 0 on a log axis: not drawn */
} line;

typedef struct panel {
    const char *title, *x_name;
    int top, log_y;  /* pixels from the top of the picture */
    const double *x; /* [n], rising */
    int n, lines;
    line line[MAX_LINES];
    double mark;           /* dashed level, 0: none */
    double band[2];        /* shaded part of the x axis, empty: none */
    double x0, x1, y0, y1; /* axes, by fit_axes */
} panel;

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten: about count steps over span. */
static double nice_step(double span, int count)
{
    double raw = span / count, power = pow(10, floor(log10(raw))), f = raw / power;

    return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

static void fit_axes(panel *p)
{
    double low = INFINITY, high = p->mark;

    for (int l = 0; l < p->lines; l++)
        for (int i = 0; i < p->n; i++) {
            double y = p->line[l].y[i];

            high = y > high ? y : high;
            low = y > 0 && y < low ? y : low;
        }
    p->x0 = p->n ? p->x[0] : 0;
    p->x1 = p->n && p->x[p->n - 1] > p->x0 ? p->x[p->n - 1] : p->x0 + 1;
    p->y1 = high > 0 ? high * 1.05 : 1;
    p->y0 = 0;
    if (p->log_y) {
        p->y0 = pow(10, floor(log10(low < p->y1 ? low : p->y1 / 10)));
        p->y1 = pow(10, ceil(log10(p->y1)));
    }
}

static double x_pixel(const panel *p, double x)
{
    return LEFT + (x - p->x0) / (p->x1 - p->x0) * (WIDTH - LEFT - RIGHT);
}

static double y_pixel(const panel *p, double y)
{
    double share = p->log_y ? log(y / p->y0) / log(p->y1 / p->y0) : (y - p->y0) / (p->y1 - p->y0);

    return p->top + PANEL - share * PANEL;
}

/* ---- drawing ---- */

static void draw_y_line(FILE *f, const panel *p, double y)
{
    double at = y_pixel(p, y);

    fprintf(f,
            "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' stroke='#ddd'/>"
            "<text x='%d' y='%.1f' text-anchor='end'>%g</text>\n",
            LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4, y);
}

static void draw_grid(FILE *f, const panel *p)
{
    double step = nice_step(p->x1 - p->x0, 8);

    step = step > 1 ? step : 1; /* seconds and sessions are whole */
    if (p->log_y)
        for (double y = p->y0; y <= p->y1 * 1.001; y *= 10)
            draw_y_line(f, p, y);
    else
        for (double y = 0, s = nice_step(p->y1, 5); y <= p->y1; y += s)
            draw_y_line(f, p, y);
    for (double x = ceil(p->x0 / step) * step; x <= p->x1; x += step)
        fprintf(f, "<text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n", x_pixel(p, x),
                p->top + PANEL + 16, x);
    fprintf(f, "<rect x='%d' y='%d' width='%d' height='%d' fill='none' stroke='#888'/>\n", LEFT,
            p->top, WIDTH - LEFT - RIGHT, PANEL);
    fprintf(f,
            "<text x='%d' y='%d' font-weight='bold'>%s</text>"
            "<text x='%d' y='%d' text-anchor='end'>%s</text>\n",
            LEFT, p->top - 8, p->title, WIDTH - RIGHT, p->top + PANEL + 32, p->x_name);
}

static void draw_line(FILE *f, const panel *p, int l)
{
    const line *a = &p->line[l];
    int drawing = 0, y = p->top + 14 + 16 * l;

    fprintf(f, "<path fill='none' stroke-width='1.6' stroke='%s' d='", a->colour);
    for (int i = 0; i < p->n; i++) {
        if (p->log_y && a->y[i] <= 0) {
            drawing = 0;
            continue;
        }
        fprintf(f, "%c%.1f %.1f", drawing ? 'L' : 'M', x_pixel(p, p->x[i]), y_pixel(p, a->y[i]));
        drawing = 1;
    }
    fprintf(f,
            "'/>\n<line x1='%d' x2='%d' y1='%d' y2='%d' stroke-width='3' stroke='%s'/>"
            "<text x='%d' y='%d'>%s</text>\n",
            WIDTH - RIGHT + 10, WIDTH - RIGHT + 26, y - 4, y - 4, a->colour, WIDTH - RIGHT + 32, y,
            a->name);
}

static void draw_band(FILE *f, const panel *p)
{
    double from = fmax(p->band[0], p->x0), to = fmin(p->band[1], p->x1);

    if (to > from)
        fprintf(f, "<rect x='%.1f' y='%d' width='%.1f' height='%d' fill='#fff3d6'/>\n",
                x_pixel(p, from), p->top, x_pixel(p, to) - x_pixel(p, from), PANEL);
}

static void draw_panel(FILE *f, panel *p)
{
    fit_axes(p);
    draw_band(f, p);
    draw_grid(f, p);
    if (p->mark > 0)
        fprintf(f,
                "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' stroke='#c00' "
                "stroke-dasharray='6 4'/>\n",
                LEFT, WIDTH - RIGHT, y_pixel(p, p->mark), y_pixel(p, p->mark));
    for (int l = 0; l < p->lines; l++)
        draw_line(f, p, l);
}

static int draw_all(const char *path, const char *title, panel *panels, int count)
{
    FILE *f = fopen(path, "w");
    int height = TOP + count * (PANEL + GAP) + 10, ok = f != NULL;

    if (f) {
        fprintf(f,
                "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
                "font-family='sans-serif' font-size='12'>\n"
                "<rect width='100%%' height='100%%' fill='white'/>\n"
                "<text x='%d' y='16' font-size='14'>%s</text>\n",
                WIDTH, height, LEFT, title);
        for (int i = 0; i < count; i++) {
            panels[i].top = TOP + 10 + i * (PANEL + GAP);
            draw_panel(f, &panels[i]);
        }
        fputs("</svg>\n", f);
        ok = !ferror(f);
        ok = fclose(f) == 0 && ok;
    }
    if (!ok)
        fprintf(stderr, "shoal-load: cannot write %s: %s; check the folder and the free space\n",
                path, strerror(errno));
    return ok ? 0 : -1;
}

/* ---- what is drawn ---- */

/* Columns of one block: x, then each line's values. */
static double *columns(int n, int count, double *column[])
{
    double *block = calloc((size_t)n + 1, sizeof *block * (size_t)count);

    for (int i = 0; block && i < count; i++)
        column[i] = block + i * n;
    if (!block)
        fprintf(stderr, "shoal-load: out of memory for the plot\n");
    return block;
}

enum { T, P50, P95, P99, P999, MAX, DEPTH, DEPTH_MIN, DEPTH_MAX, ACTIVE, REFUSED, RUN_COLUMNS };

static void fill_run(double *c[], const load_stats *st)
{
    for (int i = 0; i < st->row_count; i++) {
        const load_row *r = &st->rows[i];

        c[T][i] = r->t_s;
        for (int k = 0; k < 5; k++)
            c[P50 + k][i] = r->latency[k];
        c[DEPTH][i] = r->depth;
        c[DEPTH_MIN][i] = r->depth_min;
        c[DEPTH_MAX][i] = r->depth_max;
        c[ACTIVE][i] = r->active;
        c[REFUSED][i] = r->refused + r->failed;
    }
}

enum { RUN_PANELS = 3 };

static void describe_run(panel out[RUN_PANELS], double *c[], int n, const load_options *o)
{
    const panel panels[RUN_PANELS] = {
        { .title = "latency beyond the chunk, ms (dashed: one chunk)",
          .x_name = "seconds",
          .log_y = 1,
          .x = c[T],
          .n = n,
          .mark = load_limit_ms(o),
          .lines = 5,
          .line = { { "p50", "#1b7837", c[P50] },
                    { "p95", "#2166ac", c[P95] },
                    { "p99", "#b35806", c[P99] },
                    { "p99.9", "#762a83", c[P999] },
                    { "max", "#999", c[MAX] } } },
        { .title = "depth used",
          .x_name = "seconds",
          .x = c[T],
          .n = n,
          .lines = 3,
          .line = { { "least", "#9ecae1", c[DEPTH_MIN] },
                    { "most", "#9ecae1", c[DEPTH_MAX] },
                    { "mean", "#08519c", c[DEPTH] } } },
        { .title = "sessions",
          .x_name = "seconds",
          .x = c[T],
          .n = n,
          .lines = 2,
          .line = { { "active", "#1b7837", c[ACTIVE] },
                    { "refused, failed", "#c00", c[REFUSED] } } },
    };

    for (int i = 0; i < RUN_PANELS; i++) {
        out[i] = panels[i];
        out[i].band[0] = o->rush.at_s;
        out[i].band[1] = o->rush.at_s + o->rush.for_s;
    }
}

int load_plot_run(const char *path, const load_options *o, const load_stats *st)
{
    int n = st->row_count, r;
    double *c[RUN_COLUMNS], *block = columns(n, RUN_COLUMNS, c);
    panel panels[RUN_PANELS];
    char title[160];

    if (!block)
        return -1;
    fill_run(c, st);
    describe_run(panels, c, n, o);
    snprintf(title, sizeof title, "shoal-load: %d sessions, %d s", o->sessions, o->duration_s);
    if (o->rush.sessions)
        snprintf(title + strlen(title), sizeof title - strlen(title), "; shaded: %d more",
                 o->rush.sessions);
    r = draw_all(path, title, panels + (o->fast ? 1 : 0), o->fast ? 2 : 3);
    free(block);
    return r;
}

static int by_sessions(const void *a, const void *b)
{
    return ((const load_step *)a)->sessions - ((const load_step *)b)->sessions;
}

int load_plot_search(const char *path, const load_search *search, double limit_ms)
{
    enum { SESSIONS, MEDIAN, TAIL, WORST, MEAN_DEPTH, COLUMNS };
    load_search s = *search;
    double *c[COLUMNS], *block = columns(s.count, COLUMNS, c);
    char title[160];
    int r;

    if (!block)
        return -1;
    qsort(s.step, (size_t)s.count, sizeof *s.step, by_sessions);
    for (int i = 0; i < s.count; i++) {
        c[SESSIONS][i] = s.step[i].sessions;
        c[MEDIAN][i] = s.step[i].summary.latency[0];
        c[TAIL][i] = s.step[i].summary.latency[2];
        c[WORST][i] = s.step[i].summary.latency[4];
        c[MEAN_DEPTH][i] = s.step[i].summary.depth;
    }
    panel panels[] = {
        { .title = "latency beyond the chunk, ms (dashed: one chunk)",
          .x_name = "sessions",
          .log_y = 1,
          .x = c[SESSIONS],
          .n = s.count,
          .mark = limit_ms,
          .lines = 3,
          .line = { { "p50", "#1b7837", c[MEDIAN] },
                    { "p99", "#b35806", c[TAIL] },
                    { "max", "#999", c[WORST] } } },
        { .title = "depth used, mean",
          .x_name = "sessions",
          .x = c[SESSIONS],
          .n = s.count,
          .lines = 1,
          .line = { { "mean", "#08519c", c[MEAN_DEPTH] } } },
    };
    snprintf(title, sizeof title, "shoal-load: %d sessions hold, %d do not", s.knee.holds,
             s.knee.breaks);
    r = draw_all(path, title, panels, 2);
    free(block);
    return r;
}

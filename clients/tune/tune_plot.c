/* tune_plot.c - SVG: errors against latency, and against cost
 *
 * A dot is a setting, a colour a chunk length (colours that people with any colour vision tell
 * apart), the number beside it the depth (the first, the last, and those with a ring). A ring:
 * nothing is better in everything. Shaded: what the goal allows. The choice has its name.
 */
#include "tune/tune.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 920, LEFT = 70, RIGHT = 150, PANEL = 300, TOP = 60, GAP = 80 };

static const char *const colours[TUNE_MAX_CHUNKS] = { "#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                                      "#56b4e9", "#d55e00", "#999999", "#000000" };

typedef double value_of(const tune_setting *s);

typedef struct panel {
    FILE *f;
    const tune_grid *g;
    const tune_choice *c;
    const char *title, *x_name, *y_name;
    value_of *x;
    double x_limit, y_limit; /* of the goal; 0: none */
    double x1, y0, y1;       /* the x axis begins at 0 */
    int top;
} panel;

static double latency(const tune_setting *s)
{
    return s->settled[1];
}

static double cpu(const tune_setting *s)
{
    return s->cpu_ms;
}

static double x_at(const panel *p, double x)
{
    return LEFT + fmin(x / p->x1, 1) * (WIDTH - LEFT - RIGHT);
}

static double y_at(const panel *p, double y)
{
    return p->top + PANEL - fmin(fmax((y - p->y0) / (p->y1 - p->y0), 0), 1) * PANEL;
}

/* 1, 2 or 5 times a power of ten. */
static double step(double span)
{
    double raw = span / 6, power = pow(10, floor(log10(raw))), f = raw / power;

    return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

static void axes(const panel *p)
{
    double sx = step(p->x1), sy = step(p->y1 - p->y0);

    for (int i = 0; i * sx <= p->x1; i++)
        fprintf(p->f, "<text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n", x_at(p, i * sx),
                p->top + PANEL + 18, i * sx);
    for (int i = (int)ceil(p->y0 / sy - 1e-9); i * sy <= p->y1; i++)
        fprintf(p->f,
                "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' stroke='#ddd'/>"
                "<text x='%d' y='%.1f' text-anchor='end'>%g</text>\n",
                LEFT, WIDTH - RIGHT, y_at(p, i * sy), y_at(p, i * sy), LEFT - 6,
                y_at(p, i * sy) + 4, i * sy);
    fprintf(p->f,
            "<rect x='%d' y='%d' width='%d' height='%d' fill='none' stroke='#888'/>\n"
            "<text x='%d' y='%d' font-weight='bold'>%s</text>\n"
            "<text x='%d' y='%d' text-anchor='end'>%s</text>\n",
            LEFT, p->top, WIDTH - LEFT - RIGHT, PANEL, LEFT, p->top - 8, p->title, WIDTH - RIGHT,
            p->top + PANEL + 36, p->x_name);
}

static void shade(const panel *p)
{
    double x = p->x_limit > 0 ? x_at(p, p->x_limit) : WIDTH - RIGHT;
    double y = p->y_limit > 0 ? y_at(p, p->y_limit) : p->top;

    if (p->x_limit > 0 || p->y_limit > 0)
        fprintf(p->f, "<rect x='%d' y='%.1f' width='%.1f' height='%.1f' fill='#fff3d6'/>\n", LEFT,
                y, x - LEFT, p->top + PANEL - y);
}

static void dot(const panel *p, int i)
{
    const tune_setting *s = &p->g->at[i];
    const char *colour = colours[i / p->g->depth_count];
    double x = x_at(p, p->x(s)), y = y_at(p, tune_error(s));
    int chosen = s == p->c->best;

    if (!isfinite(p->x(s)))
        return;
    fprintf(p->f, "<circle cx='%.1f' cy='%.1f' r='%d' fill='%s'/>", x, y, chosen ? 6 : 4, colour);
    if (p->c->on_front[i])
        fprintf(p->f, "<circle cx='%.1f' cy='%.1f' r='7' fill='none' stroke='%s'/>", x, y, colour);
    if (p->c->on_front[i] || i % p->g->depth_count == 0 || (i + 1) % p->g->depth_count == 0)
        fprintf(p->f, "<text x='%.1f' y='%.1f' font-size='10'>%d</text>\n", x + 8, y - 5, s->depth);
    if (chosen)
        fprintf(p->f,
                "<text x='%.1f' y='%.1f' font-weight='bold' paint-order='stroke' stroke='white' "
                "stroke-width='3'>%d ms, depth %d</text>\n",
                x + 8, y + 14, s->chunk_ms, s->depth);
}

/* From depth to depth of a chunk length. */
static void path(const panel *p, int chunk)
{
    int drawing = 0;

    fprintf(p->f, "<path fill='none' stroke='%s' stroke-opacity='0.35' d='", colours[chunk]);
    for (int d = 0; d < p->g->depth_count; d++) {
        const tune_setting *s = tune_at(p->g, chunk, d);

        if (!isfinite(p->x(s)))
            continue;
        fprintf(p->f, "%c%.1f %.1f", drawing ? 'L' : 'M', x_at(p, p->x(s)), y_at(p, tune_error(s)));
        drawing = 1;
    }
    fputs("'/>\n", p->f);
}

static void legend(const panel *p)
{
    for (int c = 0; c < p->g->chunk_count; c++)
        fprintf(p->f,
                "<circle cx='%d' cy='%d' r='4' fill='%s'/><text x='%d' y='%d'>chunks of %d ms"
                "</text>\n",
                WIDTH - RIGHT + 16, p->top + 12 + 18 * c, colours[c], WIDTH - RIGHT + 26,
                p->top + 16 + 18 * c, p->g->chunks[c]);
}

static void draw(panel p)
{
    for (int i = 0; i < p.g->chunk_count * p.g->depth_count; i++) {
        const tune_setting *s = &p.g->at[i];

        p.x1 = isfinite(p.x(s)) ? fmax(p.x1, p.x(s)) : p.x1;
        p.y1 = fmax(p.y1, tune_error(s));
        p.y0 = i ? fmin(p.y0, tune_error(s)) : tune_error(s);
    }
    p.x1 = p.x1 > 0 ? p.x1 * 1.08 : 1;
    p.y1 = p.y1 > 0 ? p.y1 * 1.08 : 1;
    p.y0 = fmax(0, p.y0 - (p.y1 - p.y0) / 10);
    shade(&p);
    axes(&p);
    for (int c = 0; c < p.g->chunk_count; c++)
        path(&p, c);
    for (int i = 0; i < p.g->chunk_count * p.g->depth_count; i++)
        dot(&p, i);
    legend(&p);
}

static int has_prices(const tune_grid *g)
{
    for (int i = 0; i < g->chunk_count * g->depth_count; i++)
        if (isfinite(g->at[i].cpu_ms))
            return 1;
    return 0;
}

static void draw_all(FILE *f, const tune_options *o, const tune_grid *g, const tune_choice *c)
{
    int by_transcript = g->at[0].per >= 0, panels = 1 + has_prices(g);
    double best = tune_error(c->best) - c->excess;
    const char *y_name = by_transcript ? "phone errors, %" : "phones that differ, %";
    char title[96];
    panel p = { .f = f, .g = g, .c = c, .y_name = y_name, .top = TOP };

    snprintf(title, sizeof title, "%s (the number is the depth)", y_name);
    p.title = title;
    p.y_limit = o->goal.within > 0 ? best + o->goal.within : 0;
    fprintf(f,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
            "font-family='sans-serif' font-size='12'>\n<rect width='100%%' height='100%%' "
            "fill='white'/>\n<text x='%d' y='24' font-size='15'>shoal-tune: %s, %d clips, "
            "%.0f s</text>\n",
            WIDTH, TOP + panels * (PANEL + GAP), LEFT, g->model.name, g->clips.count, g->audio_s);
    p.x = latency;
    p.x_name = "90 % of phones final after, ms";
    p.x_limit = o->goal.latency_ms;
    draw(p);
    p.x = cpu;
    p.x_name = "of a core for a second of audio, ms";
    p.x_limit = o->goal.cpu_ms;
    p.top += PANEL + GAP;
    if (panels > 1)
        draw(p);
    fputs("</svg>\n", f);
}

int tune_plot_write(const char *path, const tune_options *o, const tune_grid *g,
                    const tune_choice *c)
{
    FILE *f = fopen(path, "w");
    int ok = f != NULL;

    if (f) {
        draw_all(f, o, g, c);
        ok = !ferror(f);
        ok = fclose(f) == 0 && ok;
    }
    if (!ok)
        fprintf(stderr, "shoal-tune: cannot write %s: %s\n", path, strerror(errno));
    return ok ? 0 : -1;
}

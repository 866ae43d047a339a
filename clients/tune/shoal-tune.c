/* shoal-tune.c - depth and chunk length for a goal, on the user's own audio: see tune.h */
#include "tune/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "out/out_screen.h"
#include "tool/tool_paths.h"

static void on_interrupt(int number)
{
    if (tune_interrupted++) /* whoever insists */
        _exit(128 + number);
}

/* ---- the grid ---- */

/* All depths if they fit into one session, else as many, evenly, the deepest among them. */
static void choose_depths(tune_grid *g)
{
    int n = g->model.depth < TUNE_MAX_DEPTHS ? g->model.depth : TUNE_MAX_DEPTHS;

    g->depth_count = n;
    for (int i = 0; i < n; i++)
        g->depths[i] = (g->model.depth * (i + 1) + n - 1) / n;
}

static int make_settings(tune_grid *g)
{
    size_t clips = (size_t)g->clips.count;

    g->at = calloc((size_t)(g->chunk_count * g->depth_count), sizeof *g->at);
    for (int i = 0; g->at && i < g->chunk_count * g->depth_count; i++) {
        tune_setting *s = &g->at[i];

        s->chunk_ms = g->chunks[i / g->depth_count];
        s->depth = g->depths[i % g->depth_count];
        s->heard = calloc(clips, sizeof *s->heard);
        s->differs = calloc(clips, sizeof *s->differs);
        s->wrong = calloc(clips, sizeof *s->wrong);
        if (!s->heard || !s->differs || !s->wrong)
            return -1;
    }
    return g->at ? 0 : -1;
}

static void free_grid(tune_grid *g)
{
    for (int i = 0; g->at && i < g->chunk_count * g->depth_count; i++) {
        tune_setting *s = &g->at[i];

        for (int k = 0; s->heard && k < g->clips.count; k++)
            free(s->heard[k].at);
        free(s->heard);
        free(s->differs);
        free(s->wrong);
        free(s->late.at);
        free(s->pause.at);
    }
    free(g->at);
    tune_clips_free(&g->clips);
}

/* Told now, not when half an hour has been measured. */
static int all_can_be_read(const tune_clips *c)
{
    char why[512], line[1024];
    int all = 1;

    for (int i = 0; i < c->count; i++)
        if (!tune_stream_can_read(c->at[i].path, why, sizeof why)) {
            out_screen_plain(line, sizeof line, c->at[i].path);
            fprintf(stderr, "shoal-tune: %s: ", line);
            out_screen_plain(line, sizeof line, why);
            fprintf(stderr, "%s\n", line);
            all = 0;
        }
    return all;
}

static int set_up(const tune_options *o, tune_grid *g)
{
    memcpy(g->chunks, o->chunks, sizeof g->chunks);
    g->chunk_count = o->chunk_count;
    if (tune_clips_find(&g->clips, o) < 0 || !all_can_be_read(&g->clips) ||
        tune_ask_model(o, g->clips.at[0].path, &g->model) < 0 ||
        tune_clips_transcribe(&g->clips, o, &g->model) < 0)
        return -1;
    choose_depths(g);
    if (make_settings(g) == 0)
        return 0;
    fprintf(stderr, "shoal-tune: out of memory\n");
    return -1;
}

/* ---- the passes ---- */

static void show_progress(const tune_options *o, int done, int all, time_t began)
{
    double each = difftime(time(NULL), began) / (done ? done : 1);

    char text[100];

    if (o->quiet || !out_screen_is_live(STDERR_FILENO))
        return;
    snprintf(text, sizeof text, "%d of %d passes, %.0f s left", done, all, each * (all - done));
    out_screen_progress(done < all ? text : NULL);
}

static int run_passes(const tune_options *o, tune_grid *g)
{
    int all = g->chunk_count * g->clips.count, done = 0;
    time_t began = time(NULL);

    show_progress(o, 0, all, began);
    for (int i = 0; i < g->clips.count; i++) {
        double seconds = 0;

        for (int c = 0; c < g->chunk_count; c++) {
            if (tune_pass(o, g, c, i, &seconds) < 0)
                return -1;
            show_progress(o, ++done, all, began);
        }
        g->audio_s += seconds;
    }
    return 0;
}

/* ---- what comes of it ---- */

static int any_phones(const tune_grid *g)
{
    for (int i = 0; i < g->chunk_count * g->depth_count; i++)
        for (int k = 0; k < g->clips.count; k++)
            if (g->at[i].heard[k].count)
                return 1;
    fprintf(stderr,
            "shoal-tune: no setting heard a phone in %.1f s of audio: is there speech in it, and "
            "loud enough?\n",
            g->audio_s);
    return 0;
}

static void price(const tune_options *o, tune_grid *g)
{
    char why[256] = "";

    if (tune_price(o, g, why, sizeof why) < 0)
        fprintf(stderr, "shoal-tune: no prices, depth stands for them: %s\n", why);
}

static int report(const tune_options *o, tune_grid *g)
{
    tune_choice c = tune_choose(g, &o->goal);
    tune_live live = { 0 };
    FILE *f = o->json && !strcmp(o->json, "-") ? stderr : stdout;
    int r = 0;

    if (o->live && tune_live_run(o, g, c.best, &live) < 0)
        return TUNE_EXIT_FAILED;
    if (o->json)
        r |= tune_json_write(o->json, o, g, &c, &live);
    if (o->svg)
        r |= tune_plot_write(o->svg, o, g, &c);
    tune_report_table(f, g, &c);
    tune_report_choice(f, o, g, &c, &live);
    return r ? TUNE_EXIT_FAILED : c.met ? 0 : TUNE_EXIT_GOAL;
}

int main(int argc, char **argv)
{
    tune_options o;
    tune_grid g = { 0 };
    int code = tune_options_parse(&o, argc, argv);

    if (code < 0)
        code = tool_check_server("shoal-tune", &o.server, NULL);
    if (code < 0)
        code = tool_check_file("shoal-tune", "--json", o.json);
    if (code < 0)
        code = tool_check_file("shoal-tune", "--svg", o.svg);
    if (code >= 0)
        return out_screen_end_stdout("shoal-tune", code);
    tool_catch_signals(on_interrupt);
    code = TUNE_EXIT_FAILED;
    if (set_up(&o, &g) == 0 && run_passes(&o, &g) == 0 && any_phones(&g)) {
        price(&o, &g);
        if (tune_measure(&g) == 0)
            code = report(&o, &g);
    }
    free_grid(&g);
    return out_screen_end_stdout("shoal-tune", tune_interrupted ? TUNE_EXIT_INTERRUPTED : code);
}

/* shoal-load.c - load a shoal server and measure it: see load.h and shoal-load.1 */
#include "load/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "out/out_screen.h"
#include "tool/tool_paths.h"

enum { SETTLE_S = 1 }; /* between two steps of a search */

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    (void)number;
    interrupts++;
}

/* What one invocation works with. */
typedef struct work {
    load_options *o;
    load_audio audio;
    FILE *csv;
    load_search search;
} work;

static int complain(const char *what)
{
    fprintf(stderr, "shoal-load: %s\n", what);
    return EXIT_LOAD_FAILED;
}

/* One run with n sessions. NULL after a line on stderr. */
static load_stats *measure(work *w, int n)
{
    char why[512] = "out of memory";
    load_stats *st;

    w->o->sessions = n;
    st = load_stats_new(w->o);
    if (st && load_run_all(w->o, &w->audio, st, w->csv, &interrupts, why, sizeof why) == 0)
        return st;
    complain(why);
    load_stats_free(st);
    return NULL;
}

static int is_clean(const load_stats *st, const load_summary *s)
{
    return !st->refused && !st->failed && !s->missing && !st->seq_gaps;
}

static int run_once(work *w)
{
    const load_options *o = w->o;
    load_stats *st = measure(w, o->sessions);
    load_summary s;
    int code;

    if (!st)
        return EXIT_LOAD_FAILED;
    load_report_table(o, st);
    s = load_stats_summarise(st);
    code = is_clean(st, &s) ? 0 : EXIT_LOAD_FAILED;
    if ((o->json && load_json_write(o->json, o, st, NULL) < 0) ||
        (o->plot && load_plot_run(o->plot, o, st) < 0))
        code = EXIT_LOAD_FAILED;
    load_stats_free(st);
    return code;
}

/* ---- search ---- */

/* 1: n sessions hold, 0: they do not, -1: stop. */
static int measure_once(work *w, int n)
{
    load_search *search = &w->search;
    load_step *step = &search->step[search->count];
    load_stats *st;
    int dead;

    if (search->count)
        sleep(SETTLE_S);
    if (search->count == LOAD_MAX_STEPS || !(st = measure(w, n)))
        return -1;
    *step = (load_step){ .sessions = n,
                         .summary = load_stats_summarise(st),
                         .refused = st->refused,
                         .failed = st->failed };
    step->holds = is_clean(st, &step->summary) && step->summary.latency[2] <= load_limit_ms(w->o);
    dead = !st->admitted && st->failed; /* fewer sessions will not help */
    if (dead)
        complain(st->reason[0].text);
    load_stats_free(st);
    if (interrupts || dead)
        return -1;
    load_report_step(step, search->count++ == 0);
    return step->holds;
}

/* A number of sessions is too many only when every try says so. */
static int measure_step(void *user, int n)
{
    work *w = user;
    int r = 0;

    for (int i = 0; i < w->o->knee_tries && r == 0; i++)
        r = measure_once(w, n);
    return r;
}

static int run_search(work *w)
{
    const load_options *o = w->o;
    load_search *search = &w->search;
    double limit_ms = load_limit_ms(o);

    if (load_knee_find(&search->knee, o->knee_start, o->knee_max, measure_step, w) < 0)
        return EXIT_LOAD_FAILED;
    load_report_knee(search, limit_ms);
    if ((o->json && load_json_write(o->json, o, NULL, search) < 0) ||
        (o->plot && load_plot_search(o->plot, search, limit_ms) < 0))
        return EXIT_LOAD_FAILED;
    return search->knee.holds ? 0 : EXIT_LOAD_FAILED;
}

/* ---- main ---- */

static int open_csv(work *w)
{
    if (!w->o->csv)
        return 0;
    w->csv = fopen(w->o->csv, "w");
    if (!w->csv) {
        fprintf(stderr, "shoal-load: cannot write %s: %s; give --csv another file\n", w->o->csv,
                strerror(errno));
        return -1;
    }
    load_csv_header(w->csv);
    return 0;
}

static int close_csv(work *w)
{
    int bad;

    if (!w->csv)
        return 0;
    bad = ferror(w->csv);
    if (fclose(w->csv) == 0 && !bad)
        return 0;
    return complain("the CSV file could not be written in full: check the free space");
}

int main(int argc, char **argv)
{
    load_options o;
    int code = load_options_parse(&o, argc, argv);

    if (code < 0)
        code = tool_check_file("shoal-load", "--json", o.json);
    if (code < 0)
        code = tool_check_file("shoal-load", "--plot", o.plot);
    work w = { .o = &o };
    char why[512];

    if (code >= 0)
        return out_screen_end_stdout("shoal-load", code);
    if (load_audio_open(&w.audio, &o, why, sizeof why) < 0)
        return complain(why);
    tool_catch_signals(on_interrupt);
    code = EXIT_LOAD_FAILED;
    if (open_csv(&w) == 0) {
        code = o.find_knee ? run_search(&w) : run_once(&w);
        if (close_csv(&w))
            code = EXIT_LOAD_FAILED;
    }
    load_audio_free(&w.audio);
    return out_screen_end_stdout("shoal-load", interrupts ? EXIT_LOAD_INTERRUPTED : code);
}

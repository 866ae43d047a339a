/* tune_live.c - the choice once more, in real time: what network and machine add */
#include "tune/tune.h"

#include <stdlib.h>

static const double most_s = 20;

typedef struct live {
    tune_numbers late;
    double seconds; /* of audio sent before; of this clip once it is done */
    int failed;
} live;

static void take(void *user, const shoal_client_event *e, double now_s)
{
    live *l = user;

    if (e->type != SHOAL_CLIENT_PHONES)
        return;
    for (int i = 0; i < e->phones->count; i++) {
        double late = (now_s - e->phones->phones[i].end) * 1000;

        l->failed |= tune_numbers_add(&l->late, late) < 0;
    }
}

int tune_live_run(const tune_options *o, const tune_grid *g, const tune_setting *s, tune_live *out)
{
    live l = { 0 };
    int r = 0;

    for (int i = 0; i < g->clips.count && l.seconds < most_s && !r; i++) {
        tune_stream t = { .o = o,
                          .path = g->clips.at[i].path,
                          .options = shoal_options_default(),
                          .realtime = 1,
                          .most_s = most_s - l.seconds,
                          .take = take,
                          .user = &l };

        t.options.given = SHOAL_OPT_CHUNK_MS | SHOAL_OPT_DEPTH | SHOAL_OPT_OUTPUT;
        t.options.chunk_ms = s->chunk_ms;
        t.options.depth_min = t.options.depth_max = s->depth;
        r = tune_stream_run(&t);
        l.seconds += t.seconds;
    }
    out->seconds = l.seconds;
    out->phones = l.late.count;
    out->settled[0] = tune_percentile(&l.late, 0.5);
    out->settled[1] = tune_percentile(&l.late, 0.9);
    free(l.late.at);
    if (l.failed && !r)
        fprintf(stderr, "shoal-tune: out of memory\n");
    return l.failed ? -1 : r;
}

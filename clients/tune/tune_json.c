/* tune_json.c - all of it for a program; what is not known is null */
#include "tune/tune.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static json_t *number(double x)
{
    return isfinite(x) ? json_real(round(x * 1000) / 1000) : json_null();
}

static json_t *limit(double x)
{
    return x > 0 ? json_real(x) : json_null();
}

static json_t *setting(const tune_setting *s, int on_front)
{
    return json_pack("{si si so so so so so so so so so sb}", "chunk_ms", s->chunk_ms, "depth",
                     s->depth, "differs_percent", number(s->disagreement), "per_percent",
                     number(s->per >= 0 ? s->per : NAN), "algorithmic_ms",
                     number(s->algorithmic_ms), "settled_p50_ms", number(s->settled[0]),
                     "settled_p90_ms", number(s->settled[1]), "settled_p99_ms",
                     number(s->settled[2]), "pause_p90_ms", number(s->settled_pause), "cpu_ms",
                     number(s->cpu_ms), "streams", number(s->cpu_ms > 0 ? 1000 / s->cpu_ms : NAN),
                     "on_front", on_front);
}

static json_t *all(const tune_options *o, const tune_grid *g, const tune_choice *c,
                   const tune_live *live)
{
    json_t *list = json_array(), *confirmed = json_null();

    for (int i = 0; i < g->chunk_count * g->depth_count; i++)
        json_array_append_new(list, setting(&g->at[i], c->on_front[i]));
    if (live && live->phones)
        confirmed = json_pack("{so so so si}", "seconds", number(live->seconds), "settled_p50_ms",
                              number(live->settled[0]), "settled_p90_ms", number(live->settled[1]),
                              "phones", live->phones);
    return json_pack("{s{ss ss} si so s{so so so} so s{si si sb so} so}", "model", "name",
                     g->model.name, "sha256", g->model.sha256, "clips", g->clips.count, "seconds",
                     number(g->audio_s), "goal", "max_latency_ms", limit(o->goal.latency_ms),
                     "within", limit(o->goal.within), "max_cost_ms", limit(o->goal.cpu_ms),
                     "settings", list, "choice", "chunk_ms", c->best->chunk_ms, "depth",
                     c->best->depth, "met", c->met, "excess", number(c->excess), "live", confirmed);
}

int tune_json_write(const char *path, const tune_options *o, const tune_grid *g,
                    const tune_choice *c, const tune_live *live)
{
    json_t *page = all(o, g, c, live);
    FILE *f = strcmp(path, "-") ? fopen(path, "w") : stdout;
    int ok = page && f && json_dumpf(page, f, JSON_INDENT(1)) == 0 && fputc('\n', f) != EOF;

    if (f && f != stdout)
        ok = fclose(f) == 0 && ok;
    if (!ok)
        fprintf(stderr, "shoal-tune: cannot write %s: %s\n", path, strerror(errno));
    json_decref(page);
    return ok ? 0 : -1;
}

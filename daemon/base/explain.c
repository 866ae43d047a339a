/* explain.c - see explain.h; costs are those that the engine gives to any plan */
#include "base/explain.h"

#include "base/models.h"

#include "shoal.h"

#include <string.h>

static const char row_format[] = "%8s  %-17s  %-38s  %5s  %11zu  %12.0f\n";

/* One row; nothing is said of parts that the model does not have. */
static shoal_cost print_row(FILE *out, const shoal_model *m, const char *name, shoal_step step)
{
    shoal_layer_info l = { .op = "" };
    shoal_cost cost = { 0 };
    char from[64] = "", exit[16] = "";
    if (shoal_model_cost(m, &step, 1, &cost) < 0)
        return cost;
    if (shoal_model_get_layer(m, step.program, step.layer, &l) == 0)
        snprintf(exit, sizeof exit, "%.3f", (double)l.exit);
    for (int i = 0; i < l.pools; i++) {
        size_t at = strlen(from);
        snprintf(from + at, sizeof from - at, "%s%s %d", i ? ", " : "", l.pool[i], l.place[i]);
    }
    cost.flops /= step.streams * step.chunk_frames;
    fprintf(out, row_format, name, l.op, from, exit, cost.cache_bytes, cost.flops);
    return cost;
}

static void print_program(FILE *out, const shoal_model *m, int program, const shoal_program_info *p)
{
    const shoal_stream_params params = shoal_stream_default_params(m);
    shoal_cost sum = { 0 };
    shoal_step step = { .program = program,
                        .streams = 1,
                        .chunk_frames = params.chunk_frames,
                        .left_frames = params.left_frames };
    fprintf(out, "\nprogram %s, depth %d\n", p->name, p->depth);
    fprintf(out, "%8s  %-17s  %-38s  %5s  %11s  %12s\n", "depth", "operation", "takes", "exit",
            "cache bytes", "flops/frame");
    for (int i = SHOAL_STEP_FRONT; i <= p->depth; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i + 1);
        step.layer = i == p->depth ? SHOAL_STEP_HEAD : i;
        const char *what = i == p->depth ? "head" : i == SHOAL_STEP_FRONT ? "front" : name;
        shoal_cost cost = print_row(out, m, what, step);
        sum.flops += cost.flops;
        sum.cache_bytes += cost.cache_bytes;
    }
    fprintf(out, row_format, "all", "", "", "", sum.cache_bytes, sum.flops);
}

int shoald_explain_print(FILE *out, const char *path, const shoald_settings *c, char *why,
                         size_t why_size)
{
    shoal_model *m;
    const shoal_model_params params = shoald_models_params(c);
    if (shoal_model_open_with(&m, *path ? path : NULL, &params, why, why_size) < 0)
        return -1;
    const shoal_model_info *info = shoal_model_get_info(m);
    const shoal_stream_params p = shoal_stream_default_params(m);
    fprintf(out, "model %s, %zu parameters, sha256 %.16s; %s\n", info->name, info->parameters,
            info->sha256, info->backend);
    fprintf(out, "of a stream with chunks of %d frames and a left context of %d:\n", p.chunk_frames,
            p.left_frames);
    shoal_program_info program;
    for (int i = 0; shoal_model_get_program(m, i, &program) == 0; i++)
        print_program(out, m, i, &program);
    shoal_model_close(m);
    return 0;
}

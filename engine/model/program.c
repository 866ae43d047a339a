/* program.c - the programs of a model file: which virtual layers there are, and what each takes
 * from the pools
 *
 * Format 1 has one, which is called "base". A program that asks for an operation, a map reuse or
 * an expert that this version does not run is refused by name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "model/reader.h"

static double get_exit(shoal__reader *r, const json_t *entry, int index)
{
    const json_t *v = json_object_get(entry, "exit");
    double share = v ? json_number_value(v) : 1.0;
    if (index ? share > 0.0 && share <= 1.0 : share >= 1.0 && share <= 1.0)
        return share;
    shoal__reader_fail(r, "program entry %d: 'exit' must be %s", index,
                       index ? "a number above 0, at most 1" : "1");
    return 1.0;
}

static void read_layer(shoal__reader *r, shoal_model *m, shoal__program *p, const json_t *entry)
{
    int index = p->depth;
    const char *op = shoal__reader_string(r, entry, "op", 32);
    const char *attn = shoal__reader_string(r, entry, "attn", 32);
    if (!r->failed && strcmp(op, "conformer"))
        shoal__reader_fail(
            r, "program entry %d: operation '%.32s' is not supported by this version", index, op);
    if (!r->failed && strcmp(attn, "own"))
        shoal__reader_fail(
            r, "program entry %d: attention '%.32s' is not supported by this version", index, attn);
    if (!r->failed && (json_object_get(entry, "router") || json_object_get(entry, "experts")))
        shoal__reader_fail(r, "program entry %d: experts are not supported by this version", index);
    int block = shoal__reader_int(r, entry, "block", 0, m->config.blocks - 1);
    int norms = shoal__reader_int(r, entry, "norms", 0, m->config.norm_sets - 1);
    double share = get_exit(r, entry, index);
    p->blends |= share < 1.0;
    p->layers[p->depth++] = (shoal__layer){ .block = m->blocks + block,
                                            .norms = m->norm_sets + norms,
                                            .exit = (float)share };
}

static void read_layers(shoal__reader *r, shoal_model *m, shoal__program *p, const json_t *entries)
{
    size_t depth = json_array_size(entries);
    if (depth < 1 || depth > SHOAL__MAX_DEPTH) {
        shoal__reader_fail(r, "configuration: 'program' must list 1 to %d virtual layers",
                           SHOAL__MAX_DEPTH);
        return;
    }
    p->layers = calloc(depth, sizeof *p->layers);
    if (!p->layers)
        shoal__reader_fail_memory(r);
    for (size_t i = 0; i < depth && !r->failed; i++)
        read_layer(r, m, p, json_array_get(entries, i));
}

void shoal__program_read(shoal__reader *r, shoal_model *m, const json_t *root)
{
    m->blocks = calloc((size_t)m->config.blocks, sizeof *m->blocks);
    m->norm_sets = calloc((size_t)m->config.norm_sets, sizeof *m->norm_sets);
    m->programs = calloc(1, sizeof *m->programs);
    if (!m->blocks || !m->norm_sets || !m->programs) {
        shoal__reader_fail_memory(r);
        return;
    }
    m->program_count = 1;
    snprintf(m->programs->name, sizeof m->programs->name, "base");
    read_layers(r, m, m->programs, json_object_get(root, "program"));
    m->info.depth = m->programs->depth;
}

void shoal__program_free(shoal_model *m)
{
    for (int i = 0; i < m->program_count; i++)
        free(m->programs[i].layers);
    free(m->programs);
}

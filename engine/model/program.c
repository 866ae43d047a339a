/* program.c - the programs of a model file: which virtual layers there are, and what each takes
 * from the pools
 *
 * Format 1 has one, which is called "base". A program that asks for an operation that this version
 * does not run is refused by name; what else an entry holds is the operation's to read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model/model.h"
#include "model/reader.h"

static float get_exit(shoal__reader *r, const json_t *entry, int first)
{
    const json_t *v = json_object_get(entry, "exit");
    double share = v ? json_number_value(v) : 1.0;
    if (first ? share >= 1.0 && share <= 1.0 : share > 0.0 && share <= 1.0)
        return (float)share;
    shoal__reader_fail(r, "%s: 'exit' must be %s", r->where,
                       first ? "1" : "a number above 0, at most 1");
    return 1.0f;
}

static void read_layer(shoal__reader *r, shoal_model *m, shoal__program *p, const json_t *entry)
{
    shoal__layer *l = &p->layers[p->depth];
    snprintf(r->where, sizeof r->where, "program entry %d", p->depth);
    const char *name = shoal__reader_string(r, entry, "op", 32);
    l->op = shoal__op_find(name);
    if (!l->op)
        shoal__reader_fail(r, "%s: operation '%.32s' is not supported by this version", r->where,
                           name);
    if (!r->failed && l->op->parse)
        l->op->parse(r, &m->config, entry, l);
    l->exit = get_exit(r, entry, p->depth == 0);
    p->blends |= l->exit < 1.0f;
    p->depth++;
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
    m->programs = calloc(1, sizeof *m->programs);
    if (!m->programs) {
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

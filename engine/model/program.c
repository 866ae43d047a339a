/* program.c - the programs of a model file: which virtual layers there are, and what each takes
 * from the pools
 *
 * Format 1 has one, which is called "base"; format 2 any number with names, the first of which a
 * session gets unless it asks for another. All take from the same pools. A program that asks for an
 * operation that this version does not run is refused by name; what else an entry holds is the
 * operation's to read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* What all entries may have, and what this one's operation reads. */
static void only_keys(shoal__reader *r, const json_t *entry, const char *own)
{
    char keys[128];
    snprintf(keys, sizeof keys, "op exit%s%s", own ? " " : "", own ? own : "");
    shoal__reader_only(r, entry, r->where, keys);
}

static void read_layer(shoal__reader *r, shoal_model *m, shoal__program *p, const json_t *entry)
{
    shoal__layer *l = &p->layers[p->depth];
    snprintf(r->where, sizeof r->where, "program '%s' entry %d", p->name, p->depth);
    const char *name = shoal__reader_string(r, entry, "op", 32);
    l->op = shoal__op_find(name);
    if (!l->op)
        shoal__reader_fail(r, "%s: operation '%.32s' is not supported by this version", r->where,
                           name);
    if (!r->failed && l->op->parse)
        l->op->parse(r, &m->config, entry, l);
    if (!r->failed && m->config.format > 1)
        only_keys(r, entry, l->op->keys);
    l->exit = get_exit(r, entry, p->depth == 0);
    p->blends |= l->exit < 1.0f;
    p->depth++;
}

static void read_layers(shoal__reader *r, shoal_model *m, shoal__program *p, const json_t *entries)
{
    size_t depth = json_array_size(entries);
    if (depth < 1 || depth > SHOAL__MAX_DEPTH) {
        shoal__reader_fail(r, "program '%s' must list 1 to %d virtual layers", p->name,
                           SHOAL__MAX_DEPTH);
        return;
    }
    p->layers = calloc(depth, sizeof *p->layers);
    if (!p->layers)
        shoal__reader_fail_memory(r);
    for (size_t i = 0; i < depth && !r->failed; i++)
        read_layer(r, m, p, json_array_get(entries, i));
}

/* A name goes into URLs, so it is made of what needs no escapes there. */
static void read_name(shoal__reader *r, shoal_model *m, shoal__program *p, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") : 0;
    if (!n || name[n] || n >= sizeof p->name) {
        shoal__reader_fail(r, "program %d: 'name' must be 1 to %zu of a-z, 0-9, _ . -",
                           (int)(p - m->programs), sizeof p->name - 1);
        return;
    }
    for (const shoal__program *other = m->programs; other < p; other++)
        if (!strcmp(other->name, name))
            shoal__reader_fail(r, "there are two programs '%s': names must differ", name);
    snprintf(p->name, sizeof p->name, "%s", name);
}

static void read_program(shoal__reader *r, shoal_model *m, const json_t *entry)
{
    shoal__program *p = &m->programs[m->program_count++];
    shoal__reader_only(r, entry, "a program", "name layers");
    read_name(r, m, p, entry);
    if (!r->failed)
        read_layers(r, m, p, json_object_get(entry, "layers"));
}

static void read_programs(shoal__reader *r, shoal_model *m, const json_t *entries)
{
    size_t count = json_array_size(entries);
    if (count < 1 || count > SHOAL__MAX_PROGRAMS) {
        shoal__reader_fail(r, "configuration: 'programs' must list 1 to %d programs",
                           SHOAL__MAX_PROGRAMS);
        return;
    }
    m->programs = calloc(count, sizeof *m->programs);
    if (!m->programs)
        shoal__reader_fail_memory(r);
    for (size_t i = 0; i < count && !r->failed; i++)
        read_program(r, m, json_array_get(entries, i));
}

/* The one program of format 1. */
static void read_base(shoal__reader *r, shoal_model *m, const json_t *entries)
{
    m->programs = calloc(1, sizeof *m->programs);
    if (!m->programs) {
        shoal__reader_fail_memory(r);
        return;
    }
    m->program_count = 1;
    snprintf(m->programs->name, sizeof m->programs->name, "base");
    read_layers(r, m, m->programs, entries);
}

void shoal__program_read(shoal__reader *r, shoal_model *m, const json_t *root)
{
    if (m->config.format == 1)
        read_base(r, m, json_object_get(root, "program"));
    else
        read_programs(r, m, json_object_get(root, "programs"));
    m->info.depth = m->programs ? m->programs->depth : 0;
}

void shoal__program_free(shoal_model *m)
{
    for (int i = 0; i < m->program_count; i++)
        free(m->programs[i].layers);
    free(m->programs);
}

/* program.c - the model file's configuration: dimensions, labels and the program
 *
 * The configuration is one JSON object in the safetensors metadata under "shoal"
 * (docs/model-format.md). Every number is checked against a bound before it sizes anything; a
 * program that asks for an operation, a map reuse or an expert this version does not run is
 * refused by name.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

typedef struct reader {
    char *why;
    size_t size;
    int failed;    /* sticky: once set, nothing more is believed */
    int no_memory; /* and that is why */
} reader;

__attribute__((format(printf, 2, 3))) static void fail(reader *r, const char *format, ...)
{
    va_list args;
    if (r->failed)
        return;
    r->failed = 1;
    va_start(args, format);
    if (r->why && r->size)
        vsnprintf(r->why, r->size, format, args);
    va_end(args);
}

static void fail_memory(reader *r)
{
    r->failed = r->no_memory = 1;
}

static int get_int(reader *r, const json_t *object, const char *key, int low, int high)
{
    const json_t *v = json_object_get(object, key);
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < low || n > high) {
        fail(r, "configuration: '%s' must be an integer from %d to %d", key, low, high);
        return low;
    }
    return (int)n;
}

static const char *get_string(reader *r, const json_t *object, const char *key, size_t most)
{
    const json_t *v = json_object_get(object, key);
    const char *s = json_string_value(v);
    if (!s || !*s || strlen(s) > most) {
        fail(r, "configuration: '%s' must be a string of 1 to %zu characters", key, most);
        return "";
    }
    return s;
}

static void read_frontend(reader *r, shoal__config *c, const json_t *root)
{
    const json_t *f = json_object_get(root, "frontend");
    get_int(r, f, "rate", 16000, 16000);
    get_int(r, f, "window", SHOAL__WINDOW, SHOAL__WINDOW);
    get_int(r, f, "hop", SHOAL__HOP, SHOAL__HOP);
    get_int(r, f, "fft", SHOAL__FFT, SHOAL__FFT);
    c->mels = get_int(r, f, "mels", 1, SHOAL__MAX_MELS);
    double floor = json_number_value(json_object_get(f, "floor"));
    if (!(floor > 0.0 && floor < 1.0))
        fail(r, "configuration: 'floor' must be a number between 0 and 1");
    c->mel_floor = (float)floor;
}

static void read_sizes(reader *r, shoal__config *c, const json_t *root)
{
    get_int(r, root, "format", 1, 1);
    snprintf(c->name, sizeof c->name, "%s", get_string(r, root, "name", sizeof c->name - 1));
    c->dim = get_int(r, root, "dim", 1, SHOAL__MAX_DIM);
    c->ffn = get_int(r, root, "ffn", 1, SHOAL__MAX_FFN);
    c->heads = get_int(r, root, "heads", 1, 64);
    c->kernel = get_int(r, root, "kernel", 1, SHOAL__MAX_KERNEL);
    c->classes = get_int(r, root, "classes", 2, SHOAL__MAX_CLASSES);
    c->delay = get_int(r, root, "delay_frames", 0, SHOAL__MAX_DELAY);
    c->left = get_int(r, root, "left_frames", 0, SHOAL__MAX_LEFT);
    c->blocks = get_int(r, root, "blocks", 1, SHOAL__MAX_POOL);
    c->norm_sets = get_int(r, root, "norm_sets", 1, SHOAL__MAX_POOL);
    if (c->dim % c->heads || c->dim / c->heads % 2)
        fail(r, "configuration: 'dim' %d must be 'heads' %d times an even number", c->dim,
             c->heads);
}

static void read_labels(reader *r, shoal_model *m, const json_t *root)
{
    const json_t *labels = json_object_get(root, "labels");
    if ((int)json_array_size(labels) != m->config.classes) {
        fail(r, "configuration: 'labels' must list %d names", m->config.classes);
        return;
    }
    for (int i = 0; i < m->config.classes; i++) {
        const char *s = json_string_value(json_array_get(labels, (size_t)i));
        if (!s || !*s || strlen(s) > 15)
            fail(r, "configuration: label %d must be a string of 1 to 15 characters", i);
        m->labels[i] = r->failed ? NULL : strdup(s);
        if (!r->failed && !m->labels[i])
            fail_memory(r);
    }
}

static double get_exit(reader *r, const json_t *entry, int index)
{
    const json_t *v = json_object_get(entry, "exit");
    double share = v ? json_number_value(v) : 1.0;
    if (index ? share > 0.0 && share <= 1.0 : share >= 1.0 && share <= 1.0)
        return share;
    fail(r, "program entry %d: 'exit' must be %s", index,
         index ? "a number above 0, at most 1" : "1");
    return 1.0;
}

static void read_layer(reader *r, shoal_model *m, int index, const json_t *entry)
{
    const char *op = get_string(r, entry, "op", 32);
    const char *attn = get_string(r, entry, "attn", 32);
    if (!r->failed && strcmp(op, "conformer"))
        fail(r, "program entry %d: operation '%.32s' is not supported by this version", index, op);
    if (!r->failed && strcmp(attn, "own"))
        fail(r, "program entry %d: attention '%.32s' is not supported by this version", index,
             attn);
    if (!r->failed && (json_object_get(entry, "router") || json_object_get(entry, "experts")))
        fail(r, "program entry %d: experts are not supported by this version", index);
    int block = get_int(r, entry, "block", 0, m->config.blocks - 1);
    int norms = get_int(r, entry, "norms", 0, m->config.norm_sets - 1);
    double share = get_exit(r, entry, index);
    m->blends |= share < 1.0;
    m->program[index] = (shoal__layer){ .block = m->blocks + block,
                                        .norms = m->norm_sets + norms,
                                        .exit = (float)share };
}

static void read_program(reader *r, shoal_model *m, const json_t *root)
{
    const json_t *program = json_object_get(root, "program");
    size_t depth = json_array_size(program);
    if (depth < 1 || depth > SHOAL__MAX_DEPTH) {
        fail(r, "configuration: 'program' must list 1 to %d virtual layers", SHOAL__MAX_DEPTH);
        return;
    }
    m->blocks = calloc((size_t)m->config.blocks, sizeof *m->blocks);
    m->norm_sets = calloc((size_t)m->config.norm_sets, sizeof *m->norm_sets);
    if (!m->blocks || !m->norm_sets) {
        fail_memory(r);
        return;
    }
    for (size_t i = 0; i < depth; i++)
        read_layer(r, m, (int)i, json_array_get(program, i));
    m->info.depth = (int)depth;
}

int shoal__config_read(shoal_model *m, char *why, size_t why_size)
{
    reader r = { .why = why, .size = why_size };
    const char *text = shoal__safetensors_metadata(m->tensors, "shoal");
    if (!text) {
        fail(&r, "the file has no \"shoal\" metadata: not a shoal model");
        return SHOAL_EMODEL;
    }
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root && !*error.text) /* jansson has a text for all but a lack of memory */
        fail_memory(&r);
    if (!root)
        fail(&r, "the \"shoal\" metadata is not JSON: %.100s", error.text);
    if (!r.failed)
        read_frontend(&r, &m->config, root);
    if (!r.failed)
        read_sizes(&r, &m->config, root);
    if (!r.failed)
        read_labels(&r, m, root);
    if (!r.failed)
        read_program(&r, m, root);
    json_decref(root);
    return r.no_memory ? SHOAL_ENOMEM : r.failed ? SHOAL_EMODEL : 0;
}

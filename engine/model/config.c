/* config.c - the model file's configuration: dimensions, labels, and the programs (program.c)
 *
 * The configuration is one JSON object in the safetensors metadata under "shoal"
 * (docs/model-format.md). Every number is checked against a bound before it sizes anything.
 */
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "model/reader.h"

static void read_frontend(shoal__reader *r, shoal__config *c, const json_t *root)
{
    const json_t *f = json_object_get(root, "frontend");
    shoal__reader_int(r, f, "rate", 16000, 16000);
    shoal__reader_int(r, f, "window", SHOAL__WINDOW, SHOAL__WINDOW);
    shoal__reader_int(r, f, "hop", SHOAL__HOP, SHOAL__HOP);
    shoal__reader_int(r, f, "fft", SHOAL__FFT, SHOAL__FFT);
    c->mels = shoal__reader_int(r, f, "mels", 1, SHOAL__MAX_MELS);
    double floor = json_number_value(json_object_get(f, "floor"));
    if (!(floor > 0.0 && floor < 1.0))
        shoal__reader_fail(r, "configuration: 'floor' must be a number between 0 and 1");
    c->mel_floor = (float)floor;
}

static void read_sizes(shoal__reader *r, shoal__config *c, const json_t *root)
{
    snprintf(c->name, sizeof c->name, "%s",
             shoal__reader_string(r, root, "name", sizeof c->name - 1));
    c->dim = shoal__reader_int(r, root, "dim", 1, SHOAL__MAX_DIM);
    c->ffn = shoal__reader_int(r, root, "ffn", 1, SHOAL__MAX_FFN);
    c->heads = shoal__reader_int(r, root, "heads", 1, 64);
    c->kernel = shoal__reader_int(r, root, "kernel", 1, SHOAL__MAX_KERNEL);
    c->classes = shoal__reader_int(r, root, "classes", 2, SHOAL__MAX_CLASSES);
    c->delay = shoal__reader_int(r, root, "delay_frames", 0, SHOAL__MAX_DELAY);
    c->left = shoal__reader_int(r, root, "left_frames", 0, SHOAL__MAX_LEFT);
    c->blocks = shoal__reader_int(r, root, "blocks", 1, SHOAL__MAX_POOL);
    c->norm_sets = shoal__reader_int(r, root, "norm_sets", 1, SHOAL__MAX_POOL);
    if (c->dim % c->heads || c->dim / c->heads % 2)
        shoal__reader_fail(r, "configuration: 'dim' %d must be 'heads' %d times an even number",
                           c->dim, c->heads);
}

static void read_labels(shoal__reader *r, shoal_model *m, const json_t *root)
{
    const json_t *labels = json_object_get(root, "labels");
    if ((int)json_array_size(labels) != m->config.classes) {
        shoal__reader_fail(r, "configuration: 'labels' must list %d names", m->config.classes);
        return;
    }
    for (int i = 0; i < m->config.classes; i++) {
        const char *s = json_string_value(json_array_get(labels, (size_t)i));
        if (!s || !*s || strlen(s) > 15)
            shoal__reader_fail(r, "configuration: label %d must be a string of 1 to 15 characters",
                               i);
        m->labels[i] = r->failed ? NULL : strdup(s);
        if (!r->failed && !m->labels[i])
            shoal__reader_fail_memory(r);
    }
}

static void read_number(shoal__reader *r, const json_t *root, const char *key, double low,
                        double high, float *out)
{
    if (json_object_get(root, key))
        *out = (float)shoal__reader_number(r, root, key, low, high);
}

/* What has been good for all models so far (training/smoothing.py) is what one that tells nothing
 * has. */
static void read_smoothing(shoal__reader *r, shoal_smooth_params *p, const json_t *root)
{
    *p = (shoal_smooth_params){ .stay = 0.85f, .scale = 2.0f, .temperature = 3.5f };
    read_number(r, root, "smoothing_stay", SHOAL_SMOOTH_MIN_STAY, SHOAL_SMOOTH_MAX_STAY, &p->stay);
    read_number(r, root, "smoothing_scale", SHOAL_SMOOTH_MIN, SHOAL_SMOOTH_MAX, &p->scale);
    read_number(r, root, "smoothing_temperature", SHOAL_SMOOTH_MIN, SHOAL_SMOOTH_MAX,
                &p->temperature);
}

/* Format 1 passes over keys that it does not know; from format 2 on each must mean something. */
static void refuse_unknown(shoal__reader *r, const json_t *root)
{
    char keys[512], of_operations[256];
    shoal__ops_config_keys(of_operations, sizeof of_operations);
    snprintf(keys, sizeof keys,
             "format name frontend dim ffn heads kernel classes labels delay_frames left_frames "
             "blocks norm_sets%s temperature smoothing_stay smoothing_scale smoothing_temperature "
             "programs",
             of_operations);
    shoal__reader_only(r, root, "configuration", keys);
    shoal__reader_only(r, json_object_get(root, "frontend"), "configuration: 'frontend'",
                       "rate window hop fft mels floor");
}

/* What format 2 has and format 1 has not. */
static void read_further(shoal__reader *r, shoal__config *c, const json_t *root)
{
    c->temperature = 1.0f;
    read_smoothing(r, &c->smooth, c->format < 2 ? NULL : root);
    if (c->format < 2)
        return;
    refuse_unknown(r, root);
    shoal__ops_configure(r, c, root);
    read_number(r, root, "temperature", 0.01, 100.0, &c->temperature);
}

/* NULL if it is not JSON. */
static json_t *parse(shoal__reader *r, const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root && !*error.text) /* jansson has a text for all but a lack of memory */
        shoal__reader_fail_memory(r);
    if (!root)
        shoal__reader_fail(r, "the \"shoal\" metadata is not JSON: %.100s", error.text);
    return root;
}

int shoal__config_read(shoal_model *m, char *why, size_t why_size)
{
    shoal__reader r = { .why = why, .size = why_size, .where = "configuration" };
    const char *text = shoal__safetensors_metadata(m->tensors, "shoal");
    if (!text)
        shoal__reader_fail(&r, "the file has no \"shoal\" metadata: not a shoal model");
    json_t *root = text ? parse(&r, text) : NULL;
    if (!r.failed)
        m->config.format = shoal__reader_int(&r, root, "format", 1, 2);
    if (!r.failed)
        read_frontend(&r, &m->config, root);
    if (!r.failed)
        read_sizes(&r, &m->config, root);
    if (!r.failed)
        read_further(&r, &m->config, root);
    if (!r.failed)
        read_labels(&r, m, root);
    if (!r.failed)
        shoal__program_read(&r, m, root);
    if (m->config.format > 1)
        shoal__safetensors_allow_narrow(m->tensors);
    json_decref(root);
    return shoal__reader_result(&r);
}

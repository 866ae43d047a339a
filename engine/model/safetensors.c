/* safetensors.c - the container of the model file; see safetensors.h
 *
 * The header's JSON is jansson's work; what is ours is not to trust it. A parsed tensor is a
 * small record in an array sorted by offset, which makes the overlap check one pass.
 */
#include "model/safetensors.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/explain.h"
#include "model/widen.h"
#include "shoal.h"

#define MAX_HEADER (4u << 20)

typedef struct tensor {
    const char *name; /* owned by the JSON tree */
    const char *dtype;
    int rank;
    int64_t shape[SHOAL__MAX_RANK];
    uint64_t begin, end; /* bytes, from the end of the header */
    int used;
    int is_scale; /* of an I8 tensor */
    float *wide;  /* owned; NULL for F32 */
} tensor;

struct shoal__safetensors {
    json_t *header;
    const unsigned char *body;
    uint64_t header_size, body_size; /* the length that leads in is part of the first */
    tensor *tensors;
    size_t count;
    int narrow; /* other types than F32 are allowed */
};

static uint64_t load_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static unsigned dtype_size(const char *dtype)
{
    static const struct {
        const char *name;
        unsigned size;
    } known[] = {
        { "F32", 4 }, { "BF16", 2 }, { "F16", 2 }, { "I8", 1 }, { "U8", 1 }, { "I32", 4 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, dtype))
            return known[i].size;
    return 0;
}

static int parse_shape(tensor *t, const json_t *shape)
{
    t->rank = (int)json_array_size(shape);
    if (!json_is_array(shape) || t->rank > SHOAL__MAX_RANK)
        return -1;
    for (int i = 0; i < t->rank; i++) {
        const json_t *v = json_array_get(shape, (size_t)i);
        t->shape[i] = json_integer_value(v);
        if (!json_is_integer(v) || t->shape[i] < 1 || t->shape[i] > 1 << 24)
            return -1;
    }
    return 0;
}

static int parse_offsets(tensor *t, const json_t *offsets, uint64_t body_size)
{
    const json_t *a = json_array_get(offsets, 0), *b = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(a) || !json_is_integer(b))
        return -1;
    if (json_integer_value(a) < 0 || json_integer_value(b) < json_integer_value(a))
        return -1;
    t->begin = (uint64_t)json_integer_value(a);
    t->end = (uint64_t)json_integer_value(b);
    return t->end <= body_size ? 0 : -1;
}

/* Bytes the shape asks for; 0 when that overflows what a file can hold. */
static uint64_t shape_bytes(const tensor *t, unsigned item)
{
    uint64_t n = item;
    for (int i = 0; i < t->rank; i++) {
        n *= (uint64_t)t->shape[i];
        if (n > (uint64_t)1 << 40)
            return 0;
    }
    return n;
}

static int parse_tensor(const shoal__safetensors *st, tensor *t, const char *name,
                        const json_t *entry, char *why, size_t size)
{
    t->name = name;
    t->dtype = json_string_value(json_object_get(entry, "dtype"));
    unsigned item = t->dtype ? dtype_size(t->dtype) : 0;
    if (!item)
        return shoal__explain(why, size, SHOAL_EMODEL, "tensor '%.80s': unknown dtype", name);
    if (parse_shape(t, json_object_get(entry, "shape")) < 0)
        return shoal__explain(why, size, SHOAL_EMODEL, "tensor '%.80s': bad shape", name);
    if (parse_offsets(t, json_object_get(entry, "data_offsets"), st->body_size) < 0)
        return shoal__explain(why, size, SHOAL_EMODEL,
                              "tensor '%.80s': its bytes lie outside the file (truncated?)", name);
    if (t->end - t->begin != shape_bytes(t, item))
        return shoal__explain(why, size, SHOAL_EMODEL, "tensor '%.80s': size and shape disagree",
                              name);
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const tensor *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int parse_entries(shoal__safetensors *st, char *why, size_t size)
{
    const char *name;
    json_t *entry;
    size_t entries = json_object_size(st->header);
    if (entries > SHOAL__MAX_TENSORS)
        return shoal__explain(why, size, SHOAL_EMODEL, "%zu tensors are more than %d", entries,
                              SHOAL__MAX_TENSORS);
    st->tensors = calloc(entries + 1, sizeof *st->tensors);
    if (!st->tensors)
        return SHOAL_ENOMEM;
    json_object_foreach(st->header, name, entry)
    {
        if (!strcmp(name, "__metadata__"))
            continue;
        int rc = parse_tensor(st, &st->tensors[st->count++], name, entry, why, size);
        if (rc < 0)
            return rc;
    }
    qsort(st->tensors, st->count, sizeof *st->tensors, by_offset);
    for (size_t i = 1; i < st->count; i++)
        if (st->tensors[i].begin < st->tensors[i - 1].end)
            return shoal__explain(why, size, SHOAL_EMODEL, "tensors '%.60s' and '%.60s' overlap",
                                  st->tensors[i - 1].name, st->tensors[i].name);
    return 0;
}

static int parse_header(shoal__safetensors *st, const unsigned char *data, size_t bytes, char *why,
                        size_t size)
{
    if (bytes < 8)
        return shoal__explain(why, size, SHOAL_EMODEL,
                              "the file has %zu bytes: not a safetensors file", bytes);
    uint64_t n = load_u64(data);
    if (n > MAX_HEADER || n > bytes - 8)
        return shoal__explain(why, size, SHOAL_EMODEL,
                              "not a safetensors file (or truncated): its header claims %llu bytes",
                              (unsigned long long)n);
    json_error_t error;
    st->header = json_loadb((const char *)data + 8, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    if (!st->header && !*error.text) /* jansson has a text for all but a lack of memory */
        return SHOAL_ENOMEM;
    if (!json_is_object(st->header))
        return shoal__explain(why, size, SHOAL_EMODEL,
                              "the safetensors header is not a JSON object: %.100s", error.text);
    if (n % 4)
        return shoal__explain(why, size, SHOAL_EMODEL,
                              "the safetensors header is not padded to 4 bytes");
    st->body = data + 8 + n;
    st->header_size = 8 + n;
    st->body_size = bytes - 8 - n;
    return 0;
}

int shoal__safetensors_parse(shoal__safetensors **out, const void *data, size_t size, char *why,
                             size_t why_size)
{
    shoal__safetensors *st = calloc(1, sizeof *st);
    if (!st)
        return SHOAL_ENOMEM;
    int rc = parse_header(st, data, size, why, why_size);
    if (rc == 0)
        rc = parse_entries(st, why, why_size);
    if (rc < 0) {
        shoal__safetensors_free(st);
        return rc;
    }
    *out = st;
    return 0;
}

void shoal__safetensors_free(shoal__safetensors *st)
{
    if (!st)
        return;
    for (size_t i = 0; i < st->count; i++)
        free(st->tensors[i].wide);
    json_decref(st->header);
    free(st->tensors);
    free(st);
}

const char *shoal__safetensors_metadata(const shoal__safetensors *st, const char *key)
{
    return json_string_value(json_object_get(json_object_get(st->header, "__metadata__"), key));
}

static tensor *find(const shoal__safetensors *st, const char *name)
{
    for (size_t i = 0; i < st->count; i++)
        if (!strcmp(st->tensors[i].name, name))
            return &st->tensors[i];
    return NULL;
}

int shoal__safetensors_has(const shoal__safetensors *st, const char *name)
{
    return find(st, name) != NULL;
}

int shoal__safetensors_dim(const shoal__safetensors *st, const char *name, int axis)
{
    const tensor *t = find(st, name);
    return t && axis < t->rank ? (int)t->shape[axis] : 0;
}

static int same_shape(const tensor *t, int rank, const int *shape)
{
    if (t->rank != rank)
        return 0;
    for (int i = 0; i < rank; i++)
        if (t->shape[i] != shape[i])
            return 0;
    return 1;
}

static void print_shape(char *out, size_t size, const tensor *t)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < t->rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? "," : "", (long long)t->shape[i]);
}

static size_t elements(const tensor *t)
{
    return (size_t)((t->end - t->begin) / dtype_size(t->dtype));
}

static int refuse_type(const shoal__safetensors *st, const tensor *t, int rank, const int *shape,
                       char *why, size_t size)
{
    tensor want = { .rank = rank };
    char have_text[64], want_text[64];
    for (int i = 0; i < rank; i++)
        want.shape[i] = shape[i];
    print_shape(have_text, sizeof have_text, t);
    print_shape(want_text, sizeof want_text, &want);
    return shoal__explain(why, size, SHOAL_EMODEL,
                          "tensor '%.80s' is %s [%s], this model's configuration needs F32%s [%s]",
                          t->name, t->dtype, have_text,
                          !st->narrow ? ""
                          : rank == 2 ? ", F16, BF16 or I8"
                                      : ", F16 or BF16",
                          want_text);
}

/* The scales [rows] of an I8 tensor, each above 0; NULL with a reason. */
static const float *find_scale(const shoal__safetensors *st, const tensor *t, char *why,
                               size_t size)
{
    char name[128];
    int rows = (int)t->shape[0];
    snprintf(name, sizeof name, "%.120s.scale", t->name);
    tensor *s = find(st, name);
    if (!s || strcmp(s->dtype, "F32") || !same_shape(s, 1, &rows) || s->begin % 4) {
        shoal__explain(why, size, SHOAL_EMODEL,
                       "tensor '%.80s' is I8: it needs '%.88s' F32 [%d], one scale a row", t->name,
                       name, rows);
        return NULL;
    }
    const float *scale = (const float *)(const void *)(st->body + s->begin);
    for (int i = 0; i < rows; i++)
        if (!(scale[i] > 0.0f)) {
            shoal__explain(why, size, SHOAL_EMODEL,
                           "tensor '%.88s': the scale of row %d is not above 0", name, i);
            return NULL;
        }
    s->used = s->is_scale = 1;
    return scale;
}

static int widen(const shoal__safetensors *st, tensor *t, char *why, size_t size)
{
    const unsigned char *from = st->body + t->begin;
    const float *scale = NULL;
    if (!strcmp(t->dtype, "I8") && !(scale = find_scale(st, t, why, size)))
        return SHOAL_EMODEL;
    t->wide = malloc(elements(t) * sizeof *t->wide);
    if (!t->wide)
        return SHOAL_ENOMEM;
    if (scale)
        shoal__widen_i8(t->wide, from, scale, (size_t)t->shape[0], (size_t)t->shape[1]);
    else if (!strcmp(t->dtype, "F16"))
        shoal__widen_f16(t->wide, from, elements(t));
    else
        shoal__widen_bf16(t->wide, from, elements(t));
    return 0;
}

/* A type that may stand for F32 here. */
static int is_narrow(const shoal__safetensors *st, const tensor *t)
{
    return st->narrow && (!strcmp(t->dtype, "F16") || !strcmp(t->dtype, "BF16") ||
                          (!strcmp(t->dtype, "I8") && t->rank == 2));
}

void shoal__safetensors_allow_narrow(shoal__safetensors *st)
{
    st->narrow = 1;
}

int shoal__safetensors_f32(shoal__safetensors *st, const char *name, int rank, const int *shape,
                           const float **out, char *why, size_t size)
{
    tensor *t = find(st, name);
    *out = NULL;
    if (!t)
        return shoal__explain(why, size, SHOAL_EMODEL, "tensor '%.80s' is missing", name);
    int wide = !strcmp(t->dtype, "F32");
    if (!(wide || is_narrow(st, t)) || !same_shape(t, rank, shape))
        return refuse_type(st, t, rank, shape, why, size);
    if (t->begin % dtype_size(t->dtype))
        return shoal__explain(why, size, SHOAL_EMODEL,
                              "tensor '%.80s' begins at byte %llu, which its type %s cannot", name,
                              (unsigned long long)t->begin, t->dtype);
    int rc = wide || t->wide ? 0 : widen(st, t, why, size);
    t->used = 1;
    *out = rc < 0 ? NULL : wide ? (const float *)(const void *)(st->body + t->begin) : t->wide;
    return rc;
}

void shoal__safetensors_drop(shoal__safetensors *st, const char *name)
{
    tensor *t = find(st, name);
    if (t) {
        free(t->wide);
        t->wide = NULL;
    }
}

const char *shoal__safetensors_unused(const shoal__safetensors *st)
{
    for (size_t i = 0; i < st->count; i++)
        if (!st->tensors[i].used)
            return st->tensors[i].name;
    return NULL;
}

size_t shoal__safetensors_elements(const shoal__safetensors *st, const char *prefix)
{
    size_t n = 0;
    for (size_t i = 0; i < st->count; i++) {
        const tensor *t = &st->tensors[i];
        n += t->is_scale || strncmp(t->name, prefix, strlen(prefix)) != 0 ? 0 : elements(t);
    }
    return n;
}

/* model_image.c - a model file taken apart; see model_image.h */
#include "model_image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"

image image_open(const char *path)
{
    size_t size;
    image im = { 0 };
    unsigned char *file = util_read_file(path, &size);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | file[i];
    im.header = json_loadb((const char *)file + 8, (size_t)n, 0, NULL);
    ck_assert_ptr_nonnull(im.header);
    const json_t *meta = json_object_get(im.header, "__metadata__");
    im.config = json_loads(json_string_value(json_object_get(meta, "shoal")), 0, NULL);
    ck_assert_ptr_nonnull(im.config);
    im.body_size = size - 8 - (size_t)n;
    im.body = malloc(im.body_size);
    memcpy(im.body, file + 8 + n, im.body_size);
    free(file);
    return im;
}

void image_close(image *im)
{
    json_decref(im->header);
    json_decref(im->config);
    free(im->body);
}

unsigned char *image_bytes(const image *im, size_t *size)
{
    if (im->config) {
        char *config = json_dumps(im->config, JSON_COMPACT);
        json_object_set_new(json_object_get(im->header, "__metadata__"), "shoal",
                            json_string(config));
        free(config);
    }
    char *text = json_dumps(im->header, JSON_COMPACT);
    size_t length = strlen(text), padded = (length + 8 + 63) / 64 * 64 - 8;
    unsigned char *file = malloc(8 + padded + im->body_size);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    memcpy(file + 8, text, length);
    memset(file + 8 + length, ' ', padded - length);
    memcpy(file + 8 + padded, im->body, im->body_size);
    free(text);
    *size = 8 + padded + im->body_size;
    return file;
}

json_t *image_tensor(const image *im, const char *name)
{
    json_t *entry = json_object_get(im->header, name);
    ck_assert_msg(entry != NULL, "no tensor %s", name);
    return entry;
}

void image_add_tensor(image *im, const char *name, int rows, int columns, const float *values)
{
    size_t begin = im->body_size;
    size_t n = (size_t)rows * (size_t)(columns ? columns : 1) * sizeof(float);
    json_t *shape = json_pack("[i]", rows);
    if (columns)
        json_array_append_new(shape, json_integer(columns));
    im->body = realloc(im->body, begin + n);
    if (values)
        memcpy(im->body + begin, values, n);
    else
        memset(im->body + begin, 0, n);
    im->body_size = begin + n;
    json_object_set_new(im->header, name,
                        json_pack("{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape,
                                  "data_offsets", (json_int_t)begin, (json_int_t)(begin + n)));
}

json_t *image_layer(const image *im, size_t index)
{
    json_t *entry = json_array_get(json_object_get(im->config, "program"), index);
    ck_assert_ptr_nonnull(entry);
    return entry;
}

void image_set_offset(const image *im, const char *name, size_t which, json_int_t value)
{
    json_t *offsets = json_object_get(image_tensor(im, name), "data_offsets");
    json_array_set_new(offsets, which, json_integer(value));
}

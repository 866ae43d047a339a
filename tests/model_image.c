/* model_image.c - a model file taken apart; see model_image.h */
#include "model_image.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

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

/* The checksum of docs/model-format.md over a file whose digits are '0', and put in their place. */
static void sum(unsigned char *file, size_t size)
{
    char digits[9], *at = strstr((char *)file + 8, "\"crc32\":\"00000000\"");
    snprintf(digits, sizeof digits, "%08lx", crc32_z(0, file, size));
    memcpy(at + 9, digits, 8);
    ck_assert_ptr_eq(memmem(file, size, digits, 8), at + 9);
}

/* The header as text: the configuration inside it, and zeros where the checksum will be. */
static char *header_text(const image *im, int summed)
{
    json_t *meta = json_object_get(im->header, "__metadata__");
    if (im->config) {
        char *config = json_dumps(im->config, JSON_COMPACT);
        json_object_set_new(meta, "shoal", json_string(config));
        free(config);
    }
    if (summed)
        json_object_set_new(meta, "crc32", json_string("00000000"));
    return json_dumps(im->header, JSON_COMPACT);
}

unsigned char *image_bytes(const image *im, size_t *size)
{
    int summed = json_integer_value(json_object_get(im->config, "format")) == 2 && !im->no_sum;
    char *text = header_text(im, summed);
    size_t length = strlen(text), padded = (length + 8 + 63) / 64 * 64 - 8;
    unsigned char *file = malloc(8 + padded + im->body_size);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    memcpy(file + 8, text, length);
    memset(file + 8 + length, ' ', padded - length);
    memcpy(file + 8 + padded, im->body, im->body_size);
    free(text);
    *size = 8 + padded + im->body_size;
    if (summed)
        sum(file, *size);
    return file;
}

/* ---- refusals ---------------------------------------------------------------------------- */

void image_refuse_bytes(const void *data, size_t size, int code, const char *word)
{
    shoal_model *m = NULL;
    char why[256] = "";
    int rc = shoal_model_open_memory(&m, data, size, why, sizeof why);
    ck_assert_msg(rc < 0, "opened, though %s is wrong", word ? word : "something");
    ck_assert_msg(rc == code, "%d (%s), not %d", rc, why, code);
    ck_assert_ptr_null(m);
    ck_assert_msg(*why && (!word || strstr(why, word)), "message '%s' without '%s'", why,
                  word ? word : "");
}

void image_refuse(const image *im, const char *word)
{
    size_t size;
    unsigned char *file = image_bytes(im, &size);
    unsigned char *exact = malloc(size); /* so that ASan sees the file's end */
    memcpy(exact, file, size);
    image_refuse_bytes(exact, size, SHOAL_EMODEL, word);
    free(exact);
    free(file);
}

shoal_model *image_accept(const image *im)
{
    size_t size;
    shoal_model *m = NULL;
    char why[256] = "";
    unsigned char *file = image_bytes(im, &size);
    int rc = shoal_model_open_memory(&m, file, size, why, sizeof why);
    ck_assert_msg(rc == 0, "%d: %s", rc, why);
    free(file);
    return m;
}

/* ---- changes ----------------------------------------------------------------------------- */

json_t *image_tensor(const image *im, const char *name)
{
    json_t *entry = json_object_get(im->header, name);
    ck_assert_msg(entry != NULL, "no tensor %s", name);
    return entry;
}

void image_add(image *im, const char *name, const char *dtype, const int shape[2],
               const void *bytes)
{
    size_t item = strcmp(dtype, "F32") ? strcmp(dtype, "I8") ? 2 : 1 : 4;
    size_t begin = (im->body_size + 3) / 4 * 4; /* F32 must begin at a multiple of 4 */
    size_t n = item * (size_t)shape[0] * (size_t)(shape[1] ? shape[1] : 1);
    json_t *sizes = json_pack("[i]", shape[0]);
    if (shape[1])
        json_array_append_new(sizes, json_integer(shape[1]));
    im->body = realloc(im->body, begin + n);
    memset(im->body + im->body_size, 0, begin + n - im->body_size);
    if (bytes)
        memcpy(im->body + begin, bytes, n);
    im->body_size = begin + n;
    json_object_set_new(im->header, name,
                        json_pack("{s:s,s:o,s:[I,I]}", "dtype", dtype, "shape", sizes,
                                  "data_offsets", (json_int_t)begin, (json_int_t)(begin + n)));
}

void image_add_tensor(image *im, const char *name, int rows, int columns, const float *values)
{
    image_add(im, name, "F32", (int[]){ rows, columns }, values);
}

void image_format_two(image *im)
{
    json_t *layers = json_incref(json_object_get(im->config, "program"));
    json_object_set_new(im->config, "format", json_integer(2));
    json_object_set_new(im->config, "programs",
                        json_pack("[{s:s,s:o}]", "name", "base", "layers", layers));
    json_object_del(im->config, "program");
}

void image_format_one(image *im)
{
    json_t *programs = json_object_get(im->config, "programs");
    json_object_set(im->config, "program", json_object_get(json_array_get(programs, 0), "layers"));
    json_object_set_new(im->config, "format", json_integer(1));
    json_object_del(im->config, "programs");
    json_object_del(json_object_get(im->header, "__metadata__"), "crc32");
}

json_t *image_layer(const image *im, size_t index)
{
    json_t *first = json_array_get(json_object_get(im->config, "programs"), 0);
    json_t *layers = json_object_get(first ? first : im->config, first ? "layers" : "program");
    json_t *entry = json_array_get(layers, index);
    ck_assert_ptr_nonnull(entry);
    return entry;
}

void image_set_offset(const image *im, const char *name, size_t which, json_int_t value)
{
    json_t *offsets = json_object_get(image_tensor(im, name), "data_offsets");
    json_array_set_new(offsets, which, json_integer(value));
}

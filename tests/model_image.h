/* model_image.h - a model file taken apart, to be damaged and put together again
 *
 * image_open reads a file into its header (a JSON tree), its configuration (the JSON text inside
 * the metadata, a tree too) and its body. Change any of them; image_bytes writes the file anew.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include <jansson.h>
#include <stddef.h>

#include "shoal.h"

#define IMAGE_TINY SRCDIR "/tests/data/tiny.safetensors" /* format 1 */

typedef struct image {
    json_t *header;      /* owned; tensors and __metadata__ */
    json_t *config;      /* owned; NULL: leave the metadata as it is in header */
    unsigned char *body; /* owned */
    size_t body_size;
    int no_sum; /* leave metadata's "crc32" as it is, though the format is 2 */
} image;

image image_open(const char *path);
void image_close(image *im);
/* The file's bytes, malloc()ed. A file of format 2 gets its checksum. */
unsigned char *image_bytes(const image *im, size_t *size);

/* Opening it must succeed; returns the model. */
shoal_model *image_accept(const image *im);
/* Opening it must fail with SHOAL_EMODEL and a message that holds `word` (NULL: any). */
void image_refuse(const image *im, const char *word);
void image_refuse_bytes(const void *data, size_t size, int code, const char *word);

/* A file of format 1 as format 2: the same tensors, one program "base"; and back. */
void image_format_two(image *im);
void image_format_one(image *im);

/* Borrowed: a tensor's entry; an entry of the configuration's first program. */
json_t *image_tensor(const image *im, const char *name);
json_t *image_layer(const image *im, size_t index);
/* A further tensor, or another in its place, of shape [rows], or [rows, columns] if columns is not
 * 0. bytes NULL: zeros. */
void image_add(image *im, const char *name, const char *dtype, const int shape[2],
               const void *bytes);
/* A further F32 tensor [rows, columns], or [rows] if columns is 0, with these values (NULL: zeros).
 */
void image_add_tensor(image *im, const char *name, int rows, int columns, const float *values);
/* Set where a tensor begins (which 0) or ends (1). */
void image_set_offset(const image *im, const char *name, size_t which, json_int_t value);

#endif

/* model_image.h - a model file taken apart, to be damaged and put together again
 *
 * image_open reads a file into its header (a JSON tree), its configuration (the JSON text inside
 * the metadata, a tree too) and its body. Change any of them; image_bytes writes the file anew.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include <jansson.h>
#include <stddef.h>

typedef struct image {
    json_t *header;      /* owned; tensors and __metadata__ */
    json_t *config;      /* owned; NULL: leave the metadata as it is in header */
    unsigned char *body; /* owned */
    size_t body_size;
} image;

image image_open(const char *path);
void image_close(image *im);
/* The file's bytes, malloc()ed. */
unsigned char *image_bytes(const image *im, size_t *size);

/* Borrowed: a tensor's entry; the configuration's program entry. */
json_t *image_tensor(const image *im, const char *name);
json_t *image_layer(const image *im, size_t index);
/* A further tensor [rows, columns], or [rows] if columns is 0, with these values (NULL: zeros). */
void image_add_tensor(image *im, const char *name, int rows, int columns, const float *values);
/* Set where a tensor begins (which 0) or ends (1). */
void image_set_offset(const image *im, const char *name, size_t which, json_int_t value);

#endif

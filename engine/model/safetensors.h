/* safetensors.h - read a safetensors file that is wholly in memory
 *
 * Layout: u64 little-endian header length, a JSON object {name: {dtype, shape, data_offsets},
 * "__metadata__": {string: string}}, then the tensors' bytes. Everything is checked before
 * anything is believed: offsets inside the file, sizes equal to the shape's, no overlap. That the
 * bytes are those that were written is checksum.h's.
 */
#ifndef SHOAL_SAFETENSORS_H
#define SHOAL_SAFETENSORS_H

#include <stddef.h>

#define SHOAL__MAX_TENSORS 4096
#define SHOAL__MAX_RANK    4

typedef struct shoal__safetensors shoal__safetensors;

/* data must outlive the result and be aligned to 8. Returns 0, SHOAL_EMODEL or SHOAL_ENOMEM;
 * why says which tensor and what is wrong with it. */
int shoal__safetensors_parse(shoal__safetensors **out, const void *data, size_t size, char *why,
                             size_t why_size);
void shoal__safetensors_free(shoal__safetensors *st);

/* A metadata string, or NULL. */
const char *shoal__safetensors_metadata(const shoal__safetensors *st, const char *key);

/* From here on F16, BF16 and, for matrices, I8 with NAME.scale may stand for F32 (format 2). */
void shoal__safetensors_allow_narrow(shoal__safetensors *st);
/* The tensor `name` of exactly this shape as float32: a view into the file, or, where the file has
 * a narrow type, widened into memory that st owns. 0, or SHOAL_EMODEL with a reason in why when it
 * is missing, of another type or shape; SHOAL_ENOMEM. Marks it as used. */
int shoal__safetensors_f32(shoal__safetensors *st, const char *name, int rank, const int *shape,
                           const float **out, char *why, size_t why_size);
/* Free what was widened of it, if anything; its pointer is not to be used any more. */
void shoal__safetensors_drop(shoal__safetensors *st, const char *name);
int shoal__safetensors_has(const shoal__safetensors *st, const char *name);
/* Its size along an axis; 0 if there is no such tensor or axis. */
int shoal__safetensors_dim(const shoal__safetensors *st, const char *name, int axis);
/* Name of a tensor nobody asked for, or NULL: a file with leftovers is not what it claims. */
const char *shoal__safetensors_unused(const shoal__safetensors *st);
/* Values of the tensors whose names begin so; scales of I8 tensors do not count. */
size_t shoal__safetensors_elements(const shoal__safetensors *st, const char *prefix);

#endif

/* checksum.h - is this model file as it was written?
 *
 * The metadata key "crc32" holds 8 lower-case hex digits: the CRC-32 (zlib's) of the whole file,
 * taken with these digits themselves as '0'. They are the first place in the file that reads so. It
 * covers names, shapes, configuration, padding and weights alike, and finds damage, not malice: for
 * that there is the SHA-256 of the file.
 */
#ifndef SHOAL_CHECKSUM_H
#define SHOAL_CHECKSUM_H

#include <stddef.h>

#include "model/safetensors.h"

/* 1: it fits; 0: the file has none; SHOAL_EMODEL with a reason: it does not fit, or is none. */
int shoal__checksum_verify(const shoal__safetensors *st, const void *file, size_t size, char *why,
                           size_t why_size);

/* The SHA-256 of the file in 64 lower-case hex digits. */
void shoal__checksum_sha256(char out[65], const void *file, size_t size);

#endif

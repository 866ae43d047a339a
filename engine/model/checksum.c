/* checksum.c - see checksum.h */
#ifdef HAVE_CONFIG_H
#include "config.h" /* memmem */
#endif

#include "model/checksum.h"

#include <nettle/base16.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "model/explain.h"
#include "shoal.h"

enum { DIGITS = 8 };

static void digest(char out[DIGITS + 1], const char *file, size_t size, const char *digits)
{
    size_t before = (size_t)(digits - file);
    const unsigned char *rest = (const unsigned char *)digits + DIGITS;
    uLong crc = crc32_z(0, (const unsigned char *)file, before);
    crc = crc32_z(crc, (const unsigned char *)"00000000", DIGITS);
    crc = crc32_z(crc, rest, size - before - DIGITS);
    snprintf(out, DIGITS + 1, "%08lx", crc);
}

int shoal__checksum_verify(const shoal__safetensors *st, const void *file, size_t size, char *why,
                           size_t why_size)
{
    const char *said = shoal__safetensors_metadata(st, "crc32"), *at = NULL;
    char found[DIGITS + 1];
    if (!said)
        return 0;
    if (strlen(said) == DIGITS && strspn(said, "0123456789abcdef") == DIGITS)
        at = memmem(file, size, said, DIGITS);
    if (!at)
        return shoal__explain(why, why_size, SHOAL_EMODEL,
                              "metadata 'crc32' must be 8 lower-case hex digits, not '%.20s'",
                              said);
    digest(found, file, size, at);
    if (memcmp(found, said, DIGITS) == 0)
        return 1;
    return shoal__explain(why, why_size, SHOAL_EMODEL,
                          "the checksum does not fit: metadata 'crc32' says %s, the bytes give %s; "
                          "the file is damaged or was changed: copy or export it again",
                          said, found);
}

/* Nettle's uses the CPU's own instructions for it, allocates nothing and cannot fail. */
void shoal__checksum_sha256(char out[65], const void *file, size_t size)
{
    struct sha256_ctx state;
    uint8_t bytes[SHA256_DIGEST_SIZE];
    sha256_init(&state);
    sha256_update(&state, size, file);
    sha256_digest(&state, sizeof bytes, bytes);
    base16_encode_update(out, sizeof bytes, bytes);
    out[2 * sizeof bytes] = '\0';
}

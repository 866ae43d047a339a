/* kind.c - what a file is that no reader of ours takes, by its first bytes
 *
 * Where raw samples were promised sniff.c is asked instead, which must not take sound for a file.
 */
#include "shoal-wire.h"

#include <string.h>

static const struct {
    size_t at, size;
    const char *bytes, *name;
} kinds[] = {
    { 4, 4, "ftyp", "MP4, M4A or 3GP (AAC or ALAC)" },
    { 0, 4, "\x1a\x45\xdf\xa3", "WebM or Matroska" },
    { 0, 4, "\x30\x26\xb2\x75", "WMA (ASF)" },
    { 0, 5, "#!AMR", "AMR" },
    { 0, 4, "caff", "CAF with a codec that libsndfile does not have" },
    { 0, 4, "MAC ", "Monkey's Audio" },
    { 0, 4, "wvpk", "WavPack" },
    { 0, 4, "DSD ", "DSD" },
    { 0, 4, "FRM8", "DSD" },
    { 0, 2, "\x0b\x77", "AC-3" },
    { 0, 4, "ADIF", "AAC (ADIF)" },
    { 0, 4, "#EXT", "a playlist" },
    { 0, 3, "FLV", "Flash video" },
};

/* What libsndfile has of CAF. */
static int is_plain_caf(const unsigned char *head, size_t n)
{
    static const char codecs[][5] = { "lpcm", "ulaw", "alaw" };

    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (n >= 32 && !memcmp(head, "caff", 4) && !memcmp(head + 28, codecs[i], 4))
            return 1;
    return 0;
}

const char *shoal_file_kind(const void *bytes, size_t n)
{
    const unsigned char *head = bytes;

    /* ADTS: twelve bits of sync word, layer 0; MP3 has another layer. */
    if (n >= 2 && head[0] == 0xff && (head[1] & 0xf6) == 0xf0)
        return "AAC (ADTS)";
    if (n > 188 && head[0] == 0x47 && head[188] == 0x47)
        return "an MPEG transport stream";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !is_plain_caf(head, n); i++)
        if (n >= kinds[i].at + kinds[i].size &&
            !memcmp(head + kinds[i].at, kinds[i].bytes, kinds[i].size))
            return kinds[i].name;
    return NULL;
}

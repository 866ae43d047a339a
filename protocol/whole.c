/* whole.c - is all of a file there? What its header promises, in bytes, and what the pages of an
 * Ogg file say of each other
 *
 *     AU      the size of the sound stands in its head
 *     RF64    ds64 has the size of the data chunk, of 64 bits
 *     W64     its data chunk, named by a GUID, says its size, head included
 *     CAF     its data chunk says its size, or -1: up to the end
 *     SPHERE  (NIST) its header counts the samples
 *     VOC     blocks of less than 16 MiB, each with its size
 *     Ogg     a page has a checksum, a number, marks for the first and the last of a stream
 *
 * libsndfile gives what there is of all of these without a word, and of an Ogg file the first
 * recording, without what was damaged.
 */
#include "protocol-internal.h"
#include "shoal-wire.h"

#include <string.h>

/* A size that writers leave who do not know it is not below. */
static const uint64_t most_bytes = (uint64_t)1 << 40;

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t x = 0;

    for (int i = bytes; i-- > 0;)
        x = x << 8 | p[i];
    return x;
}

/* ---- what a header promises ---- */

static uint64_t au_promise(const unsigned char *h, size_t n,
                           uint64_t (*number)(const unsigned char *, int))
{
    uint64_t size = n >= 24 ? number(h + 8, 4) : 0;

    return size && size < 0x7fff0000 ? number(h + 4, 4) + size : 0;
}

static uint64_t rf64_promise(const unsigned char *h, size_t n)
{
    uint64_t size = n >= 48 && !memcmp(h + 12, "ds64", 4) ? little(h + 28, 8) : 0;

    for (size_t at = 12; at + 8 <= n; at += 8 + (size_t)((little(h + at + 4, 4) + 1) & ~1ull))
        if (!memcmp(h + at, "data", 4))
            return size ? at + 8 + size : 0;
    return 0;
}

static uint64_t w64_promise(const unsigned char *h, size_t n)
{
    for (uint64_t at = 40, size; at + 24 <= n && (size = little(h + at + 16, 8)) >= 24;
         at += (size + 7) & ~7ull) {
        if (!memcmp(h + at, "data\xf3\xac", 6))
            return size > 24 ? at + size : 0;
        if (size > n)
            break;
    }
    return 0;
}

static uint64_t caf_promise(const unsigned char *h, size_t n)
{
    for (uint64_t at = 8, size; at + 12 <= n; at += 12 + size) {
        size = shoal__big(h + at + 4, 8);
        if (!memcmp(h + at, "data", 4))
            return size < most_bytes ? at + 12 + size : 0;
        if (size > n)
            break;
    }
    return 0;
}

/* The block that is the last in sight. */
static uint64_t voc_promise(const unsigned char *h, size_t n)
{
    uint64_t at = n >= 26 ? little(h + 20, 2) : n;

    while (at + 4 <= n && h[at] != 0)
        at += 4 + little(h + at + 1, 3);
    return at > n ? at : 0;
}

/* A line of its header, "NAME -i VALUE"; 0: there is none. */
static uint64_t nist_field(const unsigned char *h, size_t n, const char *name)
{
    size_t size = strlen(name);
    const unsigned char *line = memmem(h, n, name, size);
    uint64_t x = 0;

    if (!line || memchr(h, 0, (size_t)(line - h)))
        return 0;
    for (line += size; line < h + n && *line >= '0' && *line <= '9' && x < most_bytes; line++)
        x = 10 * x + (uint64_t)(*line - '0');
    return x;
}

static uint64_t nist_promise(const unsigned char *h, size_t n)
{
    enum { HEADER = 1024, MOST_WIDTH = 8, MOST_CHANNELS = 256 };
    size_t size = n < HEADER ? n : HEADER;
    uint64_t frames = nist_field(h, size, "\nsample_count -i ");
    uint64_t width = nist_field(h, size, "\nsample_n_bytes -i ");
    uint64_t channels = nist_field(h, size, "\nchannel_count -i ");

    if (!frames || !width || width > MOST_WIDTH || channels > MOST_CHANNELS)
        return 0;
    return HEADER + frames * width * (channels ? channels : 1);
}

uint64_t shoal_file_promise(const void *head, size_t n)
{
    const unsigned char *h = head;
    uint64_t promise = 0;

    if (n < 24)
        return 0;
    if (!memcmp(h, ".snd", 4))
        promise = au_promise(h, n, shoal__big);
    else if (!memcmp(h, "dns.", 4))
        promise = au_promise(h, n, little);
    else if (!memcmp(h, "RF64", 4))
        promise = rf64_promise(h, n);
    else if (!memcmp(h, "riff\x2e\x91", 6))
        promise = w64_promise(h, n);
    else if (!memcmp(h, "caff", 4))
        promise = caf_promise(h, n);
    else if (!memcmp(h, "NIST_1A\n   1024\n", 16))
        promise = nist_promise(h, n);
    else if (!memcmp(h, "Creative Voice File\x1a", 20))
        promise = voc_promise(h, n);
    return promise < most_bytes ? promise : 0;
}

/* ---- what follows the sound ---- */

static int is_name(const unsigned char *p)
{
    for (int i = 0; i < 4; i++)
        if (p[i] < ' ' || p[i] > '~')
            return 0;
    return 1;
}

/* Chunks have names, also where the byte that pads odd ones is left out; padding is zeros. */
int shoal_is_more_sound(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t some = 0;

    if (n < 256 || is_name(p) || is_name(p + 1))
        return 0;
    for (size_t i = 0; i < n; i++)
        some += p[i] != 0;
    return some > n / 8;
}

int shoal_has_flac_head(const void *bytes, size_t n, int begins)
{
    static const unsigned char head[] = { 'f', 'L', 'a', 'C', 0, 0, 0, 34 };
    const unsigned char *p = bytes, *own = begins ? memmem(bytes, n, head, sizeof head) : NULL;

    if (own) {
        n -= (size_t)(own + sizeof head - p);
        p = own + sizeof head;
    }
    return memmem(p, n, head, sizeof head) != NULL;
}

/* ---- the pages of an Ogg file ---- */

enum { HEADER = 27, FIRST_MARK = 2, LAST_MARK = 4 };

/* Bytes of the page at p, of which n bytes are there; more than n if it is cut off. */
static size_t page_size(const unsigned char *p, size_t n)
{
    size_t segments = n >= HEADER ? p[26] : 0, size = HEADER + segments;

    for (size_t i = 0; i < segments && HEADER + i < n; i++)
        size += p[HEADER + i];
    return size;
}

int shoal_ogg_is_whole(const void *bytes, size_t n)
{
    const unsigned char *tail = bytes;

    for (size_t at = n < 4 ? 0 : n - 3; at-- > 0;)
        if (!memcmp(tail + at, "OggS", 4))
            return n - at >= HEADER && (tail[at + 5] & LAST_MARK) &&
                   page_size(tail + at, n - at) <= n - at;
    return 0;
}

/* By halves of a byte: polynomial 0x04c11db7, the highest bit first. */
static uint32_t checksum(uint32_t sum, unsigned char byte)
{
    static const uint32_t half[16] = { 0x00000000, 0x04c11db7, 0x09823b6e, 0x0d4326d9,
                                       0x130476dc, 0x17c56b6b, 0x1a864db2, 0x1e475005,
                                       0x2608edb8, 0x22c9f00f, 0x2f8ad6d6, 0x2b4bcb61,
                                       0x350c9b64, 0x31cd86d3, 0x3c8ea00a, 0x384fbdbd };

    sum ^= (uint32_t)byte << 24;
    sum = sum << 4 ^ half[sum >> 28];
    return sum << 4 ^ half[sum >> 28];
}

static size_t head_size(const shoal_ogg_pages *p)
{
    return p->size < HEADER ? HEADER : HEADER + (size_t)p->head[26];
}

/* The head is there. */
static void begin_page(shoal_ogg_pages *p)
{
    p->sum = 0;
    p->body = 0;
    for (size_t i = 0; i < p->size; i++)
        p->sum = checksum(p->sum, i >= 22 && i < 26 ? 0 : p->head[i]);
    for (size_t i = HEADER; i < p->size; i++)
        p->body += p->head[i];
}

/* Pages of headers have a position of 0: what was recorded from a station begins in the middle. */
static void end_page(shoal_ogg_pages *p)
{
    uint32_t serial = (uint32_t)little(p->head + 14, 4), number = (uint32_t)little(p->head + 18, 4);
    int first = p->head[5] & FIRST_MARK;

    p->size = 0;
    if (p->sum != little(p->head + 22, 4)) {
        p->lost = 1;
        return;
    }
    p->later |= first && p->under_way;
    p->under_way |= !first;
    p->lost |= !first && p->sounding && serial == p->serial && number != p->number + 1;
    p->sounding = little(p->head + 6, 8) != 0;
    p->ended = (p->head[5] & LAST_MARK) != 0;
    p->serial = serial;
    p->number = number;
}

/* What stands between pages is what is left of one; behind the last one it is none of the sound. */
static void find_page(shoal_ogg_pages *p, unsigned char byte)
{
    static const unsigned char magic[] = "OggS";

    if (byte == magic[p->size]) {
        p->head[p->size++] = byte;
        return;
    }
    p->lost |= p->under_way && !p->ended;
    p->size = byte == magic[0];
    p->head[0] = magic[0];
}

void shoal_ogg_look(shoal_ogg_pages *p, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;

    for (size_t i = 0; i < n && !p->later; i++) {
        if (p->body) {
            p->sum = checksum(p->sum, b[i]);
            p->body--;
        } else if (p->size < 4) {
            find_page(p, b[i]);
            continue;
        } else {
            p->head[p->size++] = b[i];
            if (p->size < head_size(p))
                continue;
            begin_page(p);
        }
        if (!p->body)
            end_page(p);
    }
}

/* ---- what came last ---- */

void shoal_tail_keep(shoal_tail *t, const void *bytes, size_t n)
{
    enum { MOST = SHOAL_OGG_TAIL_BYTES };
    const unsigned char *last = bytes;

    if (n > MOST) {
        last += n - MOST;
        n = MOST;
    }
    if (t->size + n > sizeof t->bytes) {
        memmove(t->bytes, t->bytes + t->size - MOST, MOST);
        t->size = MOST;
    }
    memcpy(t->bytes + t->size, last, n);
    t->size += n;
}

int shoal_tail_is_whole_ogg(const shoal_tail *t)
{
    size_t n = t->size < SHOAL_OGG_TAIL_BYTES ? t->size : SHOAL_OGG_TAIL_BYTES;

    return shoal_ogg_is_whole(t->bytes + t->size - n, n);
}

int shoal_tail_has_flac_head(const shoal_tail *t, uint64_t got)
{
    return shoal_has_flac_head(t->bytes, t->size, got == t->size);
}

int shoal_tail_is_more_sound(const shoal_tail *t, uint64_t got, uint64_t end)
{
    uint64_t first = got - t->size; /* byte of the tail */

    return got > end && first <= end &&
           shoal_is_more_sound(t->bytes + (end - first), (size_t)(got - end));
}

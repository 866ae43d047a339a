/* mp3.c - how long an MP3 file says it is
 *
 * Frames of MPEG audio stand one behind the other and say nothing of the file. Encoders put one in
 * front that holds no sound but a tag, "Xing" or (constant bit rate) "Info": the number of frames,
 * of bytes, and more. Before it may stand an ID3v2 tag, behind the last one ID3v1, APE or Lyrics.
 */
#include "protocol-internal.h"
#include "shoal-wire.h"

#include <string.h>

/* Layer III, with a bit rate and a sampling rate. */
static int is_frame(const unsigned char *p)
{
    return p[0] == 0xff && (p[1] & 0xe6) == 0xe2 && p[2] >> 4 != 15 && (p[2] & 0x0c) != 0x0c;
}

uint64_t shoal_mp3_tag(const void *head, size_t n)
{
    const unsigned char *p = head;

    if (n < 10 || memcmp(p, "ID3", 3) != 0)
        return 0;
    return 10 + ((uint64_t)p[6] << 21 | (uint64_t)p[7] << 14 | (uint64_t)p[8] << 7 | p[9]);
}

shoal_mp3 shoal_mp3_promise(const void *head, size_t n)
{
    enum { TAG_BYTES = 16, COUNTS_FRAMES = 1, COUNTS_BYTES = 2 };
    static const int rates[] = { 44100, 48000, 32000 };
    const unsigned char *p = head;
    shoal_mp3 m = { 0, 0 };

    for (size_t i = 0; i + 4 + 32 + TAG_BYTES <= n; i++) {
        int mpeg1 = (p[i + 1] & 0x18) == 0x18, mpeg25 = !(p[i + 1] & 0x10), rate;
        size_t side = (p[i + 3] & 0xc0) == 0xc0 ? (mpeg1 ? 17 : 9) : (mpeg1 ? 32 : 17);
        const unsigned char *tag = p + i + 4 + side;

        if (!is_frame(p + i))
            continue;
        if ((memcmp(tag, "Xing", 4) && memcmp(tag, "Info", 4)) || !(tag[7] & COUNTS_FRAMES))
            return m;
        rate = rates[p[i + 2] >> 2 & 3] >> (mpeg1 ? 0 : mpeg25 ? 2 : 1);
        m.seconds = (double)shoal__big(tag + 8, 4) * (mpeg1 ? 1152 : 576) / rate;
        m.bytes = tag[7] & COUNTS_BYTES ? i + shoal__big(tag + 12, 4) : 0;
        return m;
    }
    return m;
}

int shoal_mp3_follows(const void *bytes, size_t n)
{
    enum { ID3V1_BYTES = 128 };
    const unsigned char *p = bytes;

    if (n >= ID3V1_BYTES && !memcmp(p, "TAG", 3)) {
        p += ID3V1_BYTES;
        n -= ID3V1_BYTES;
    }
    return n >= 4 && (!memcmp(p, "ID3", 3) || is_frame(p));
}

int shoal_tail_has_mp3(const shoal_tail *t, uint64_t got, const void *head, size_t n)
{
    uint64_t first = got - t->size, tag = shoal_mp3_tag(head, n), end;

    if (tag >= n)
        return 0;
    end = shoal_mp3_promise((const unsigned char *)head + tag, n - (size_t)tag).bytes;
    end += end ? tag : 0;
    return end && first <= end && end < got &&
           shoal_mp3_follows(t->bytes + (end - first), (size_t)(got - end));
}

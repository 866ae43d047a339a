/* probe.c - recognising audio declared in the wrong format; see probe.h */
#include "work/probe.h"

#include <math.h>
#include <string.h>

enum { PROBE_MIN = 2000 };

void shoald_probe_init(shoald_probe *p, const shoal_options *o)
{
    memset(p, 0, sizeof *p);
    p->format = o->format;
    p->limit = o->rate * o->channels;
    p->watching =
        o->format == SHOAL_FORMAT_F32LE || (o->format == SHOAL_FORMAT_S16LE && o->channels == 1);
}

static void count_s16(shoald_probe *p, const unsigned char *b)
{
    unsigned v = b[0] | (unsigned)b[1] << 8;
    int odd = p->index++ & 1;
    if (v == 0)
        return;
    p->nonzero[odd]++;
    p->floatish[odd] += (v & 0x7000) == 0x3000;
}

static void count_f32(shoald_probe *p, const unsigned char *b)
{
    uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float x;
    memcpy(&x, &bits, sizeof x);
    x = fabsf(x);
    if (x == 0)
        return;
    p->nonzero[0]++;
    p->loud += x > 8.0f && x <= 65536.0f;
}

/* floats as s16: one phase is nearly all exponents, the other (mantissas) spreads evenly */
static bool looks_like_f32(const shoald_probe *p)
{
    for (int i = 0; i < 2; i++)
        if (p->nonzero[i] > PROBE_MIN && p->floatish[i] > 0.98 * p->nonzero[i] &&
            p->nonzero[!i] > PROBE_MIN / 2 && p->floatish[!i] < 0.5 * p->nonzero[!i])
            return true;
    return false;
}

static bool judge(shoald_probe *p, shoal_error *err)
{
    p->watching = false;
    if (p->format == SHOAL_FORMAT_S16LE && looks_like_f32(p))
        shoal_error_set(err, SHOAL_CODE_BAD_AUDIO_FORMAT, "format",
                        "declared as s16le, but the bytes look like 32-bit floats: use "
                        "format=f32le");
    else if (p->format == SHOAL_FORMAT_F32LE && p->nonzero[0] > PROBE_MIN &&
             p->loud > 0.5 * p->nonzero[0])
        shoal_error_set(err, SHOAL_CODE_BAD_AUDIO_FORMAT, "format",
                        "f32le samples must lie in -1..1, but most are beyond 8: divide 16-bit "
                        "values by 32768, or send them as format=s16le");
    else
        return true;
    return false;
}

bool shoald_probe_look(shoald_probe *p, const void *bytes, size_t n, shoal_error *err)
{
    const unsigned char *b = bytes;
    int width = p->format == SHOAL_FORMAT_F32LE ? 4 : 2;
    for (size_t i = 0; i < n && p->watching; i++) {
        p->part[p->part_size++] = b[i];
        if (p->part_size < width)
            continue;
        p->part_size = 0;
        width == 4 ? count_f32(p, p->part) : count_s16(p, p->part);
        if (++p->seen >= p->limit && !judge(p, err))
            return false;
    }
    return true;
}

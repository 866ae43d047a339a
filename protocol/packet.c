/* packet.c - feature packets in binary: header and [frames, dim] values, little-endian
 *
 *      0  magic "SHOL"          24  start_sample u64
 *      4  version u8 = 1        32  received u64
 *      5  kind u8               40  processed u64
 *      6  encoding u8           48  frames u16
 *      7  depth u8              50  dim u16
 *      8  header_size u16       52  queued_us u32
 *     10  flags u16             56  computed_us u32
 *     12  seq u32               60  tap u8, then zero
 *     16  first_frame u64       64  payload, or row_ms u32, zero u32 and then it
 *
 * header_size is where the payload begins: a later version-1 server may put more after byte 72
 * and old clients skip it. Bytes are shifted in and out one by one; the compiler makes single
 * loads and stores of that where the machine allows.
 */
#include "protocol-internal.h"

#include <string.h>

static const unsigned char magic[4] = { 'S', 'H', 'O', 'L' };

/* ---- little-endian ---- */

static void put(unsigned char *p, int bytes, uint64_t v)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get(const unsigned char *p, int bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* ---- half precision ---- */

/* Magnitude below 2^-14: count units of 2^-24. Adding just below half a unit, plus one if the
 * result would be odd, rounds to nearest even. */
static uint16_t subnormal_half(uint32_t mag)
{
    uint32_t shift = 126 - (mag >> 23);
    uint32_t mant = (mag & 0x7fffff) | 0x800000;

    if (shift > 24)
        return 0;
    return (uint16_t)((mant + (1u << (shift - 1)) - 1 + (mant >> shift & 1)) >> shift);
}

uint16_t shoal_f16_from_f32(float x)
{
    uint32_t u = bits_of(x), mag = u & 0x7fffffff;
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);

    if (mag > 0x7f800000)
        return sign | 0x7e00; /* NaN, quiet */
    if (mag >= 0x477ff000)
        return sign | 0x7c00; /* 65520 and up round to infinity */
    if (mag < 0x38800000)
        return sign | subnormal_half(mag);
    return sign | (uint16_t)((mag - 0x38000000 + 0xfff + (mag >> 13 & 1)) >> 13);
}

float shoal_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;

    if (mag >= 0x7c00)
        return float_of(sign | 0x7f800000 | (mag & 0x3ff) << 13);
    if (mag < 0x400) {
        float x = (float)mag * 0x1p-24f;
        return float_of(sign | bits_of(x));
    }
    return float_of(sign | ((mag << 13) + 0x38000000));
}

/* ---- encode ---- */

static size_t value_bytes(shoal_encoding e)
{
    return e == SHOAL_ENCODING_F32 ? 4 : e == SHOAL_ENCODING_F16 ? 2 : 0;
}

static const char *const kind_names[] = { NULL, "posteriors", "embedding", "hidden", "mel" };

const char *shoal_kind_name(shoal_kind k)
{
    return (unsigned)k < sizeof kind_names / sizeof *kind_names ? kind_names[k] : NULL;
}

static int depth_valid(const shoal_packet *p)
{
    int least = p->kind == SHOAL_KIND_HIDDEN || p->kind == SHOAL_KIND_MEL ? 0 : 1;

    return p->depth >= least && p->depth <= SHOAL_MAX_DEPTH;
}

int shoal__packet_valid(const shoal_packet *p)
{
    return shoal_kind_name(p->kind) && depth_valid(p) && p->tap >= 0 && p->tap <= SHOAL_MAX_DEPTH &&
           p->flags <= UINT16_MAX && p->frames >= 0 && p->frames <= SHOAL_MAX_PACKET_FRAMES &&
           p->dim >= 1 && p->dim <= SHOAL_MAX_DIM && p->first_frame <= SHOAL_MAX_COUNT &&
           p->start_sample <= SHOAL_MAX_COUNT && p->received <= SHOAL_MAX_COUNT &&
           p->processed <= SHOAL_MAX_COUNT;
}

uint32_t shoal__packet_row_ms(const shoal_packet *p)
{
    return p->row_ms ? p->row_ms : SHOAL_FRAME_MS;
}

static size_t header_bytes(const shoal_packet *p)
{
    return shoal__packet_row_ms(p) == SHOAL_FRAME_MS ? SHOAL_PACKET_HEADER
                                                     : SHOAL_PACKET_LONG_HEADER;
}

static size_t payload_bytes(const shoal_packet *p)
{
    return (size_t)p->frames * (size_t)p->dim * value_bytes(p->encoding);
}

size_t shoal_packet_size(const shoal_packet *p)
{
    if (!value_bytes(p->encoding) || !shoal__packet_valid(p))
        return 0;
    return header_bytes(p) + payload_bytes(p);
}

static void put_header(unsigned char *h, const shoal_packet *p)
{
    memcpy(h, magic, sizeof magic);
    put(h + 4, 1, 1);
    put(h + 5, 1, p->kind);
    put(h + 6, 1, p->encoding);
    put(h + 7, 1, (uint64_t)p->depth);
    put(h + 8, 2, header_bytes(p));
    put(h + 10, 2, p->flags);
    put(h + 12, 4, p->seq);
    put(h + 16, 8, p->first_frame);
    put(h + 24, 8, p->start_sample);
    put(h + 32, 8, p->received);
    put(h + 40, 8, p->processed);
    put(h + 48, 2, (uint64_t)p->frames);
    put(h + 50, 2, (uint64_t)p->dim);
    put(h + 52, 4, p->queued_us);
    put(h + 56, 4, p->computed_us);
    put(h + 60, 4, (uint64_t)p->tap);
    if (header_bytes(p) == SHOAL_PACKET_LONG_HEADER)
        put(h + 64, 8, p->row_ms);
}

int shoal_packet_encode(shoal_buf *out, const shoal_packet *p, const float *values)
{
    size_t size = shoal_packet_size(p), n = (size_t)p->frames * (size_t)p->dim;

    if (size == 0 || shoal_buf_reserve(out, size) < 0)
        return -1;
    unsigned char *h = (unsigned char *)out->data + out->size;
    unsigned char *v = h + header_bytes(p);
    put_header(h, p);
    if (p->encoding == SHOAL_ENCODING_F32)
        for (size_t i = 0; i < n; i++)
            put(v + 4 * i, 4, bits_of(values[i]));
    else
        for (size_t i = 0; i < n; i++)
            put(v + 2 * i, 2, shoal_f16_from_f32(values[i]));
    out->size += size;
    return 0;
}

/* ---- decode ---- */

static void get_header(shoal_packet *p, const unsigned char *h)
{
    *p = (shoal_packet){
        .kind = (shoal_kind)h[5],
        .encoding = (shoal_encoding)h[6],
        .depth = h[7],
        .flags = (unsigned)get(h + 10, 2),
        .seq = (uint32_t)get(h + 12, 4),
        .first_frame = get(h + 16, 8),
        .start_sample = get(h + 24, 8),
        .received = get(h + 32, 8),
        .processed = get(h + 40, 8),
        .frames = (int)get(h + 48, 2),
        .dim = (int)get(h + 50, 2),
        .queued_us = (uint32_t)get(h + 52, 4),
        .computed_us = (uint32_t)get(h + 56, 4),
        .tap = h[60],
    };
}

static int fail(shoal_error *err, const char *why)
{
    shoal_error_set(err, SHOAL_CODE_BAD_MESSAGE, NULL, "bad feature packet: %s", why);
    return -1;
}

int shoal_packet_decode(shoal_packet *p, const void *bytes, size_t size, shoal_error *err)
{
    const unsigned char *h = bytes;

    if (size < SHOAL_PACKET_HEADER)
        return fail(err, "shorter than its header");
    if (memcmp(h, magic, sizeof magic) != 0)
        return fail(err, "it does not begin with SHOL");
    if (h[4] != 1)
        return fail(err, "its version is not 1: update the client");
    if (!shoal_kind_name((shoal_kind)h[5]) || !value_bytes((shoal_encoding)h[6]))
        return fail(err, "unknown kind or encoding: update the client");
    size_t header = (size_t)get(h + 8, 2);
    if (header < SHOAL_PACKET_HEADER || header % 8 != 0)
        return fail(err, "its header size is not a multiple of 8, 64 or more");
    if (size < header)
        return fail(err, "shorter than its header");
    get_header(p, h);
    p->row_ms = header < SHOAL_PACKET_LONG_HEADER ? 0 : (uint32_t)get(h + 64, 4);
    p->row_ms = shoal__packet_row_ms(p);
    if (!shoal__packet_valid(p))
        return fail(err, "a count is out of range");
    if (size != header + payload_bytes(p))
        return fail(err, "its length is not that of frames x dim values");
    p->payload = h + header;
    return 0;
}

void shoal_packet_values(const shoal_packet *p, float *out)
{
    const unsigned char *v = p->payload;
    size_t n = (size_t)p->frames * (size_t)p->dim;

    if (p->encoding == SHOAL_ENCODING_JSON)
        memcpy(out, v, n * sizeof *out);
    else if (p->encoding == SHOAL_ENCODING_F32)
        for (size_t i = 0; i < n; i++)
            out[i] = float_of((uint32_t)get(v + 4 * i, 4));
    else
        for (size_t i = 0; i < n; i++)
            out[i] = shoal_f16_to_f32((uint16_t)get(v + 2 * i, 2));
}

/* packet_json.c - feature packets as text, for clients that would rather not parse binary
 *
 *     {"type":"features","kind":"posteriors",...,"frames":2,"dim":40,"data":[[...],[...]]}
 *
 * The same members as the binary header. About five times the bytes of f16.
 */
#include "protocol-internal.h"

typedef unsigned long long ull; /* for %llu */

static void write_header(shoal__text *t, const shoal_packet *p)
{
    shoal__text_printf(t,
                       "{\"type\":\"features\",\"kind\":\"%s\",\"seq\":%u,\"depth\":%d,"
                       "\"flags\":%u,",
                       shoal_kind_name(p->kind), p->seq, p->depth, p->flags);
    if (p->tap)
        shoal__text_printf(t, "\"tap\":%d,", p->tap);
    if (p->t0_ms > 0)
        shoal__text_printf(t, "\"t0\":%lld.%03d,", (long long)(p->t0_ms / 1000),
                           (int)(p->t0_ms % 1000));
    if (shoal__packet_row_ms(p) != SHOAL_FRAME_MS)
        shoal__text_printf(t, "\"row_ms\":%u,", p->row_ms);
    shoal__text_printf(t,
                       "\"first_frame\":%llu,\"start_sample\":%llu,\"received\":%llu,"
                       "\"processed\":%llu,",
                       (ull)p->first_frame, (ull)p->start_sample, (ull)p->received,
                       (ull)p->processed);
    shoal__text_printf(t, "\"frames\":%d,\"dim\":%d,\"queued_us\":%u,\"computed_us\":%u,",
                       p->frames, p->dim, p->queued_us, p->computed_us);
}

static void write_row(shoal__text *t, const float *row, int dim)
{
    for (int i = 0; i < dim; i++) {
        shoal__text_char(t, i ? ',' : '[');
        shoal__text_float(t, row[i]);
    }
    shoal__text_char(t, ']');
}

int shoal_packet_encode_json(shoal_buf *out, const shoal_packet *p, const float *values)
{
    shoal__text t;

    if (!shoal__packet_valid(p))
        return -1;
    shoal__text_begin(&t, out);
    write_header(&t, p);
    shoal__text_printf(&t, "\"data\":[");
    for (int i = 0; i < p->frames; i++) {
        if (i)
            shoal__text_char(&t, ',');
        write_row(&t, values + (size_t)i * (size_t)p->dim, p->dim);
    }
    shoal__text_printf(&t, "]}");
    return shoal__text_end(&t);
}

/* reply.c - see reply.h */
#include "net/reply.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_ARRAY = 64 << 20,
    MOST_ARRAYS = 256 << 20,
    NPY_HEADER = 128 /* with its magic; a multiple of 64 */
};

#define WARNING "X-Shoal-Warning"

void shoald_reply_free(shoald_reply *r)
{
    *r->array_bytes -= r->array.size;
    shoal_buf_free(&r->out);
    shoal_buf_free(&r->held);
    shoal_buf_free(&r->array);
}

/* ---- bytes --------------------------------------------------------------------------- */

static int put(shoald_reply *r, const void *bytes, size_t n)
{
    return shoal_buf_append(&r->out, bytes, n);
}

static int put_chunk(shoald_reply *r, const void *bytes, size_t n, const char *end)
{
    char size[24];
    size_t all = n + strlen(end);
    if (all == 0)
        return 0;
    snprintf(size, sizeof size, "%zx\r\n", all);
    if (r->minor > 0 && put(r, size, strlen(size)) < 0)
        return -1;
    if (put(r, bytes, n) < 0 || put(r, end, strlen(end)) < 0)
        return -1;
    return r->minor > 0 ? put(r, "\r\n", 2) : 0;
}

static void tell_warning(shoald_reply *r, shoald_answer *a)
{
    if (*r->warning)
        shoald_answer_add_line(a, WARNING ": %s", r->warning);
    *r->warning = '\0';
}

static int begin(shoald_reply *r)
{
    shoald_answer a = { .status = 200, .streams = true };
    a.type = r->taste == SHOALD_LINES ? "application/x-ndjson" : "application/octet-stream";
    shoald_answer_add_cors(&a, r->origin);
    shoald_answer_add_line(&a, "X-Accel-Buffering: no"); /* nginx passes it on as it comes */
    if (r->taste == SHOALD_PACKETS && r->minor > 0)
        shoald_answer_add_line(&a, "Trailer: " WARNING);
    tell_warning(r, &a);
    r->begun = true;
    if (shoald_answer_write_head(&r->out, &a,
                                 r->minor == 0 ? SHOALD_CLOSES_1_0
                                 : r->closes   ? SHOALD_CLOSES
                                               : SHOALD_KEEPS) < 0)
        return -1;
    return r->held.size && r->taste == SHOALD_LINES ? put_chunk(r, r->held.data, r->held.size, "\n")
                                                    : 0;
}

/* ---- messages ------------------------------------------------------------------------ */

static bool is_error(const void *bytes, size_t n, shoal_error *err)
{
    static const char start[] = "{\"type\":\"error\"";
    static shoal_server_msg m; /* large; loop thread only */
    if (n < sizeof start || memcmp(bytes, start, sizeof start - 1) != 0 ||
        shoal_server_msg_decode(&m, bytes, n, err) < 0)
        return false;
    *err = m.u.error;
    shoal_server_msg_free(&m);
    return true;
}

/* One line of text; what does not fit is left out. */
static void add_warning(shoald_reply *r, const char *text)
{
    size_t n = strlen(r->warning);
    snprintf(r->warning + n, sizeof r->warning - n, "%s%s", n ? "; " : "", text);
    for (char *c = r->warning + n; *c; c++)
        *c = *c >= ' ' && *c < 0x7f ? *c : ' ';
}

int shoald_reply_text(shoald_reply *r, const void *bytes, size_t n)
{
    shoal_error err;
    bool lines = r->taste == SHOALD_LINES;
    bool is = (!r->begun || !lines) && is_error(bytes, n, &err);
    if (is && err.fatal && !r->begun) {
        r->error = err;
        return 0;
    }
    if (is && !err.fatal && !lines)
        add_warning(r, err.message);
    if (!lines)
        return 0;
    if (!r->begun && r->held.size == 0)
        return shoal_buf_append(&r->held, bytes, n);
    if (!r->begun && begin(r) < 0)
        return -1;
    return put_chunk(r, bytes, n, "\n");
}

/* ---- an array ------------------------------------------------------------------------ */

static int add_to_array(shoald_reply *r, const void *bytes, size_t n)
{
    static const char room[NPY_HEADER];
    size_t before = r->array.size;
    if (before == 0 && shoal_buf_append(&r->array, room, sizeof room) < 0)
        return -1;
    int result = n ? shoal_buf_append(&r->array, bytes, n) : 0;
    *r->array_bytes += r->array.size - before;
    return result;
}

static int add_rows(shoald_reply *r, const void *bytes, size_t n)
{
    shoal_packet p;
    shoal_error err;
    if (shoal_packet_decode(&p, bytes, n, &err) < 0)
        return -1;
    size_t size = (size_t)p.frames * (size_t)p.dim * (p.encoding == SHOAL_ENCODING_F16 ? 2 : 4);
    r->is_large |= r->array.size + size > MOST_ARRAY || *r->array_bytes + size > MOST_ARRAYS;
    if (r->is_large)
        return 0;
    r->rows += (uint64_t)p.frames;
    r->dim = p.dim;
    r->encoding = p.encoding;
    return add_to_array(r, p.payload, size);
}

/* Format 1.0 of numpy's own description. */
static void write_npy_header(const shoald_reply *r)
{
    enum { BEFORE_TEXT = 10 };
    char text[NPY_HEADER];
    int n = snprintf(
        text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%llu, %d), }",
        r->encoding == SHOAL_ENCODING_F16 ? "<f2" : "<f4", (unsigned long long)r->rows, r->dim);
    memcpy(r->array.data, "\x93NUMPY\x01\x00", 8);
    r->array.data[8] = NPY_HEADER - BEFORE_TEXT;
    r->array.data[9] = 0;
    memset(r->array.data + BEFORE_TEXT, ' ', NPY_HEADER - BEFORE_TEXT);
    memcpy(r->array.data + BEFORE_TEXT, text, (size_t)n);
    r->array.data[NPY_HEADER - 1] = '\n';
}

/* The array is the answer's from here on, and its memory no more counted. */
static int answer_array(shoald_reply *r, shoald_answer *a)
{
    if (add_to_array(r, NULL, 0) < 0)
        return -1;
    write_npy_header(r);
    a->status = 200;
    a->type = "application/x-npy";
    shoald_answer_add_cors(a, r->origin);
    tell_warning(r, a);
    *r->array_bytes -= r->array.size;
    a->body = r->array;
    memset(&r->array, 0, sizeof r->array);
    return 0;
}

int shoald_reply_packet(shoald_reply *r, const void *bytes, size_t n)
{
    if (r->taste == SHOALD_NPY)
        return add_rows(r, bytes, n);
    if (!r->begun && begin(r) < 0)
        return -1;
    return put_chunk(r, bytes, n, "");
}

/* ---- ends ---------------------------------------------------------------------------- */

int shoald_reply_break(shoald_reply *r, shoald_answer *a)
{
    if (r->begun)
        return 1;
    if (!r->error.code)
        shoal_error_set(&r->error, SHOAL_CODE_INTERNAL, NULL, NULL);
    if (r->error.code == SHOAL_CODE_START_TIMEOUT) /* the table speaks of a message */
        shoal_error_set(&r->error, SHOAL_CODE_START_TIMEOUT, NULL,
                        "the beginning of the file did not come in time: send it right away");
    shoald_answer_add_cors(a, r->origin);
    return shoald_answer_error(a, 0, &r->error);
}

/* What there was is told all the same. */
static int end_wrongly(shoald_reply *r, const char *wrong, shoald_answer *a)
{
    char text[1024];
    shoal_buf b;
    shoal_error_set(&r->error, SHOAL_CODE_BAD_AUDIO_FORMAT, NULL, "%s", wrong);
    shoal_buf_wrap(&b, text, sizeof text);
    if (r->begun && r->taste == SHOALD_LINES &&
        (shoal_error_encode(&b, &r->error) < 0 || put_chunk(r, b.data, b.size, "\n") < 0))
        return -1;
    return shoald_reply_break(r, a);
}

static int put_last_chunk(shoald_reply *r)
{
    char text[sizeof r->warning + 64];
    int n = snprintf(text, sizeof text, "0\r\n%s%s%s\r\n", *r->warning ? WARNING ": " : "",
                     r->warning, *r->warning ? "\r\n" : "");
    return put(r, text, (size_t)n);
}

int shoald_reply_end(shoald_reply *r, const char *wrong, shoald_answer *a)
{
    if (*wrong)
        return end_wrongly(r, wrong, a);
    if (r->taste == SHOALD_NPY)
        return answer_array(r, a);
    if (!r->begun && begin(r) < 0)
        return -1;
    return r->minor > 0 ? put_last_chunk(r) : 0;
}

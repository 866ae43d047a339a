/* body.c - see body.h
 *
 * Of a chunked body every byte of framing goes through one function a place. Extensions and
 * trailers are looked at for their length and line ends only. */
#include "net/body.h"

#include <string.h>

enum { SIZE_DIGITS, EXTENSION, SIZE_END, DATA, DATA_CR, DATA_LF, TRAILER, OVER };

void shoald_body_init(shoald_body *b, bool chunked, uint64_t bytes)
{
    memset(b, 0, sizeof *b);
    b->chunked = chunked;
    b->left = chunked ? 0 : bytes;
    b->place = chunked ? SIZE_DIGITS : bytes ? DATA : OVER;
}

static int refuse(shoald_body *b, const char *why)
{
    b->why = why;
    return -1;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void begin_line(shoald_body *b, int place)
{
    b->place = place;
    b->line = 0;
    b->digits = b->cr = false;
}

static int take_size(shoald_body *b, char c)
{
    int digit = hex(c);
    if (digit >= 0) {
        if (b->left >> 52)
            return refuse(b, "a chunk's size is none");
        b->left = b->left << 4 | (uint64_t)digit;
        b->digits = true;
        return 0;
    }
    if (!b->digits || (c != ';' && c != '\r' && c != ' ' && c != '\t'))
        return refuse(b, "a chunk does not begin with its size in hexadecimal");
    b->place = c == '\r' ? SIZE_END : EXTENSION;
    return 0;
}

static int take_extension(shoald_body *b, char c)
{
    if (c == '\r')
        b->place = SIZE_END;
    else if (((unsigned char)c < ' ' && c != '\t') || c == 127)
        return refuse(b, "there is a control character in a chunk's extension");
    return 0;
}

static int take_size_end(shoald_body *b, char c)
{
    if (c != '\n')
        return refuse(b, "a chunk's size does not end with CR LF");
    begin_line(b, b->left ? DATA : TRAILER);
    return 0;
}

static int take_data_end(shoald_body *b, char c)
{
    if (c != (b->place == DATA_CR ? '\r' : '\n'))
        return refuse(b, "a chunk is longer than its size says");
    if (b->place == DATA_CR)
        b->place = DATA_LF;
    else
        begin_line(b, SIZE_DIGITS);
    return 0;
}

/* Lines up to the empty one. digits: the line has begun. */
static int take_trailer(shoald_body *b, char c)
{
    if (b->cr && c != '\n')
        return refuse(b, "there is a CR inside a trailer");
    if (c == '\n' && !b->cr)
        return refuse(b, "a trailer ends without CR LF");
    if (c == '\n' && !b->digits)
        b->place = OVER;
    b->digits = c == '\r' ? b->digits : c != '\n';
    b->cr = c == '\r';
    return 0;
}

static int take_framing(shoald_body *b, char c)
{
    size_t most = b->place == TRAILER ? SHOALD_MAX_TRAILERS : SHOALD_MAX_CHUNK_LINE;
    if (++b->line > most)
        return refuse(b, "a chunk's extensions or trailers are too long");
    switch (b->place) {
    case SIZE_DIGITS: return take_size(b, c);
    case EXTENSION: return take_extension(b, c);
    case SIZE_END: return take_size_end(b, c);
    case TRAILER: return take_trailer(b, c);
    default: return take_data_end(b, c);
    }
}

shoald_body_state shoald_body_next(shoald_body *b, const char *bytes, size_t n, size_t *framing,
                                   size_t *payload)
{
    *framing = *payload = 0;
    while (!b->why && b->place != DATA && b->place != OVER && *framing < n)
        (void)take_framing(b, bytes[(*framing)++]);
    if (b->why)
        return SHOALD_BODY_BROKEN;
    if (b->place == OVER)
        return SHOALD_BODY_WHOLE;
    if (b->place == DATA)
        *payload = b->left < n - *framing ? (size_t)b->left : n - *framing;
    return SHOALD_BODY_MORE;
}

void shoald_body_take(shoald_body *b, size_t n)
{
    b->taken += n;
    b->left -= n;
    if (n && b->left == 0)
        b->place = b->chunked ? DATA_CR : OVER;
}

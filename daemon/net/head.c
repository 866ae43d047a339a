/* head.c - see head.h; RFC 9112 for HTTP/1.1, RFC 6455 section 4 for the upgrade
 *
 * One function a kind of line, one a header that means something here (table `headers`). All others
 * are looked at for their form only. */
#include "net/head.h"

#include "shoal-protocol.h"

#include <string.h>
#include <strings.h>

/* ---- characters ---------------------------------------------------------------------- */

typedef struct span {
    const char *at;
    size_t size;
} span;

static int refuse(shoald_head *h, int status, const char *why)
{
    if (h->status == 0) {
        h->status = status;
        h->why = why;
    }
    return -1;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token_char(char c)
{
    return is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!is_token_char(s.at[i]))
            return false;
    return s.size > 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool equals(span s, const char *text)
{
    return strlen(text) == s.size && strncasecmp(s.at, text, s.size) == 0;
}

static span trim(span s)
{
    while (s.size && is_space(s.at[0]))
        s.at++, s.size--;
    while (s.size && is_space(s.at[s.size - 1]))
        s.size--;
    return s;
}

/* The next of "a, b, c"; false: there is none. */
static bool next_of_list(span *rest, span *one)
{
    if (rest->size == 0)
        return false;
    const char *comma = memchr(rest->at, ',', rest->size);
    size_t n = comma ? (size_t)(comma - rest->at) : rest->size;
    *one = trim((span){ rest->at, n });
    n += comma != NULL;
    rest->at += n;
    rest->size -= n;
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* ---- the request line ---------------------------------------------------------------- */

static shoald_method method_of(span s)
{
    static const char *const names[] = { "GET", "HEAD", "OPTIONS", "POST" };
    for (int i = 0; i < SHOALD_OTHER_METHOD; i++)
        if (strlen(names[i]) == s.size && memcmp(names[i], s.at, s.size) == 0)
            return (shoald_method)i;
    return SHOALD_OTHER_METHOD;
}

static int take_version(shoald_head *h, span s)
{
    static const char *const form = "the request line is not METHOD URL HTTP/1.1";
    if (s.size != 8 || memcmp(s.at, "HTTP/", 5) != 0 || s.at[6] != '.')
        return refuse(h, 400, form);
    if (s.at[5] < '0' || s.at[5] > '9' || s.at[7] < '0' || s.at[7] > '9')
        return refuse(h, 400, form);
    if (s.at[5] != '1')
        return refuse(h, 505, "this server speaks HTTP/1.1 only");
    h->minor = s.at[7] - '0';
    return 0;
}

/* Escapes of two hex digits, and none that hides a NUL. */
static int check_target(shoald_head *h, span s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.at[i] < '!' || s.at[i] > '~' || s.at[i] == '#')
            return refuse(h, 400, "the URL holds a character that must be percent-encoded");
        if (s.at[i] != '%')
            continue;
        if (s.size - i < 3 || hex(s.at[i + 1]) < 0 || hex(s.at[i + 2]) < 0)
            return refuse(h, 400, "the URL is not percent-encoded: % needs two hex digits");
        if (s.at[i + 1] == '0' && s.at[i + 2] == '0')
            return refuse(h, 400, "the URL holds a NUL");
    }
    return 0;
}

/* http://host/path, as proxies are asked: the host is what the Host header says. */
static span without_authority(span s)
{
    static const char *const schemes[] = { "http://", "https://", "ws://", "wss://" };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i]);
        if (s.size <= n || strncasecmp(s.at, schemes[i], n) != 0)
            continue;
        while (n < s.size && s.at[n] != '/' && s.at[n] != '?')
            n++;
        return (span){ s.at + n, s.size - n };
    }
    return s;
}

static void decode_path(shoald_head *h, span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size && n < sizeof h->path; i++) {
        bool escaped = s.at[i] == '%';
        h->path[n++] = escaped ? (char)(hex(s.at[i + 1]) << 4 | hex(s.at[i + 2])) : s.at[i];
        i += escaped ? 2 : 0;
    }
    h->path[n < sizeof h->path ? n : 0] = '\0'; /* too long for any page */
}

static int take_target(shoald_head *h, span s, const char *bytes)
{
    if (s.size > SHOALD_MAX_URL)
        return refuse(h, 414, "the URL has more than 8192 bytes: send options in a start message");
    if (check_target(h, s) < 0)
        return -1;
    span target = without_authority(s);
    bool absolute = target.at != s.at;
    const char *mark = target.size ? memchr(target.at, '?', target.size) : NULL;
    span path = { target.at, mark ? (size_t)(mark - target.at) : target.size };
    if (path.size == 0 && absolute)
        path = (span){ "/", 1 };
    if (path.size && path.at[0] == '/')
        decode_path(h, path);
    else if (h->method != SHOALD_OTHER_METHOD && !equals(path, "*"))
        return refuse(h, 400, "the URL does not begin with /");
    if (mark) {
        h->query_at = (size_t)(mark + 1 - bytes);
        h->query_length = (size_t)(target.at + target.size - (mark + 1));
    }
    return 0;
}

static int take_request_line(shoald_head *h, span line, const char *bytes)
{
    const char *first = memchr(line.at, ' ', line.size), *last = line.at + line.size;
    while (last > line.at && last[-1] != ' ')
        last--;
    if (!first || last - 1 == first || last == line.at)
        return refuse(h, 400, "the request line is not METHOD URL HTTP/1.1");
    span method = { line.at, (size_t)(first - line.at) };
    span target = { first + 1, (size_t)(last - 1 - (first + 1)) };
    if (!is_token(method))
        return refuse(h, 400, "the request's method is none");
    h->method = method_of(method);
    if (take_version(h, (span){ last, (size_t)(line.at + line.size - last) }) < 0)
        return -1;
    return take_target(h, target, bytes);
}

/* ---- headers ------------------------------------------------------------------------- */

static int take_host(shoald_head *h, span value)
{
    if (h->hosts++)
        return refuse(h, 400, "there are two Host headers");
    if (value.size >= sizeof h->host)
        return refuse(h, 400, "the Host is longer than a name can be");
    for (size_t i = 0; i < value.size; i++)
        if (!is_alnum(value.at[i]) && !strchr("-._~:[]%!$&'()*+,;=", value.at[i]))
            return refuse(h, 400, "the Host is not NAME or NAME:PORT");
    memcpy(h->host, value.at, value.size);
    h->host[value.size] = '\0';
    return 0;
}

static int take_origin(shoald_head *h, span value)
{
    if (h->origins++)
        return refuse(h, 400, "there are two Origin headers");
    if (value.size >= sizeof h->origin)
        return refuse(h, 400, "the Origin is longer than one can be");
    memcpy(h->origin, value.at, value.size);
    h->origin[value.size] = '\0';
    return 0;
}

/* Where it is, not what: nobody else needs a copy of it. */
static int take_token(shoald_head *h, span token, bool encoded)
{
    if (h->token_length)
        return refuse(h, 400, "there are two tokens: send one");
    h->token_at = (size_t)(token.at - h->bytes);
    h->token_length = token.size;
    h->token_encoded = encoded;
    return 0;
}

/* Of another scheme than Bearer it is for somebody else, a proxy perhaps. */
static int take_authorization(shoald_head *h, span value)
{
    static const char scheme[] = "Bearer";
    size_t n = sizeof scheme - 1;
    if (value.size <= n || strncasecmp(value.at, scheme, n) != 0 || !is_space(value.at[n]))
        return 0;
    return take_token(h, trim((span){ value.at + n, value.size - n }), false);
}

static int take_connection(shoald_head *h, span value)
{
    for (span one; next_of_list(&value, &one);) {
        h->close |= equals(one, "close");
        h->keep_alive |= equals(one, "keep-alive");
        h->to_upgrade |= equals(one, "upgrade");
    }
    return 0;
}

static int take_upgrade(shoald_head *h, span value)
{
    for (span one; next_of_list(&value, &one);)
        h->to_websocket |= equals(one, "websocket");
    return 0;
}

static int take_length(shoald_head *h, span value)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9' || i > 17)
            return refuse(h, 400, "the Content-Length is no number");
        bytes = bytes * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (value.size == 0 || (h->has_length && bytes != h->body_bytes))
        return refuse(h, 400, "the Content-Length is not one number");
    h->has_length = true;
    h->body_bytes = bytes;
    return 0;
}

static int take_encoding(shoald_head *h, span value)
{
    h->chunked = !h->has_encoding && equals(value, "chunked");
    h->has_encoding = true;
    return 0;
}

static int take_expect(shoald_head *h, span value)
{
    if (!equals(value, "100-continue"))
        return refuse(h, 417, "the server can meet no Expect but 100-continue");
    h->awaits_100 = true;
    return 0;
}

/* Without its parameters. */
static span media_type(span value)
{
    const char *end = memchr(value.at, ';', value.size);
    return trim((span){ value.at, end ? (size_t)(end - value.at) : value.size });
}

static int take_content_type(shoald_head *h, span value)
{
    h->is_form = equals(media_type(value), "multipart/form-data");
    return 0;
}

static int take_content_encoding(shoald_head *h, span value)
{
    h->is_packed = !equals(value, "identity");
    return 0;
}

/* The weights (;q=) of several are not looked at: who asks for one of ours asks for no other. */
static int take_accept(shoald_head *h, span value)
{
    static const struct {
        const char *type;
        shoald_taste taste;
    } tastes[] = {
        { "application/octet-stream", SHOALD_PACKETS },
        { "application/x-npy", SHOALD_NPY },
        { "application/x-ndjson", SHOALD_LINES },
        { "application/json", SHOALD_LINES },
    };
    for (span one; next_of_list(&value, &one);)
        for (size_t i = 0; i < sizeof tastes / sizeof tastes[0] && !h->taste; i++)
            if (equals(media_type(one), tastes[i].type))
                h->taste = tastes[i].taste;
    return 0;
}

/* 16 bytes: 22 characters of base64 and two that fill up. */
static int take_key(shoald_head *h, span value)
{
    if (h->keys++)
        return refuse(h, 400, "there are two Sec-WebSocket-Key headers");
    if (value.size != SHOALD_KEY_LENGTH || memcmp(value.at + 22, "==", 2) != 0)
        return 0;
    for (size_t i = 0; i < 22; i++)
        if (!is_alnum(value.at[i]) && value.at[i] != '+' && value.at[i] != '/')
            return 0;
    memcpy(h->key, value.at, SHOALD_KEY_LENGTH);
    return 0;
}

static int take_websocket_version(shoald_head *h, span value)
{
    bool again = h->websocket_version != 0;
    h->websocket_version = equals(value, "13") && !again ? 13 : -1;
    return 0;
}

static int take_subprotocols(shoald_head *h, span value)
{
    static const char token[] = SHOAL_TOKEN_SUBPROTOCOL;
    size_t n = sizeof token - 1;
    for (span one; next_of_list(&value, &one);) {
        h->offers_any |= one.size > 0;
        if (one.size > n && memcmp(one.at, token, n) == 0 &&
            take_token(h, (span){ one.at + n, one.size - n }, true) < 0)
            return -1;
        h->offers_ours |= one.size == strlen(SHOAL_SUBPROTOCOL) &&
                          memcmp(one.at, SHOAL_SUBPROTOCOL, one.size) == 0;
    }
    return 0;
}

static const struct {
    const char *name;
    int (*take)(shoald_head *h, span value);
} headers[] = {
    { "Host", take_host },
    { "Origin", take_origin },
    { "Authorization", take_authorization },
    { "Connection", take_connection },
    { "Upgrade", take_upgrade },
    { "Content-Length", take_length },
    { "Transfer-Encoding", take_encoding },
    { "Expect", take_expect },
    { "Accept", take_accept },
    { "Content-Type", take_content_type },
    { "Content-Encoding", take_content_encoding },
    { "Sec-WebSocket-Key", take_key },
    { "Sec-WebSocket-Version", take_websocket_version },
    { "Sec-WebSocket-Protocol", take_subprotocols },
};

static int take_header(shoald_head *h, span line)
{
    const char *colon = memchr(line.at, ':', line.size);
    span name = { line.at, colon ? (size_t)(colon - line.at) : line.size };
    if (is_space(line.at[0]))
        return refuse(h, 400, "a header is folded over two lines: write it in one");
    if (!colon || !is_token(name))
        return refuse(h, 400, "a header is not NAME: VALUE");
    span value = trim((span){ colon + 1, line.size - name.size - 1 });
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (equals(name, headers[i].name))
            return headers[i].take(h, value);
    return 0;
}

/* ---- the whole ----------------------------------------------------------------------- */

static int take_end(shoald_head *h, size_t size)
{
    h->size = size;
    if (h->hosts == 0 && h->minor > 0)
        return refuse(h, 400, "the Host header is missing");
    if (h->has_length && h->has_encoding)
        return refuse(h, 400, "Content-Length and Transfer-Encoding contradict each other");
    h->has_body = h->has_encoding || h->body_bytes > 0;
    h->upgrade = h->to_websocket && h->to_upgrade;
    if (h->minor == 0 && !h->keep_alive)
        h->close = true;
    return 0;
}

static int take_line(shoald_head *h, span line, const char *bytes)
{
    size_t end = (size_t)(line.at - bytes) + line.size + 2;
    if (h->headers_at == 0 && line.size == 0) { /* RFC 9112 2.2: at least one is to be ignored */
        if (h->skipped_line)
            return refuse(h, 400, "there is no request line");
        h->skipped_line = true;
        return 0;
    }
    if (h->headers_at == 0) {
        h->headers_at = end;
        return take_request_line(h, line, bytes);
    }
    return line.size ? take_header(h, line) : take_end(h, end);
}

/* What is too long is so before its end has come. */
static int check_sizes(shoald_head *h, size_t n)
{
    enum { METHOD_AND_VERSION = 32 };
    if (h->headers_at == 0 && n > SHOALD_MAX_URL + METHOD_AND_VERSION)
        return refuse(h, 414, "the URL has more than 8192 bytes: send options in a start message");
    if (h->headers_at && n - h->headers_at > SHOALD_MAX_HEADERS)
        return refuse(h, 431, "the headers have more than 8192 bytes");
    return 0;
}

static int check_char(shoald_head *h, const char *bytes, size_t at)
{
    unsigned char c = (unsigned char)bytes[at];
    if (c == '\n' && (at == h->line_at || bytes[at - 1] != '\r'))
        return refuse(h, 400, "a line ends without CR LF");
    if (c != '\n' && at > h->line_at && bytes[at - 1] == '\r')
        return refuse(h, 400, "there is a CR inside a line");
    if ((c < ' ' && c != '\r' && c != '\n' && c != '\t') || c == 127)
        return refuse(h, 400, "there is a control character in the request: is it HTTP?");
    return 0;
}

shoald_head_state shoald_head_take(shoald_head *h, const char *bytes, size_t n)
{
    h->bytes = bytes;
    while (h->status == 0 && h->size == 0 && h->scanned < n) {
        size_t at = h->scanned++;
        if (check_char(h, bytes, at) < 0 || bytes[at] != '\n')
            continue;
        span line = { bytes + h->line_at, at - 1 - h->line_at };
        if (check_sizes(h, at + 1) == 0 && take_line(h, line, bytes) == 0)
            h->line_at = at + 1;
    }
    if (h->status == 0 && h->size == 0)
        (void)check_sizes(h, n);
    return h->status ? SHOALD_HEAD_REFUSED : h->size ? SHOALD_HEAD_WHOLE : SHOALD_HEAD_PARTIAL;
}

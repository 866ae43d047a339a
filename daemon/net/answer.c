/* answer.c - see answer.h */
#include "net/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *text;
} reasons[] = {
    { 200, "OK" },
    { 204, "No Content" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 411, "Length Required" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 421, "Misdirected Request" },
    { 426, "Upgrade Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 505, "HTTP Version Not Supported" },
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Error";
}

void shoald_answer_free(shoald_answer *a)
{
    shoal_buf_free(&a->body);
    memset(a, 0, sizeof *a);
}

void shoald_answer_add_line(shoald_answer *a, const char *format, ...)
{
    size_t before = strlen(a->lines), room = sizeof a->lines - before;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(a->lines + before, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n + 2 >= room)
        a->lines[before] = '\0';
    else
        memcpy(a->lines + before + n, "\r\n", 3);
}

void shoald_answer_add_cors(shoald_answer *a, const char *origin)
{
    shoald_answer_add_line(a, "Vary: Origin");
    if (*origin)
        shoald_answer_add_line(a, "Access-Control-Allow-Origin: %s", origin);
}

int shoald_answer_text(shoald_answer *a, int status, const char *type, const char *text)
{
    a->status = status;
    a->type = type;
    return shoal_buf_append(&a->body, text, strlen(text));
}

int shoald_answer_error(shoald_answer *a, int status, const shoal_error *err)
{
    int own = shoal_code_get_info(err->code)->http_status;
    a->status = status ? status : own ? own : 500;
    a->type = "application/json";
    if (err->retry_after_ms)
        shoald_answer_add_line(a, "Retry-After: %d", (err->retry_after_ms + 999) / 1000);
    return shoal_error_encode(&a->body, err);
}

const char *shoald_answer_body(const shoald_answer *a, size_t *size)
{
    *size = a->fixed ? a->fixed_size : a->body.size;
    return a->fixed ? a->fixed : a->body.data;
}

static const char *connection_line(shoald_connection connection)
{
    static const char *const lines[] = {
        [SHOALD_KEEPS] = "",
        [SHOALD_KEEPS_1_0] = "Connection: keep-alive\r\n",
        [SHOALD_CLOSES] = "Connection: close\r\n",
        [SHOALD_CLOSES_1_0] = "Connection: close\r\n",
    };
    return lines[connection];
}

int shoald_answer_write_head(shoal_buf *out, const shoald_answer *a, shoald_connection connection)
{
    char text[1024], of_body[192] = "";
    size_t size;
    shoald_answer_body(a, &size);
    if (a->type && a->streams)
        snprintf(of_body, sizeof of_body, "Content-Type: %s\r\n%s", a->type,
                 connection == SHOALD_CLOSES_1_0 ? "" : "Transfer-Encoding: chunked\r\n");
    else if (a->type)
        snprintf(of_body, sizeof of_body, "Content-Type: %s\r\nContent-Length: %zu\r\n", a->type,
                 size);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\n%s%s"
                     "X-Content-Type-Options: nosniff\r\n%s%s\r\n",
                     a->status, reason_of(a->status), of_body,
                     strstr(a->lines, "Cache-Control:") ? "" : "Cache-Control: no-store\r\n",
                     connection_line(connection), a->lines);
    return n < 0 || n >= (int)sizeof text ? -1 : shoal_buf_append(out, text, (size_t)n);
}

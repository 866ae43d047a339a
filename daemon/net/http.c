/* http.c - small answers, each written whole with one lws_write; lws keeps what the socket does
 * not take at once. Only GET, nothing read from disk. */
#include "net/http.h"

#include "net/depths.h"
#include "net/metrics.h"
#include "session/admit.h"

#include <jansson.h>
#include <libwebsockets.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ------------------------------------------------------------------------- */

static const char *status_text(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 426: return "Upgrade Required";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    default: return "Service Unavailable";
    }
}

/* extra: more header lines, each with its CRLF, or "". 0 or -1. */
static int send_answer(shoald_conn *c, int status, const char *type, const char *extra,
                       const char *body, size_t n)
{
    char head[512];
    int m = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
                     status, status_text(status), type, n, extra);
    unsigned char *answer = malloc(LWS_PRE + (size_t)m + n);
    if (!answer)
        return -1;
    memcpy(answer + LWS_PRE, head, (size_t)m);
    memcpy(answer + LWS_PRE + m, body, n);
    int written = lws_write(c->wsi, answer + LWS_PRE, (size_t)m + n, LWS_WRITE_HTTP);
    free(answer);
    shoald_count(&c->house->stats.http_requests, 1);
    return written < 0 ? -1 : 0;
}

static int finish(shoald_conn *c, int sent)
{
    return sent < 0 || lws_http_transaction_completed(c->wsi) ? -1 : 0;
}

static int answer_text(shoald_conn *c, int status, const char *text)
{
    return finish(c, send_answer(c, status, "text/plain; charset=utf-8", "", text, strlen(text)));
}

static int answer_error(shoald_conn *c, const shoal_error *err, const char *extra)
{
    shoal_buf b = { 0 };
    int status = shoal_code_get_info(err->code)->http_status;
    int sent = shoal_error_encode(&b, err);
    if (sent == 0)
        sent = send_answer(c, status ? status : 500, "application/json", extra, b.data, b.size);
    shoal_buf_free(&b);
    return sent;
}

int shoald_http_refuse(shoald_conn *c, const shoal_error *err)
{
    char extra[96] = "Connection: close\r\n";
    if (err->retry_after_ms)
        snprintf(extra, sizeof extra, "Connection: close\r\nRetry-After: %d\r\n",
                 (err->retry_after_ms + 999) / 1000);
    return answer_error(c, err, extra) < 0 ? -1 : 1;
}

/* ---- pages --------------------------------------------------------------------------- */

static int healthz(shoald_conn *c)
{
    char text[96];
    int worker = c->house->stalled;
    if (worker < 0)
        return answer_text(c, 200, "ok\n");
    snprintf(text, sizeof text, "worker %d makes no progress\n", worker);
    return answer_text(c, 503, text);
}

static int readyz(shoald_conn *c)
{
    shoald_house *house = c->house;
    if (house->draining)
        return answer_text(c, 503, "draining\n");
    if (house->session_count >= house->settings.max_sessions)
        return answer_text(c, 503, "full\n");
    if (house->stalled >= 0)
        return answer_text(c, 503, "stalled\n");
    if (!shoald_admit_has_room(house))
        return answer_text(c, 503, "overloaded\n");
    return answer_text(c, 200, "ready\n");
}

static json_t *label_list(const shoal_model_info *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->classes; i++)
        json_array_append_new(list, json_string(m->labels[i]));
    return list;
}

/* The values of lm and durations that sessions may have. */
static json_t *decoder_list(const shoal_model_info *m)
{
    json_t *list = json_array();
    for (int i = 3; i >= 0; i--)
        if (m->decoders >> i & 1)
            json_array_append_new(list, json_pack("{ss ss}", "lm", i & 1 ? "on" : "off",
                                                  "durations", i & 2 ? "on" : "off"));
    return list;
}

static json_t *program_list(const shoal_model *m)
{
    json_t *list = json_array();
    shoal_program_info p;
    for (int i = 0; shoal_model_get_program(m, i, &p) == 0; i++)
        json_array_append_new(list, json_pack("{ss si}", "name", p.name, "depth", p.depth));
    return list;
}

/* The share of each class in training, or null. */
static json_t *prior_list(const shoal_model_info *m)
{
    json_t *list = m->priors ? json_array() : json_null();
    for (int i = 0; m->priors && i < m->classes; i++)
        json_array_append_new(list, json_real((double)m->priors[i]));
    return list;
}

static json_t *limits(const shoald_settings *s)
{
    return json_pack("{si si si si si si si}", "max_sessions", s->max_sessions,
                     "max_sessions_per_ip", s->max_sessions_per_ip, "max_message_bytes",
                     s->max_message_bytes, "max_backlog_ms", s->backlog_ms, "idle_timeout_s",
                     s->idle_timeout_s, "start_timeout_s", s->start_timeout_s,
                     "slow_reader_timeout_s", s->slow_reader_timeout_s);
}

static json_t *describe_model(const shoald_house *house)
{
    const shoal_model_info *m = house->service.info;
    int samples = m->delay_frames * m->frame_samples + m->window_extra_samples;
    return json_pack(
        "{ss ss ss sI si si si so si si si si si sf ss ss ss sb so so so}", "server", "shoald",
        "version", shoal_version(), "name", m->name, "parameters", (json_int_t)m->parameters, "dim",
        m->dim, "classes", m->classes, "depth", m->depth, "labels", label_list(m), "frame_ms",
        m->frame_samples * 1000 / m->rate, "rate", m->rate, "left_ms",
        m->left_frames * SHOAL_FRAME_MS, "max_left_ms", m->max_left_frames * SHOAL_FRAME_MS,
        "max_chunk_ms", m->max_chunk_frames * SHOAL_FRAME_MS, "look_ahead_ms",
        samples * 1000.0 / m->rate, "backend", m->backend, "kernels", m->kernels, "precision",
        m->precision, "same_in_any_company", m->row_invariant, "decoders", decoder_list(m),
        "programs", program_list(house->service.model), "limits", limits(&house->settings));
}

/* Takes page. */
static int answer_json(shoald_conn *c, json_t *page)
{
    char *text = json_dumps(page, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(page);
    if (!text)
        return -1;
    int sent = send_answer(c, 200, "application/json", "", text, strlen(text));
    free(text);
    return finish(c, sent);
}

static int model_page(shoald_conn *c)
{
    json_t *page = describe_model(c->house);
    json_object_set_new(page, "sha256", json_string(c->house->service.info->sha256));
    json_object_set_new(page, "temperature",
                        json_real((double)c->house->service.info->temperature));
    json_object_set_new(page, "priors", prior_list(c->house->service.info));
    json_object_set_new(page, "workers", json_integer(c->house->port_count));
    return answer_json(c, page);
}

static int depths_page(shoald_conn *c)
{
    return answer_json(c, shoald_depths_describe(c->house));
}

static int metrics_page(shoald_conn *c)
{
    shoal_buf b = { 0 };
    int sent = shoald_metrics_write(&b, c->house);
    if (sent == 0)
        sent = send_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", "", b.data, b.size);
    shoal_buf_free(&b);
    return finish(c, sent);
}

static const char page_format[] =
    "<!doctype html><meta charset=utf-8><title>shoald</title>\n"
    "<style>body{font:16px/1.5 sans-serif;max-width:42em;margin:3em auto;padding:0 1em}"
    "code,pre{background:#eee;padding:.1em .3em}</style>\n"
    "<h1>shoald %s</h1>\n"
    "<p>Streams speech features of the model <b>%s</b> (depths 1 to %d, %d values a frame, %d "
    "phones) over WebSocket. %d of %d sessions are open.\n"
    "<pre>shoal-file --url ws://%s --depth 6 speech.wav</pre>\n"
    "<p>Or with any WebSocket client, sending raw samples:\n"
    "<pre>ws://%s/v1/stream?rate=16000&amp;format=s16le&amp;depth=6&amp;output=phones</pre>\n"
    "<ul><li><a href=/v1/model>/v1/model</a> what the model is and the server allows\n"
    "<li><a href=/v1/depths>/v1/depths</a> what each depth costs here and what it gives\n"
    "<li><a href=/metrics>/metrics</a> for Prometheus\n"
    "<li><a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a> for supervisors</ul>\n";

/* What comes from outside gets into the page without markup. */
static void only_plain(char *text)
{
    for (char *p = text; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[] ", *p))
            *p = '_';
}

static void copy_host(shoald_conn *c, char *host, size_t size)
{
    if (lws_hdr_copy(c->wsi, host, (int)size, WSI_TOKEN_HOST) <= 0)
        snprintf(host, size, "HOST:PORT");
    only_plain(host);
}

static int front_page(shoald_conn *c)
{
    const shoald_house *house = c->house;
    char host[128], name[80], page[2048];
    copy_host(c, host, sizeof host);
    snprintf(name, sizeof name, "%s", house->service.info->name);
    only_plain(name);
    int n =
        snprintf(page, sizeof page, page_format, shoal_version(), name, house->service.info->depth,
                 house->service.info->dim, house->service.info->classes, house->session_count,
                 house->settings.max_sessions, host, host);
    return finish(c, send_answer(c, 200, "text/html; charset=utf-8", "", page, (size_t)n));
}

static int stream_page(shoald_conn *c)
{
    static const char text[] = "this is a WebSocket endpoint: connect with ws://, not http://\n";
    return finish(
        c, send_answer(c, 426, "text/plain", "Upgrade: websocket\r\n", text, sizeof text - 1));
}

/* ---- routing ------------------------------------------------------------------------- */

static const struct {
    const char *path;
    int (*answer)(shoald_conn *c);
} routes[] = {
    { "/", front_page },           { "/healthz", healthz },      { "/readyz", readyz },
    { "/v1/model", model_page },   { "/metrics", metrics_page }, { SHOAL_PATH, stream_page },
    { "/v1/depths", depths_page },
};

int shoald_http_answer(shoald_conn *c, const char *path)
{
    shoal_error err;
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_GET_URI) == 0) {
        send_answer(c, 405, "text/plain", "Allow: GET\r\nConnection: close\r\n", "only GET\n", 9);
        return -1;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strcmp(path, routes[i].path) == 0)
            return routes[i].answer(c);
    shoal_error_set(&err, SHOAL_CODE_NOT_FOUND, NULL, NULL);
    return finish(c, answer_error(c, &err, ""));
}

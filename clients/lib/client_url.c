/* client_url.c - ws://HOST[:PORT][/path][?query] -> host, port, path, options
 *
 * The query is taken out of the URL and travels in the start message instead: the server's
 * answer to a bad option is then an error message with its remedy, where a refused upgrade
 * would leave no more than an HTTP status.
 */
#include "lib/client_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WSS_PORT = 443 };

static int complain(const char *url, const char *what, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s: %s; use ws://HOST:PORT, such as ws://127.0.0.1:%d", url, what,
             SHOAL_DEFAULT_PORT);
    return SHOAL_CLIENT_EURL;
}

/* Copy [from, to) into room bytes; -1 if it is empty or does not fit. */
static int copy_part(char *out, size_t room, const char *from, const char *to)
{
    size_t n = (size_t)(to - from);

    if (!n || n >= room)
        return -1;
    memcpy(out, from, n);
    out[n] = 0;
    return 0;
}

static int parse_port(int *port, const char *from, const char *to)
{
    long value = 0;

    if (from == to || to - from > 5)
        return -1;
    for (; from < to; from++) {
        if (*from < '0' || *from > '9')
            return -1;
        value = value * 10 + (*from - '0');
    }
    *port = (int)value;
    return value >= 1 && value <= 65535 ? 0 : -1;
}

/* HOST, HOST:PORT, [v6]:PORT in [p, end); NULL, or what is wrong. */
static const char *parse_authority(shoal__url *u, const char *p, const char *end)
{
    const char *host_end, *colon;

    if (memchr(p, '@', (size_t)(end - p)))
        return "a user name or password in the URL is not supported";
    if (p < end && *p == '[') {
        host_end = memchr(p, ']', (size_t)(end - p));
        if (!host_end)
            return "the ']' after the IPv6 address is missing";
        colon = host_end + 1;
        p++;
    } else {
        colon = memchr(p, ':', (size_t)(end - p));
        host_end = colon ? colon : end;
        colon = host_end;
    }
    if (copy_part(u->host, sizeof u->host, p, host_end) < 0)
        return "the host name is missing or too long";
    if (colon < end && (*colon != ':' || parse_port(&u->port, colon + 1, end) < 0))
        return "the port must be a number from 1 to 65535";
    return NULL;
}

static int parse_query(shoal__url *u, const char *query, char *why, size_t why_size)
{
    shoal_error err;

    if (shoal_options_parse_query(&u->options, query, strlen(query), &err) == 0)
        return 0;
    snprintf(why, why_size, "in the URL: %s", err.message);
    return SHOAL_CLIENT_EURL;
}

static int parse_path(shoal__url *u, const char *p, const char *url, char *why, size_t why_size)
{
    const char *end = p + strcspn(p, "?");

    if (strchr(p, '#'))
        return complain(url, "a '#' has no meaning here", why, why_size);
    if (end - p <= 1)
        snprintf(u->path, sizeof u->path, "%s", SHOAL_PATH);
    else if (copy_part(u->path, sizeof u->path, p, end) < 0)
        return complain(url, "the path is too long", why, why_size);
    u->options = shoal_options_default();
    return *end ? parse_query(u, end + 1, why, why_size) : 0;
}

int shoal__url_parse(shoal__url *u, const char *url, char *why, size_t why_size)
{
    const char *p, *end, *wrong;

    memset(u, 0, sizeof *u);
    u->tls = !strncmp(url, "wss://", 6);
    if (!u->tls && strncmp(url, "ws://", 5))
        return complain(url, "it does not begin with ws:// or wss://", why, why_size);
    for (p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return complain(url, "it holds a blank or a control character", why, why_size);
    u->port = u->tls ? WSS_PORT : SHOAL_DEFAULT_PORT;
    p = url + (u->tls ? 6 : 5);
    end = p + strcspn(p, "/?#");
    wrong = parse_authority(u, p, end);
    return wrong ? complain(url, wrong, why, why_size) : parse_path(u, end, url, why, why_size);
}

const char *shoal__proxy_wrong(const char *proxy)
{
    if (proxy && !strncmp(proxy, "http://", 7))
        proxy += 7;
    const char *colon = proxy ? strrchr(proxy, ':') : NULL;

    if (!proxy || (colon && colon > proxy && atoi(colon + 1) > 0 && !strchr(proxy, '/')))
        return NULL;
    return "the proxy must be HOST:PORT or http://HOST:PORT";
}

int shoal__where_check(const char *url, const char *proxy, char *why, size_t why_size)
{
    const char *wrong = shoal__proxy_wrong(proxy);
    shoal__url u;

    if (shoal__url_parse(&u, url, why, why_size) < 0)
        return -1;
    if (wrong)
        snprintf(why, why_size, "%s, not %s", wrong, proxy);
    return wrong ? -1 : 0;
}

static void take_depth(shoal_options *o, const shoal_options *over)
{
    o->depth_min = over->depth_min;
    o->depth_max = over->depth_max;
}

int shoal__options_merge(shoal_options *o, const shoal_options *over, char *why, size_t why_size)
{
    shoal_error err;

#define TAKE(bit, field)                                                                           \
    if (over->given & SHOAL_OPT_##bit)                                                             \
    o->field = over->field
    TAKE(FORMAT, format);
    TAKE(RATE, rate);
    TAKE(CHANNELS, channels);
    TAKE(CHUNK_MS, chunk_ms);
    TAKE(LEFT_MS, left_ms);
    TAKE(ATTENTION, attention);
    TAKE(ENCODING, encoding);
    TAKE(ACTIVITY_THRESHOLD, activity_threshold);
    TAKE(ACTIVITY_HANGOVER_MS, activity_hangover_ms);
    TAKE(LM, lm);
    TAKE(DURATIONS, durations);
    TAKE(SETTLE_MS, settle_ms);
    TAKE(SETTLE_SILENCE_MS, settle_silence_ms);
    TAKE(TENTATIVE, tentative);
    TAKE(PRECISION, precision);
    TAKE(EVERY, every);
    TAKE(POOL, pool);
    TAKE(CHANNEL, channel);
    TAKE(T0, t0_ms);
    TAKE(ACTIVITY_MIN_MS, activity_min_ms);
    TAKE(ACTIVITY_MAX_MS, activity_max_ms);
    TAKE(ACTIVITY_PAD_MS, activity_pad_ms);
    TAKE(SMOOTH, smooth);
#undef TAKE
    if (over->given & SHOAL_OPT_OUTPUT)
        shoal_options_copy_outputs(o, over);
    if (over->given & SHOAL_OPT_DEPTH)
        take_depth(o, over);
    if (over->given & SHOAL_OPT_PROGRAM)
        memcpy(o->program, over->program, sizeof o->program);
    if (over->given & SHOAL_OPT_MODEL)
        memcpy(o->model, over->model, sizeof o->model);
    o->given |= over->given;
    if (shoal_options_finish(o, &err) == 0 && shoal_options_check(o, &err) == 0)
        return 0;
    snprintf(why, why_size, "%s", err.message);
    return SHOAL_CLIENT_EINVAL;
}

/* client_failure.c - see client_failure.h
 *
 * A server with no room says so by HTTP 503 or 429, by an error message and close code 1013, or by
 * the code alone; a restart by 503, by `draining` and 1012, or by the code alone. The cause is
 * the same, so a program asks for the cause and waits for retry_ms.
 */
#include "lib/client_failure.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    /* When nobody said how long to wait: long enough to be no burden, short for a person. */
    RETRY_SOON_MS = 500,
    RETRY_LATER_MS = 2000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_RESTART = 1012,
    CLOSE_TRY_LATER = 1013
};

static int default_retry_ms(shoal_client_cause cause)
{
    switch (cause) {
    case SHOAL_CLIENT_FULL:
    case SHOAL_CLIENT_UNREACHABLE: return RETRY_LATER_MS;
    case SHOAL_CLIENT_RESTARTING:
    case SHOAL_CLIENT_LOST: return RETRY_SOON_MS;
    default: return -1;
    }
}

static shoal_client_cause cause_of_code(const shoal_error *e)
{
    switch (e->code) {
    case SHOAL_CODE_OVERLOADED:
    case SHOAL_CODE_TOO_MANY_SESSIONS:
    case SHOAL_CODE_BACKLOG: return SHOAL_CLIENT_FULL;
    case SHOAL_CODE_DRAINING:
    case SHOAL_CODE_SHUTDOWN: return SHOAL_CLIENT_RESTARTING;
    case SHOAL_CODE_IDLE_TIMEOUT:
    case SHOAL_CODE_SLOW_READER:
    case SHOAL_CODE_START_TIMEOUT: return SHOAL_CLIENT_LOST;
    case SHOAL_CODE_INTERNAL: return SHOAL_CLIENT_BROKEN;
    default: return e->retry ? SHOAL_CLIENT_FULL : SHOAL_CLIENT_REJECTED;
    }
}

shoal_client_failure shoal__failure_of_error(const shoal_error *e)
{
    shoal_client_failure f = { .cause = cause_of_code(e), .error = *e };

    f.retry_ms = !e->retry ? -1 : e->retry_after_ms ? e->retry_after_ms : default_retry_ms(f.cause);
    if (e->retry && f.retry_ms < 0)
        f.retry_ms = RETRY_LATER_MS;
    return f;
}

static void name_it(shoal_client_failure *f, const char *name)
{
    snprintf(f->error.name, sizeof f->error.name, "%s", name);
    f->error.fatal = 1;
    f->error.retry = f->retry_ms >= 0;
}

shoal_client_failure shoal__failure_of_local(shoal_client_cause cause, const char *name,
                                             const char *fmt, va_list args)
{
    shoal_client_failure f = { .cause = cause, .retry_ms = default_retry_ms(cause) };

    vsnprintf(f.error.message, sizeof f.error.message, fmt, args);
    name_it(&f, name);
    return f;
}

/* ---- a refused upgrade ---- */

static shoal_client_cause cause_of_status(int status)
{
    if (status == 503 || status == 429)
        return SHOAL_CLIENT_FULL;
    return status >= 500 ? SHOAL_CLIENT_BROKEN : SHOAL_CLIENT_REJECTED;
}

/* What a status means where only one error of the protocol has it. */
static const char *remedy_of(int status)
{
    const char *message = NULL;

    if (status == 503)
        return "it takes no more sessions now (overloaded, full or restarting): try again later";
    if (status == 429)
        return "it has enough of this address, or of this token: close a session, "
               "or try again later";
    if (status == 401)
        return "it wants a token, and this one is missing or wrong: --token-file FILE or "
               "SHOAL_TOKEN of "
               "our programs, params.token";
    if (status == 421)
        return "it does not answer to this host name: use its address, or have it added to hosts";
    for (int i = 1; i < SHOAL_CODE_COUNT; i++) {
        const shoal_code_info *info = shoal_code_get_info((shoal_code)i);

        if (info->http_status == status && message)
            return "it did not like the request; its log says more";
        if (info->http_status == status)
            message = info->message;
    }
    return message ? message : "is this a shoal server? Check host, port and path";
}

shoal_client_failure shoal__failure_of_status(int status, int retry_after_s, const char *peer)
{
    shoal_client_failure f = { .cause = cause_of_status(status), .http_status = status };

    f.retry_ms = default_retry_ms(f.cause);
    if (status >= 500 && f.retry_ms < 0)
        f.retry_ms = RETRY_LATER_MS;
    if (f.retry_ms >= 0 && retry_after_s > 0)
        f.retry_ms = f.error.retry_after_ms =
            retry_after_s < INT_MAX / 1000 ? retry_after_s * 1000 : INT_MAX;
    snprintf(f.error.message, sizeof f.error.message,
             "%s refused the session with HTTP status %d: %s", peer, status, remedy_of(status));
    name_it(&f, "upgrade_refused");
    return f;
}

/* ---- a Close ---- */

static void explain_close(shoal_client_failure *f, const char *what, const char *reason,
                          const char *peer)
{
    snprintf(f->error.message, sizeof f->error.message,
             "the server %s closed the session before it was done (close code %d%s%s): %s", peer,
             f->close_code, *reason ? ": " : "", reason, what);
    name_it(f, "closed_early");
}

static void explain_lost(shoal_client_failure *f, const char *peer)
{
    snprintf(f->error.message, sizeof f->error.message,
             "the connection to %s was lost: the server died or was stopped, the network failed, "
             "or this program read nothing for too long; start the session again",
             peer);
    name_it(f, "connection_lost");
}

shoal_client_failure shoal__failure_of_close(int code, const char *reason, const char *peer)
{
    shoal_client_failure f = { .cause = SHOAL_CLIENT_LOST, .close_code = code };

    if (code == CLOSE_TRY_LATER)
        f.cause = SHOAL_CLIENT_FULL;
    if (code == CLOSE_RESTART || code == CLOSE_GOING_AWAY)
        f.cause = SHOAL_CLIENT_RESTARTING;
    f.retry_ms = default_retry_ms(f.cause);
    if (!code || code == SHOAL_CLIENT_HUNG_UP)
        explain_lost(&f, peer);
    else if (f.cause == SHOAL_CLIENT_FULL)
        explain_close(&f, "it takes no more sessions now; try again later", reason, peer);
    else if (f.cause == SHOAL_CLIENT_RESTARTING)
        explain_close(&f, "it restarts; start the session again", reason, peer);
    else
        explain_close(&f, "its log says why; start the session again", reason, peer);
    return f;
}

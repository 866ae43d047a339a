/* client_failure.h - how a session failed, whatever the road that told it; pure
 *
 *     an error message, the status of a refused upgrade, a close code, a socket that broke
 *         -> one shoal_client_failure: cause, what to do next
 */
#ifndef SHOAL_CLIENT_FAILURE_H
#define SHOAL_CLIENT_FAILURE_H

#include <stdarg.h>

#include "shoal-client.h"

/* Of the server's error message. */
shoal_client_failure shoal__failure_of_error(const shoal_error *e);
/* Of an upgrade refused with an HTTP status; retry_after_s of the header, 0: none. peer: for the
 * message, "host:port". */
shoal_client_failure shoal__failure_of_status(int status, int retry_after_s, const char *peer);
/* Of a Close before done. code 0: the connection ended without one. */
shoal_client_failure shoal__failure_of_close(int code, const char *reason, const char *peer);
/* Of this side: name as in shoal-client.h. */
shoal_client_failure shoal__failure_of_local(shoal_client_cause cause, const char *name,
                                             const char *fmt, va_list args);

#endif

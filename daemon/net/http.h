/* http.h - the plain HTTP side of the port: /, /healthz, /readyz, /v1/model, /v1/depths,
 * /metrics */
#ifndef SHOALD_HTTP_H
#define SHOALD_HTTP_H

#include "net/conn.h"

/* LWS_CALLBACK_HTTP. Returns what the callback returns. */
int shoald_http_answer(shoald_conn *c, const char *path);
/* Answer an upgrade with an error: status, Retry-After, JSON body. Returns what
 * LWS_CALLBACK_HTTP_CONFIRM_UPGRADE returns for "answered". */
int shoald_http_refuse(shoald_conn *c, const shoal_error *err);

#endif

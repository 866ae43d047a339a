/* client_get.h - one page of a shoal server, by HTTP; blocks */
#ifndef SHOAL_CLIENT_GET_H
#define SHOAL_CLIENT_GET_H

#include <stddef.h>

#include "lib/client_tls.h"
#include "shoal-protocol.h"

/* As in shoal_client_params; token may be NULL. session: whose pages are asked for, those of the
 * model and program that a session of this URL and these options has; NULL: of the URL's. */
typedef struct shoal__server {
    const char *url, *token;
    const shoal_options *session;
    shoal__tls_files tls;
} shoal__server;

/* url: as for shoal_client_open; its path does not matter. page: "/v1/depths".
 * most: bytes of the body at most. Returns the body with a NUL behind it, which the caller frees;
 * NULL with cause in why: nobody answers within timeout_ms, another status than 200, too long. */
char *shoal__get(const shoal__server *server, const char *page, size_t most, int timeout_ms,
                 char *why, size_t why_size);

#endif

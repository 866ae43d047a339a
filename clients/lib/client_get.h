/* client_get.h - one page of a shoal server, by HTTP; blocks */
#ifndef SHOAL_CLIENT_GET_H
#define SHOAL_CLIENT_GET_H

#include <stddef.h>

#include "lib/client_tls.h"

/* As in shoal_client_params; token may be NULL. model: whose pages, as the option of that name has
 * it; NULL or "": the server's default. */
typedef struct shoal__server {
    const char *url, *token, *model;
    shoal__tls_files tls;
} shoal__server;

/* url: as for shoal_client_open; its path and query do not matter. page: "/v1/depths".
 * most: bytes of the body at most. Returns the body with a NUL behind it, which the caller frees;
 * NULL with cause in why: nobody answers within timeout_ms, another status than 200, too long. */
char *shoal__get(const shoal__server *server, const char *page, size_t most, int timeout_ms,
                 char *why, size_t why_size);

#endif

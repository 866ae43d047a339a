/* client_url.h - ws://HOST[:PORT][/path][?query] -> host, port, path, options; pure */
#ifndef SHOAL_CLIENT_URL_H
#define SHOAL_CLIENT_URL_H

#include "shoal-client.h"

typedef struct shoal__url {
    int tls;
    char host[256]; /* without brackets */
    int port;
    char path[512];
    shoal_options options; /* of the query */
} shoal__url;

/* Returns 0 or SHOAL_CLIENT_EURL with cause and remedy in why. */
int shoal__url_parse(shoal__url *u, const char *url, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* What is wrong with a proxy's address; NULL: nothing. */
const char *shoal__proxy_wrong(const char *proxy);
/* For a command line, before anything is opened: 0, or -1 with cause and remedy in why. proxy may
 * be NULL. */
int shoal__where_check(const char *url, const char *proxy, char *why, size_t why_size)
    __attribute__((warn_unused_result));
/* Fields of over->given on top of *o; checked. SHOAL_CLIENT_EINVAL: cause in why. */
int shoal__options_merge(shoal_options *o, const shoal_options *over, char *why, size_t why_size)
    __attribute__((warn_unused_result));

#endif

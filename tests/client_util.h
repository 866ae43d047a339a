/* client_util.h - what tests of libshoal-client against a fake server share */
#ifndef CLIENT_UTIL_H
#define CLIENT_UTIL_H

#include "shoal-client.h"

enum { PATIENCE_MS = 20000 };

/* params NULL: the defaults. */
shoal_client *connect_to(int port, const shoal_client_params *params);
shoal_client *connect_to_host(const char *host, int port, const shoal_client_params *params);
/* The next event; fails the test if none comes. */
shoal_client_event next(shoal_client *c);
shoal_client_event expect(shoal_client *c, shoal_client_event_type type);
/* ERROR with this name, a text that mentions remedy, then CLOSED, then nothing for ever. Frees c.
 */
shoal_client_failure expect_failure(shoal_client *c, const char *name, const char *remedy);

#endif

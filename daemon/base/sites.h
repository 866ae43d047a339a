/* sites.h - by which name, and from which page, a browser may use this server; pure
 *
 * A browser goes where any page sends it. Two headers, which no page can forge, say what is behind
 * a request: Origin, the page's own address, and Host, the name by which it found the server. The
 * second tells of DNS rebinding: a page's own name may be made to mean 127.0.0.1. An address and
 * localhost cannot, so those are good as they are.
 */
#ifndef SHOALD_SITES_H
#define SHOALD_SITES_H

#include <stdbool.h>
#include <stddef.h>

enum { SHOALD_SITES_LENGTH = 512 };

/* Lists as settings have them, with commas or blanks between. 0, or -1 and why.
 * hosts: NAME, NAME:PORT or *. origins: SCHEME://HOST[:PORT], null or *. */
int shoald_sites_check_hosts(const char *list, char *why, size_t why_size);
int shoald_sites_check_origins(const char *list, char *why, size_t why_size);

/* host: what a Host header says, "" if there was none (no browser leaves it out). */
bool shoald_sites_has_host(const char *list, const char *host);
/* Of this server's own pages, of a loopback name where the server was asked by one, or listed. */
bool shoald_sites_has_origin(const char *list, const char *origin, const char *host);

#endif

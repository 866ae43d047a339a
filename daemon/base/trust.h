/* trust.h - a list of addresses, as settings have it: "127.0.0.1, 10.0.0.0/8, ::1, unix" */
#ifndef SHOALD_TRUST_H
#define SHOALD_TRUST_H

#include "base/peer.h"

#include <stddef.h>

enum { SHOALD_TRUST_LENGTH = 512 };

/* 0, or -1 and why: what in it is no address. "" has none. */
int shoald_trust_check(const char *list, char *why, size_t why_size);
bool shoald_trust_has(const char *list, const shoald_peer *peer);

#endif

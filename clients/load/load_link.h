/* load_link.h - a session's bytes, in and out of its socket: as they are, or through TLS (wss)
 *
 * As send and recv on a socket that does not block, with one errno more: EALREADY, nothing can go
 * out before something has come in (the handshake).
 */
#ifndef SHOAL_LOAD_LINK_H
#define SHOAL_LOAD_LINK_H

#include <sys/types.h>
#include <sys/uio.h>

#include "load/load.h"

/* What all sessions of a run share. Returns 0, or -1 with cause and remedy in why. */
int load_link_prepare(load_run *run, char *why, size_t why_size);
void load_link_forget(load_run *run);

/* The socket is connected. Returns 0, or -1: out of memory. */
int load_link_open(load_session *s);
void load_link_close(load_session *s);
/* After -1 the very same bytes, and maybe more behind them, must come next: TLS may hold the
 * beginning. */
ssize_t load_link_send(load_session *s, const struct iovec *v, int count);
ssize_t load_link_receive(load_session *s, void *bytes, size_t n);
/* There is more to receive although the socket may have no more. */
int load_link_holds(const load_session *s);
/* 1: it was TLS that broke, why says how; 0: it was the socket. */
int load_link_explain(load_session *s, char *why, size_t why_size);

#endif

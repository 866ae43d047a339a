/* client_tls.h - what wss needs to know: whom to trust, who we are, and why the server said no
 *
 *     files -> one OpenSSL context -> libwebsockets (client_ws, client_get), or a program's own
 *              |                       sockets (shoal-load)
 *              +-- notes the last alert that the other side sent: libwebsockets keeps it to itself
 *
 * Files are read once, when the context is made. Their faults are told by name then, instead of as
 * a handshake that fails. One thread.
 */
#ifndef SHOAL_CLIENT_TLS_H
#define SHOAL_CLIENT_TLS_H

#include <stddef.h>

struct shoal_client_params;
struct ssl_ctx_st;
struct ssl_st;
typedef struct shoal__tls shoal__tls;

/* As in shoal_client_params; each may be NULL. Views. */
typedef struct shoal__tls_files {
    const char *ca, *cert, *key;
} shoal__tls_files;

/* What a program was given, to what it opens a session with. */
void shoal__tls_tell(const shoal__tls_files *f, struct shoal_client_params *p);

/* wss: that is what the URL begins with; else *out is NULL, and files are refused: who names them
 * means to be safe. Returns 0, or SHOAL_CLIENT_EINVAL, _ENOMEM with cause and remedy in why. */
int shoal__tls_new(shoal__tls **out, int wss, const shoal__tls_files *files, char *why,
                   size_t why_size) __attribute__((warn_unused_result));
void shoal__tls_free(shoal__tls *t); /* NULL is fine; connections that stand keep what they need */
/* For libwebsockets, or SSL_new. t may be NULL: NULL. */
struct ssl_ctx_st *shoal__tls_context(const shoal__tls *t);
/* A connection broke while something was sent: the alert that says why may have come and not been
 * read. t and ssl may be NULL. */
void shoal__tls_hear_out(const shoal__tls *t, struct ssl_st *ssl);
/* 1: the other side has refused a connection because of our certificate, or the lack of one, since
 * this was last asked: why says so and what to do. peer: "host:port". t may be NULL: 0. */
int shoal__tls_refused(shoal__tls *t, const char *peer, char *why, size_t why_size);
/* 1: these words of libwebsockets (n bytes) are of a handshake that the other side did not answer
 * in TLS. t may be NULL: 0. */
int shoal__tls_is_none(const shoal__tls *t, const char *words, size_t n);

#endif

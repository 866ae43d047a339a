/* load_link.c - see load_link.h
 *
 * TLS copies: a packet's header and audio become one record, for two would be twice the work for
 * both sides. OpenSSL checks the server as libshoal-client does: its chain and its name.
 */
#include "load/load_link.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD_BYTES = LOAD_WS_HEADER + 65536 }; /* a packet: load_ws_header takes no more */

int load_link_prepare(load_run *run, char *why, size_t why_size)
{
    if (shoal__tls_new(&run->tls, run->o->wss, &run->o->server.tls, why, why_size) < 0)
        return -1;
    if (!run->o->wss)
        return 0;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to its sockets by write */
    run->record = malloc(RECORD_BYTES);
    if (!run->record)
        snprintf(why, why_size, "out of memory: use fewer --sessions");
    return run->record ? 0 : -1;
}

void load_link_forget(load_run *run)
{
    shoal__tls_free(run->tls);
    free(run->record);
}

/* The certificate must be for the host of the URL, by its name or its address. */
static int expect(SSL *tls, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1)
        return 1;
    return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

int load_link_open(load_session *s)
{
    SSL_CTX *context = shoal__tls_context(s->run->tls);

    if (!context)
        return 0;
    ERR_clear_error();
    s->tls = SSL_new(context);
    if (!s->tls || !expect(s->tls, s->run->o->host) || SSL_set_fd(s->tls, s->fd) != 1)
        return -1;
    SSL_set_mode(s->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                             SSL_MODE_RELEASE_BUFFERS);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF /* whether results are whole is told by `done` */
    SSL_set_options(s->tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    SSL_set_connect_state(s->tls);
    return 0;
}

void load_link_close(load_session *s)
{
    SSL_free(s->tls);
    s->tls = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* What r means that SSL_read or SSL_write returned; ERR_clear_error went before them. */
static ssize_t result(load_session *s, int r)
{
    int error = errno;

    switch (SSL_get_error(s->tls, r)) {
    case SSL_ERROR_NONE: return r;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; break;
    case SSL_ERROR_WANT_READ: errno = EALREADY; break;
    case SSL_ERROR_SYSCALL: errno = error ? error : ECONNRESET; break;
    default: errno = EPROTO;
    }
    return -1;
}

static size_t join(uint8_t *to, const struct iovec *v, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++) {
        memcpy(to + n, v[i].iov_base, v[i].iov_len);
        n += v[i].iov_len;
    }
    return n;
}

ssize_t load_link_send(load_session *s, const struct iovec *v, int count)
{
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)count };
    const void *bytes = v->iov_base;
    size_t n = v->iov_len;

    if (!s->tls)
        return sendmsg(s->fd, &m, MSG_NOSIGNAL);
    if (count > 1) {
        n = join(s->run->record, v, count);
        bytes = s->run->record;
    }
    ERR_clear_error();
    errno = 0;
    return result(s, SSL_write(s->tls, bytes, (int)n));
}

ssize_t load_link_receive(load_session *s, void *bytes, size_t n)
{
    ssize_t got;

    if (!s->tls)
        return recv(s->fd, bytes, n, 0);
    ERR_clear_error();
    errno = 0;
    got = result(s, SSL_read(s->tls, bytes, (int)n));
    if (got < 0 && errno == EALREADY)
        errno = EAGAIN; /* nothing has come, as ever */
    return got;
}

int load_link_holds(const load_session *s)
{
    return s->tls && SSL_pending(s->tls) > 0;
}

int load_link_explain(load_session *s, char *why, size_t why_size)
{
    const load_options *o = s->run->o;
    unsigned long error = ERR_peek_error();
    char peer[300];
    long verdict;

    if (!s->tls)
        return 0;
    snprintf(peer, sizeof peer, "%s:%d", o->host, o->port);
    shoal__tls_hear_out(s->run->tls, s->tls);
    if (shoal__tls_refused(s->run->tls, peer, why, why_size))
        return 1;
    verdict = SSL_get_verify_result(s->tls);
    if (verdict != X509_V_OK)
        snprintf(why, why_size,
                 "the certificate of %s is not trusted (%s): give its CA with --ca-file, and the "
                 "name that it is for in --url",
                 peer, X509_verify_cert_error_string(verdict));
    else if (error)
        snprintf(why, why_size,
                 "TLS with %s failed (%s): is it a server for wss://? A shoald "
                 "without a TLS proxy before it wants ws://",
                 peer, ERR_reason_error_string(error));
    return verdict != X509_V_OK || error;
}

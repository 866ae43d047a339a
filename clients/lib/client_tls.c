/* client_tls.c - see client_tls.h */
#include "lib/client_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shoal-client.h"

struct shoal__tls {
    SSL_CTX *context;
    int has_cert; /* set by shoal__tls_new, then constant */
    int alert;    /* the last that came, 0: none */
    int answered; /* the other side has spoken TLS at least once */
};

/* ---- files ---- */

void shoal__tls_tell(const shoal__tls_files *f, struct shoal_client_params *p)
{
    p->ca_file = f->ca;
    p->cert_file = f->cert;
    p->key_file = f->key;
}

/* Without it OpenSSL would ask on the terminal. */
static int no_password(char *room, int size, int writing, void *user)
{
    (void)room, (void)size, (void)writing, (void)user;
    return -1;
}

/* OpenSSL's own words for what it met first, such as "No such file or directory" or "no start
 * line". */
static int complain(const char *what, const char *file, const char *remedy, char *why, size_t n)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    snprintf(why, n, "%s %s cannot be used (%s): %s", what, file,
             reason ? reason : "unknown reason", remedy);
    ERR_clear_error();
    return SHOAL_CLIENT_EINVAL;
}

static int trust(SSL_CTX *c, const char *ca, char *why, size_t n)
{
    SSL_CTX_set_default_verify_paths(c);
    if (!ca || SSL_CTX_load_verify_locations(c, ca, NULL) == 1)
        return 0;
    return complain("the CA file", ca, "it must hold certificates in PEM", why, n);
}

static int identify(SSL_CTX *c, const shoal__tls_files *f, char *why, size_t n)
{
    const char *key = f->key ? f->key : f->cert;

    if (f->key && !f->cert) {
        snprintf(why, n, "a key without a certificate says nothing: name the certificate as well");
        return SHOAL_CLIENT_EINVAL;
    }
    if (!f->cert)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(c, f->cert) != 1)
        return complain("the certificate", f->cert,
                        "it must be in PEM, with those that lead to its CA behind it", why, n);
    if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
        return complain("the key", key,
                        "it must be the certificate's, in PEM and without a password", why, n);
    return 0;
}

/* ---- alerts ---- */

/* And that there is somebody who sends some. */
static void note_alert(const SSL *ssl, int where, int value)
{
    shoal__tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
        t->alert = value & 0xff;
    t->answered |= (where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT ||
                   SSL_get_state(ssl) == TLS_ST_CR_SRVR_HELLO;
}

void shoal__tls_hear_out(const shoal__tls *t, struct ssl_st *ssl)
{
    char byte;

    if (!t || !ssl || t->alert)
        return;
    ERR_clear_error();
    if (SSL_read(ssl, &byte, 1) <= 0) /* all it can be before the server has answered */
        ERR_clear_error();
}

/* Servers of TLS 1.2 have no alert for "you sent none": they say that the handshake failed. */
static int is_about_us(const shoal__tls *t)
{
    switch (t->alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return 1;
    default: return t->alert == SSL_AD_HANDSHAKE_FAILURE && !t->has_cert;
    }
}

/* OpenSSL 3.0 has no name for the newest one. */
static const char *alert_name(int alert)
{
    return alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                : SSL_alert_desc_string_long(alert);
}

int shoal__tls_refused(shoal__tls *t, const char *peer, char *why, size_t why_size)
{
    if (!t || !is_about_us(t))
        return 0;
    snprintf(why, why_size, "%s refused this client (TLS alert: %s): %s", peer,
             alert_name(t->alert),
             t->has_cert ? "is the certificate signed by a CA that the server takes, and valid now?"
                         : "it wants a certificate: --cert FILE and --key FILE of our programs, "
                           "params.cert_file and key_file");
    t->alert = 0;
    return 1;
}

/* ---- context ---- */

static int set_up(shoal__tls *t, const shoal__tls_files *f, char *why, size_t n)
{
    int r;

    if (!(t->context = SSL_CTX_new(TLS_client_method())))
        return SHOAL_CLIENT_ENOMEM;
    SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
    SSL_CTX_set_default_passwd_cb(t->context, no_password);
    SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_app_data(t->context, t);
    SSL_CTX_set_info_callback(t->context, note_alert);
    t->has_cert = f->cert != NULL;
    r = trust(t->context, f->ca, why, n);
    return r ? r : identify(t->context, f, why, n);
}

static int do_without(const shoal__tls_files *f, char *why, size_t n)
{
    if (!f->ca && !f->cert && !f->key)
        return 0;
    snprintf(why, n,
             "certificates were given, but the URL says ws://, which goes unencrypted: write "
             "wss://, or leave them out");
    return SHOAL_CLIENT_EINVAL;
}

int shoal__tls_new(shoal__tls **out, int wss, const shoal__tls_files *files, char *why,
                   size_t why_size)
{
    shoal__tls *t;
    int r;

    *out = NULL;
    if (!wss)
        return do_without(files, why, why_size);
    t = calloc(1, sizeof *t);
    snprintf(why, why_size, "out of memory");
    if (!t)
        return SHOAL_CLIENT_ENOMEM;
    ERR_clear_error();
    if ((r = set_up(t, files, why, why_size))) {
        shoal__tls_free(t);
        return r;
    }
    *out = t;
    return 0;
}

void shoal__tls_free(shoal__tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

struct ssl_ctx_st *shoal__tls_context(const shoal__tls *t)
{
    return t ? t->context : NULL;
}

int shoal__tls_is_none(const shoal__tls *t, const char *words, size_t n)
{
    static const char those[] = "connect SSL err";

    return t && !t->answered && n >= strlen(those) && !memcmp(words, those, strlen(those));
}

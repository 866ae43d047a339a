/* check_client_refused.c - TLS servers that refuse a client late, at the worst moment
 *
 *     client                               server
 *     hello, ..., finished       ----->    looks at the client's certificate, or its lack
 *                                <-----    an alert, or nothing; then a reset
 *     writes its request: fails
 *
 * In TLS 1.3 the client is done before the server has looked, so whether the reset comes before the
 * request is a race; and where the handshake took no turn of its loop, libwebsockets 4.1 tells of
 * the request that failed no more than that a connection of HTTP was closed. Here it is always so:
 * the SSL_connect below takes the place of OpenSSL's for everybody in the program, and comes back
 * when the handshake is done and the reset is there.
 */
#include <check.h>
#include <dlfcn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_util.h"
#include "fake_server.h"
#include "lib/client_get.h"
#include "suite.h"

__attribute__((visibility("default"))) int SSL_connect(SSL *ssl)
{
    int (*real)(SSL *) = (int (*)(SSL *))dlsym(RTLD_NEXT, "SSL_connect");
    struct pollfd news = { .fd = SSL_get_fd(ssl), .events = POLLIN }, reset = { .fd = news.fd };
    int r;

    while ((r = real(ssl)) != 1 && SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ)
        ck_assert_int_eq(poll(&news, 1, PATIENCE_MS), 1);
    ck_assert_int_eq(r, 1);
    ck_assert_int_eq(poll(&reset, 1, PATIENCE_MS), 1);
    return r;
}

/* ---- the server ---- */

static SSL_CTX *server;
static char ca_file[32];
static int verify;

static EVP_PKEY *make_key(void)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    EVP_PKEY *key = NULL;

    ck_assert_int_eq(EVP_PKEY_keygen_init(c), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(c, NID_X9_62_prime256v1), 1);
    ck_assert_int_eq(EVP_PKEY_keygen(c, &key), 1);
    EVP_PKEY_CTX_free(c);
    return key;
}

/* Of 127.0.0.1, signed by itself. */
static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_EXTENSION *address = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 24 * 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    X509_add_ext(x, address, -1);
    X509_EXTENSION_free(address);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    return x;
}

static void set_up(void)
{
    EVP_PKEY *key = make_key();
    X509 *certificate = make_certificate(key);
    FILE *f;

    strcpy(ca_file, "/tmp/shoal-refused.XXXXXX");
    f = fdopen(mkstemp(ca_file), "w");
    PEM_write_X509(f, certificate);
    fclose(f);
    server = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(server, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(server, key), 1);
    SSL_CTX_set_num_tickets(server, 0); /* nothing follows the handshake but what is meant to */
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void tear_down(void)
{
    SSL_CTX_free(server);
    unlink(ca_file);
}

static void refuse(fake_peer *p)
{
    const struct linger none = { .l_onoff = 1 };
    SSL *ssl = SSL_new(server);

    SSL_set_fd(ssl, p->fd);
    SSL_set_verify(ssl, verify, NULL);
    ck_assert_int_eq(SSL_accept(ssl) == 1, verify == SSL_VERIFY_NONE);
    SSL_free(ssl);
    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none); /* a reset when it is closed */
}

/* ---- the tests ---- */

static const struct {
    int verify;
    const char *name, *session_says, *page_says;
} refusals[] = {
    { SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, "certificate_refused",
      "certificate required): it wants a certificate: --cert FILE",
      "certificate required): it wants a certificate: --cert FILE" },
    { SSL_VERIFY_NONE, "connection_failed", "check the address, the network, the certificate",
      "/v1/model of 127.0.0.1:" },
};

static const char *url_of_server(int i)
{
    static char url[64];

    verify = refusals[i].verify;
    snprintf(url, sizeof url, "wss://127.0.0.1:%d", fake_server_start(refuse, 1));
    return url;
}

START_TEST(a_session_is_told_at_once)
{
    shoal_client_params p = shoal_client_default_params();
    char why[512];
    shoal_client *c;

    p.ca_file = ca_file;
    p.connect_timeout_ms = 10 * PATIENCE_MS;
    ck_assert_int_eq(shoal_client_open(&c, url_of_server(_i), &p, why, sizeof why), 0);
    expect_failure(c, refusals[_i].name, refusals[_i].session_says);
    fake_server_join();
}
END_TEST

START_TEST(who_asks_for_a_page_is_told_at_once)
{
    const shoal__server s = { .url = url_of_server(_i), .tls.ca = ca_file };
    char why[512];

    ck_assert_ptr_null(shoal__get(&s, "/v1/model", 4096, 10 * PATIENCE_MS, why, sizeof why));
    ck_assert_msg(strstr(why, refusals[_i].page_says) != NULL, "%s", why);
    ck_assert_msg(strstr(why, "does not answer") == NULL, "%s", why); /* it was not waited for */
    fake_server_join();
}
END_TEST

static Suite *refused_suite(void)
{
    Suite *s = suite_create("client refused");
    TCase *t = tcase_create("after the handshake");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, a_session_is_told_at_once, 0, 2);
    tcase_add_loop_test(t, who_asks_for_a_page_is_told_at_once, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(refused_suite());
}

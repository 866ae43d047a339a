/* check_sites.c - by which names and from which pages browsers may use the server */
#include <check.h>
#include <string.h>

#include "base/sites.h"
#include "suite.h"

static const struct {
    const char *list, *host;
    bool has;
} hosts[] = {
    { "", "localhost", true },
    { "", "LocalHost:7350", true },
    { "", "localhost.", true },
    { "", "a.localhost:1", true },
    { "", "127.0.0.1:7350", true },
    { "", "127.1.2.3", true },
    { "", "[::1]:7350", true },
    { "", "[::1]", true },
    { "", "192.0.2.7:80", true }, /* nobody else's name can be an address */
    { "", "", true },             /* no browser leaves it out */
    { "", "x", false },
    { "", "evil.example:7350", false },
    { "", "localhost.evil.example", false },
    { "", "evillocalhost", false },
    { "", "127.0.0.1.evil.example", false },
    { "", "[::1", false },
    { "", "127.0.0.1x", false },
    { "speech.example", "speech.example", true },
    { "speech.example", "Speech.Example.:443", true },
    { "speech.example", "a.speech.example", false },
    { "speech.example", "localhost:7350", true },
    { "a.example:8080, b.example", "a.example:8080", true },
    { "a.example:8080, b.example", "a.example", false },
    { "a.example:8080, b.example", "b.example:1", true },
    { "a.example:8080, b.example", "c.example", false },
    { "*", "evil.example", true },
};

START_TEST(hosts_are_ours_or_not)
{
    char why[200] = "";
    ck_assert_msg(shoald_sites_check_hosts(hosts[_i].list, why, sizeof why) == 0, "%s", why);
    ck_assert_msg(shoald_sites_has_host(hosts[_i].list, hosts[_i].host) == hosts[_i].has,
                  "\"%s\" and \"%s\"", hosts[_i].list, hosts[_i].host);
}
END_TEST

static const struct {
    const char *list, *origin, *host;
    bool has;
} origins[] = {
    /* its own pages, also behind a proxy that does TLS */
    { "", "http://speech.example", "speech.example", true },
    { "", "https://speech.example", "speech.example", true },
    { "", "https://speech.example", "speech.example:443", true },
    { "", "https://Speech.Example:8443", "speech.example:8443", true },
    { "", "http://10.0.0.7:7350", "10.0.0.7:7350", true },
    { "", "http://[2001:db8::1]:7350", "[2001:db8::1]:7350", true },
    { "", "https://speech.example", "speech.example:7350", false },
    { "", "http://speech.example", "speech.example:443", false },
    { "", "https://evil.example", "speech.example", false },
    { "", "https://speech.example.evil.example", "speech.example", false },
    { "", "https://evil.example", "", false },
    { "", "https://", "", false },
    { "", "null", "localhost:7350", false },
    { "", "", "localhost:7350", false },
    { "", "localhost:7350", "localhost:7350", false },
    { "", "file://localhost:7350", "localhost:7350", false },
    /* pages of this machine's, for who is asked as this machine */
    { "", "http://localhost:3000", "127.0.0.1:7350", true },
    { "", "http://[::1]:3000", "localhost:7350", true },
    { "", "http://app.localhost", "localhost:7350", true },
    { "", "http://localhost:3000", "speech.example", false },
    { "", "http://evil.example", "localhost:7350", false },
    { "", "http://localhost.evil.example", "localhost:7350", false },
    /* listed */
    { "https://app.example", "https://app.example", "speech.example", true },
    { "https://app.example", "https://APP.example", "speech.example", true },
    { "https://app.example", "http://app.example", "speech.example", false },
    { "https://app.example", "https://app.example:8443", "speech.example", false },
    { "https://a.example, http://b.example:81 null", "http://b.example:81", "s", true },
    { "https://a.example, http://b.example:81 null", "null", "s", true },
    { "chrome-extension://abcdefgh", "chrome-extension://abcdefgh", "s", true },
    { "*", "https://evil.example", "s", true },
    { "*", "null", "s", true },
};

START_TEST(pages_are_ours_or_not)
{
    char why[200] = "";
    ck_assert_msg(shoald_sites_check_origins(origins[_i].list, why, sizeof why) == 0, "%s", why);
    ck_assert_msg(shoald_sites_has_origin(origins[_i].list, origins[_i].origin, origins[_i].host) ==
                      origins[_i].has,
                  "\"%s\": %s at %s", origins[_i].list, origins[_i].origin, origins[_i].host);
}
END_TEST

START_TEST(lists_that_are_none_are_named)
{
    static const char *const no_hosts[] = { "a b/c", "http://a", "a:", "a:x", "a:123456", ":80" };
    static const char *const no_origins[] = { "a.example",  "https://", "https://a/", "https://a/b",
                                              "https://a:", "://a",     "https:/a" };
    char why[200];
    for (size_t i = 0; i < sizeof no_hosts / sizeof no_hosts[0]; i++)
        ck_assert_msg(shoald_sites_check_hosts(no_hosts[i], why, sizeof why) == -1, "%s",
                      no_hosts[i]);
    ck_assert_ptr_nonnull(strstr(why, "\":80\""));
    for (size_t i = 0; i < sizeof no_origins / sizeof no_origins[0]; i++)
        ck_assert_msg(shoald_sites_check_origins(no_origins[i], why, sizeof why) == -1, "%s",
                      no_origins[i]);
    ck_assert_ptr_nonnull(strstr(why, "\"https:/a\""));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sites");
    TCase *t = tcase_create("sites");
    tcase_add_loop_test(t, hosts_are_ours_or_not, 0, sizeof hosts / sizeof hosts[0]);
    tcase_add_loop_test(t, pages_are_ours_or_not, 0, sizeof origins / sizeof origins[0]);
    tcase_add_test(t, lists_that_are_none_are_named);
    suite_add_tcase(s, t);
    return suite_run(s);
}

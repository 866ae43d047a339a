/* check_manual.c - errors and times of the protocol, and that docs/protocol.md says the same */
#include "shoal-protocol.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

/* ---- errors and the manual ------------------------------------------------------------------ */

static char *read_manual(void)
{
    FILE *f = fopen(SRCDIR "/docs/protocol.md", "r");
    char *text = calloc(1, 1 << 20);

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
    fclose(f);
    return text;
}

START_TEST(manual_names_every_error)
{
    char *manual = read_manual(), row[600], http[8];

    for (int c = 1; c < SHOAL_CODE_COUNT; c++) {
        const shoal_code_info *e = shoal_code_get_info((shoal_code)c);
        snprintf(http, sizeof http, "%d", e->http_status);
        snprintf(row, sizeof row, "| `%s` | %d | %s | %s | %s | %s |", e->name, e->close_code,
                 e->http_status ? http : "-", e->fatal ? "yes" : "no", e->retry ? "yes" : "no",
                 e->message);
        ck_assert_msg(strstr(manual, row) != NULL, "docs/protocol.md lacks the row\n%s", row);
        ck_assert_int_eq(shoal_code_from_name(e->name), c);
        ck_assert_uint_lt(strlen(e->message), SHOAL_MAX_ERROR_TEXT);
    }
    for (int t = SHOAL_MSG_START; t <= SHOAL_MSG_ERROR; t++) {
        snprintf(row, sizeof row, "{\"type\":\"%s\"", shoal_msg_type_name((shoal_msg_type)t));
        ck_assert_msg(strstr(manual, row) != NULL, "docs/protocol.md has no example of %s", row);
    }
    free(manual);
}
END_TEST

/* Every example in the manual, that is every line that begins with {"type", is decoded. */
START_TEST(manual_examples)
{
    static shoal_server_msg s;
    shoal_client_msg c;
    shoal_error err;
    char *manual = read_manual();
    int found = 0;

    for (char *line = strtok(manual, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "{\"type\"", 7) != 0)
            continue;
        found++;
        int rc = shoal_client_msg_decode(&c, line, strlen(line), &err);
        if (rc < 0 && strstr(err.message, "no message of type")) {
            rc = shoal_server_msg_decode(&s, line, strlen(line), &err);
            ck_assert_msg(rc < 0 || s.type != SHOAL_MSG_UNKNOWN, "%s", line);
            if (rc == 0)
                shoal_server_msg_free(&s);
        }
        ck_assert_msg(rc == 0, "%s: %s", line, rc ? err.message : "");
    }
    ck_assert_int_ge(found, 13);
    free(manual);
}
END_TEST

START_TEST(error_messages_are_safe)
{
    shoal_error e;
    shoal_buf b = { 0 };
    static shoal_server_msg m;

    shoal_error_set_option(&e, "depth", "40", "1..12");
    ck_assert_str_eq(e.message, "depth: 40 is not allowed, use 1..12");
    shoal_error_set(&e, SHOAL_CODE_INTERNAL, "x\x1b", "%s", "bad \xff\xc3 \"bytes\"\n");
    ck_assert_int_eq(shoal_error_encode(&b, &e), 0);
    ck_assert_int_eq(shoal_server_msg_decode(&m, b.data, b.size, &e), 0);
    ck_assert_str_eq(m.u.error.message, "bad \xef\xbf\xbd\xef\xbf\xbd \"bytes\" ");
    ck_assert_str_eq(m.u.error.ref, "x?");
    ck_assert_int_eq(m.u.error.code, SHOAL_CODE_INTERNAL);
    shoal_buf_free(&b);
}
END_TEST

START_TEST(time_of_frames)
{
    ck_assert_double_eq(shoal_frame_samples(11025), 220.5);
    ck_assert_uint_eq(shoal_frame_start_sample(3, 11025), 661);
    ck_assert_uint_eq(shoal_frame_start_sample(40, 16000), 12800);
    ck_assert_uint_eq(shoal_frame_start_sample(1440000, 48000), 1382400000); /* 8 hours */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manual");
    TCase *t = tcase_create("manual");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, manual_names_every_error);
    tcase_add_test(t, manual_examples);
    tcase_add_test(t, error_messages_are_safe);
    tcase_add_test(t, time_of_frames);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

/* check_explain.c - shoald --explain MODEL: every virtual layer, with its costs */
#include "base/explain.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"

#define TINY SRCDIR "/tests/data/tiny.safetensors"

/* dim 32, ffn 64, 2 heads, 15 taps, left 16, chunk 8; 80 mels, 40 classes. */
enum {
    LAYER = 2 * (4 * 32 * 64 + 7 * 32 * 32 + 15 * 32 + 2 * 32 * (16 + 8)),
    FRONT = 2 * (2 * 3 * 80 * 32 + 3 * 32 * 32),
    HEAD = 2 * 32 * 40,
    CACHE = 14 * 32 * 4 + 64 + 2 * 16 * 32 * 4 /* taps - 1 rows, a ring's head, keys and values */
};

/* The words of `line`, one blank apart. */
static void squeeze(char *to, const char *line)
{
    for (; *line && *line != '\n'; line++)
        if (*line != ' ' || (line[1] != ' ' && line[1] != '\n'))
            *to++ = *line;
    *to = '\0';
}

/* A row that begins and ends so; between them may be its share in the embedding. */
static void need_row(const char *text, const char *begin, const char *end)
{
    char row[256];
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        squeeze(row, line);
        const char *words = row + (*row == ' ');
        size_t n = strlen(words), m = strlen(end);
        if (!strncmp(words, begin, strlen(begin)) && n >= m && !strcmp(words + n - m, end))
            return;
    }
    ck_abort_msg("no row '%s ... %s' in\n%s", begin, end, text);
}

static void check_text(const char *text)
{
    char begin[64], end[64];
    ck_assert_ptr_nonnull(strstr(text, "model tiny, "));
    ck_assert_ptr_nonnull(strstr(text, "program base, depth 12\n"));
    snprintf(end, sizeof end, "front 0 %d", FRONT);
    need_row(text, end, end);
    for (int i = 1; i <= 12; i++) {
        snprintf(begin, sizeof begin, "%d conformer block 0, norms 0 ", i);
        snprintf(end, sizeof end, " %d %d", CACHE, LAYER);
        need_row(text, begin, end);
    }
    snprintf(end, sizeof end, "head 0 %d", HEAD);
    need_row(text, end, end);
    snprintf(end, sizeof end, "all %d %d", 12 * CACHE, FRONT + 12 * LAYER + HEAD);
    need_row(text, end, end);
}

START_TEST(every_layer_and_its_cost)
{
    char *text = NULL, why[256] = "";
    size_t size;
    shoald_settings c;
    shoald_settings_default(&c);
    FILE *out = open_memstream(&text, &size);
    ck_assert_msg(shoald_explain_print(out, TINY, &c, why, sizeof why) == 0, "%s", why);
    fclose(out);
    check_text(text);
    free(text);
}
END_TEST

START_TEST(a_model_that_does_not_open_is_told)
{
    char why[256] = "";
    shoald_settings c;
    shoald_settings_default(&c);
    ck_assert_int_eq(shoald_explain_print(stdout, "/no/such/model", &c, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/no/such/model"));
}
END_TEST

/* What it would serve does not matter. */
static const char *const commands[] = {
    TOP_BUILDDIR "/daemon/shoald --explain " TINY,
    TOP_BUILDDIR "/daemon/shoald --explain " TINY " --model /no/such --model two=/no/such",
    TOP_BUILDDIR "/daemon/shoald --model /no/such --model two=/no/such --explain " TINY,
};

/* The program itself: what it prints, and its exit status. */
START_TEST(the_option)
{
    static char text[16384];
    FILE *p = popen(commands[_i], "r");
    ck_assert_ptr_nonnull(p);
    text[fread(text, 1, sizeof text - 1, p)] = '\0';
    ck_assert_int_eq(pclose(p), 0);
    check_text(text);
    ck_assert_int_ne(system(TOP_BUILDDIR "/daemon/shoald --explain /no/such 2>/dev/null"), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("explain");
    TCase *c = tcase_create("explain");
    tcase_add_test(c, every_layer_and_its_cost);
    tcase_add_test(c, a_model_that_does_not_open_is_told);
    tcase_add_loop_test(c, the_option, 0, sizeof commands / sizeof *commands);
    suite_add_tcase(s, c);
    return suite_run(s);
}

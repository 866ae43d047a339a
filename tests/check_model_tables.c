/* check_model_tables.c - the decoder's tables of a model file: which may be missing, and what must
 * fit (see check_model.c)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model/model.h"
#include "model_image.h"

static image im;

static void set_up(void)
{
    im = image_open(IMAGE_TINY);
}

static void tear_down(void)
{
    image_close(&im);
}

static void refuse(const char *word)
{
    image_refuse(&im, word);
}

static int classes_of(void)
{
    return (int)json_integer_value(json_object_get(im.config, "classes"));
}

/* Add decoder.trigram of zeros, C * C rows and `rows` more; the bigram goes unless `both`. */
static void give_trigram(int rows, int both)
{
    int C = classes_of();
    image_add_tensor(&im, "decoder.trigram", C * C + rows, C, NULL);
    if (!both)
        json_object_del(im.header, "decoder.transition");
}

/* The image opens, and has these searches: info.decoders. */
static void accept_decoders(unsigned decoders)
{
    size_t size;
    shoal_model *m;
    char why[256] = "";
    unsigned char *file = image_bytes(&im, &size);
    ck_assert_msg(shoal_model_open_memory(&m, file, size, why, sizeof why) == 0, "%s", why);
    ck_assert_uint_eq(shoal_model_get_info(m)->decoders, decoders);
    for (int i = 0; i < 4; i++) {
        shoal__search *s = &m->searches[i];
        float beam = s->log_prior ? shoal__search_beam(s, m->config.classes) : 0.0f;
        ck_assert_float_eq(s->exact_beam, beam);
        ck_assert_int_eq(beam > 0.0f, (decoders & 1u << i) != 0);
        shoal_decoder_params p = { .lm = i & 1, .durations = i >> 1 };
        shoal_decoder *d = NULL;
        int there = (decoders & 1u << i) != 0;
        ck_assert_int_eq(shoal_decoder_new(&d, m, &p), there ? 0 : SHOAL_EUNSUPPORTED);
        shoal_decoder_free(d);
    }
    shoal_model_close(m);
    free(file);
}

START_TEST(a_trigram_may_stand_for_the_bigram)
{
    give_trigram(0, 0);
    accept_decoders(1 << 1);
}
END_TEST

START_TEST(one_language_model_of_the_right_size)
{
    give_trigram(_i == 1 ? 1 : _i == 2 ? -1 : 0, _i == 0);
    refuse(_i == 0 ? "decoder.transition" : "decoder.trigram");
}
END_TEST

/* Add decoder.fourgram, two entries. */
static void give_fourgram(float first, float second, float score)
{
    image_add_tensor(&im, "decoder.fourgram", 2, 2, (float[]){ first, score, second, 0.0f });
}

START_TEST(a_fourgram_goes_with_a_trigram)
{
    int C = classes_of();
    give_trigram(0, 0);
    give_fourgram(0.0f, (float)(C * C * C * C - 1), -1.0f);
    accept_decoders(1 << 1);
}
END_TEST

START_TEST(no_fourgram_without_a_trigram)
{
    give_fourgram(0.0f, 1.0f, 0.0f);
    refuse("decoder.fourgram");
}
END_TEST

/* Keys descend, repeat, are broken, negative or too large; a score that is no number. */
START_TEST(fourgrams_are_numbered)
{
    float C = (float)classes_of(), end = C * C * C * C;
    const float wrong[][3] = { { 5, 4, 0 },   { 5, 5, 0 },   { 0.5f, 4, 0 },     { -1, 4, 0 },
                               { 5, end, 0 }, { NAN, 4, 0 }, { 5, INFINITY, 0 }, { 4, 5, NAN } };
    give_trigram(0, 0);
    give_fourgram(wrong[_i][0], wrong[_i][1], wrong[_i][2]);
    refuse("decoder.fourgram");
}
END_TEST

/* Add longer contexts: 40 after (1, 2), then 3 after that one; each lists two phones. */
static const float digits[2] = { 1 * 40 + 2, 40 * 40 };

static void give_ngrams(const float contexts[2], float first, float second, float score)
{
    image_add_tensor(&im, "decoder.contexts", 2, 0, contexts);
    image_add_tensor(&im, "decoder.ngrams", 2, 2, (float[]){ first, score, second, 0.0f });
}

START_TEST(longer_contexts_go_with_a_trigram)
{
    float first = 40 * 40 * 40;
    ck_assert_int_eq(classes_of(), 40);
    give_trigram(0, 0);
    give_ngrams(digits, first, first + 2 * 40 - 1, -1.0f);
    accept_decoders(1 << 1);
}
END_TEST

START_TEST(no_longer_contexts_without_a_trigram)
{
    give_ngrams(digits, 64000, 64001, 0.0f);
    refuse("decoder.contexts");
}
END_TEST

/* Digits that descend, repeat, are broken or negative, or of a parent that is not before them. */
START_TEST(contexts_are_numbered)
{
    const float wrong[][2] = { { 5, 4 },   { 5, 5 },        { 0.5f, 4 },      { -1, 4 },
                               { NAN, 4 }, { 4, INFINITY }, { 64000, 64001 }, { 4, 64040 } };
    give_trigram(0, 0);
    give_ngrams(wrong[_i], 64000, 64001, 0.0f);
    refuse("decoder.contexts");
}
END_TEST

/* Keys alike; of pairs or of contexts that are not there; a score that is no number. */
START_TEST(ngrams_are_numbered)
{
    const float wrong[][3] = { { 64005, 64004, 0 }, { 64005, 64005, 0 },    { 64000.5f, 64004, 0 },
                               { 63999, 64004, 0 }, { 64005, 64080, 0 },    { NAN, 64004, 0 },
                               { -1, 64004, 0 },    { 64005, INFINITY, 0 }, { 64004, 64005, NAN } };
    give_trigram(0, 0);
    give_ngrams(digits, wrong[_i][0], wrong[_i][1], wrong[_i][2]);
    refuse("decoder.ngrams");
}
END_TEST

/* A chain of contexts, each of one phone more; 32-bit words have room for four. */
START_TEST(contexts_are_of_six_phones_at_most)
{
    float chain[5] = { 5 };
    for (int i = 1; i < 5; i++)
        chain[i] = (float)((40 * 40 + i - 1) * 40 + 1);
    give_trigram(0, 0);
    image_add_tensor(&im, "decoder.contexts", 4 + _i, 0, chain);
    image_add_tensor(&im, "decoder.ngrams", 1, 2, (float[]){ 64000, -1 });
    if (_i)
        refuse("decoder.contexts");
    else
        accept_decoders(1 << 1);
}
END_TEST

START_TEST(not_both_kinds_of_longer_contexts)
{
    give_trigram(0, 0);
    give_ngrams(digits, 64000, 64001, 0.0f);
    give_fourgram(0.0f, 1.0f, 0.0f);
    refuse("decoder.fourgram");
}
END_TEST

/* ---- other searches of the decoder ------------------------------------------------------- */

static const char *const searches[] = { "decoder.plain", NULL, "decoder.durations",
                                        "decoder.lm_durations" };

/* `part` of a search, [C, columns] or [C]. */
static void give_table(int which, const char *part, int rows, int columns, const float *values)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", searches[which], part);
    image_add_tensor(&im, name, rows, columns, values);
}

static void give_search(int which, int ages)
{
    give_table(which, "leave", classes_of(), ages, NULL);
    give_table(which, "stay", classes_of(), ages, NULL);
    give_table(which, "log_prior", classes_of(), 0, NULL);
}

START_TEST(searches_are_there_one_by_one)
{
    unsigned want = 1 << 1;
    for (int which = 0; which < 4; which++)
        if (_i >> which & 1 && searches[which]) {
            give_search(which, which == 3 ? 64 : 1 + which);
            want |= 1u << which;
        }
    if (_i >> 1 & 1)
        give_trigram(0, 0);
    accept_decoders(want);
}
END_TEST

/* Of each search: what is wrong, and the part that the message must name. */
START_TEST(searches_are_whole_and_fit)
{
    static const char *const parts[] = { "stay",  "log_prior", "stay", "leave",
                                         "leave", "leave",     "stay", "prior" };
    static const int whichs[] = { 0, 2, 3 };
    static const float nan_first[256] = { NAN };
    int C = classes_of(), which = whichs[_i / 8], kind = _i % 8;
    int rows = kind == 3 ? C - 1 : C, ages = kind == 4 ? 65 : kind == 5 ? 0 : 3;
    char word[64];
    give_table(which, "leave", rows, ages, NULL);
    if (kind != 0)
        give_table(which, "stay", C, kind == 2 ? 4 : 3, kind == 6 ? nan_first : NULL);
    if (kind != 1)
        give_table(which, "log_prior", C, 0, NULL);
    if (kind == 7)
        give_table(which, "prior", C, 0, NULL);
    snprintf(word, sizeof word, "%s.%s", searches[which], parts[kind]);
    refuse(word);
}
END_TEST

/* Tables without the first of them belong to nothing. */
START_TEST(a_search_begins_with_leave)
{
    give_table(3, "stay", classes_of(), 3, NULL);
    refuse("decoder.lm_durations.stay");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_tables");
    TCase *c = tcase_create("model_tables");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_trigram_may_stand_for_the_bigram);
    tcase_add_loop_test(c, one_language_model_of_the_right_size, 0, 3);
    tcase_add_test(c, a_fourgram_goes_with_a_trigram);
    tcase_add_test(c, no_fourgram_without_a_trigram);
    tcase_add_loop_test(c, fourgrams_are_numbered, 0, 8);
    tcase_add_test(c, longer_contexts_go_with_a_trigram);
    tcase_add_test(c, no_longer_contexts_without_a_trigram);
    tcase_add_loop_test(c, contexts_are_numbered, 0, 8);
    tcase_add_loop_test(c, ngrams_are_numbered, 0, 9);
    tcase_add_loop_test(c, contexts_are_of_six_phones_at_most, 0, 2);
    tcase_add_test(c, not_both_kinds_of_longer_contexts);
    tcase_add_loop_test(c, searches_are_there_one_by_one, 0, 16);
    tcase_add_loop_test(c, searches_are_whole_and_fit, 0, 24);
    tcase_add_test(c, a_search_begins_with_leave);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

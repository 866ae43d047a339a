/* check_models.c - models by name: what settings say, what sessions may ask for, who frees them
 *
 * The small models of tests/data: tiny and tiny2 have the same weights in files of another format.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/models.h"
#include "suite.h"

#define TINY  SRCDIR "/tests/data/tiny.safetensors"
#define TINY2 SRCDIR "/tests/data/tiny2.safetensors"

/* ---- settings ------------------------------------------------------------------------ */

static shoald_settings c;

static int set(const char *value, shoald_source source)
{
    char why[256];
    return shoald_settings_set(&c, "model", value, source, why, sizeof why);
}

static void need_file(int i, const char *name, const char *path)
{
    ck_assert_str_eq(c.models[i].name, name);
    ck_assert_str_eq(c.models[i].path, path);
}

START_TEST(names_and_files)
{
    shoald_settings_default(&c);
    ck_assert_int_eq(c.model_count, 1);
    need_file(0, "", "");
    ck_assert_int_eq(set("/a/file", SHOALD_FROM_FILE), 0);
    ck_assert_int_eq(set("Base.1_x-y=/b=c", SHOALD_FROM_FILE), 0);
    ck_assert_int_eq(set("./b=c", SHOALD_FROM_FILE), 0); /* no name has a slash */
    need_file(0, "", "./b=c"); /* the last one without a name counts, where the first stood */
    ck_assert_int_eq(set("built-in=", SHOALD_FROM_FILE), 0);
    ck_assert_int_eq(set("=d", SHOALD_FROM_FILE), 0);
    ck_assert_int_eq(c.model_count, 3);
    need_file(0, "", "=d");
    need_file(1, "Base.1_x-y", "/b=c");
    need_file(2, "built-in", "");
    ck_assert_int_eq(set("one=1", SHOALD_FROM_COMMAND_LINE), 0); /* replaces the file's */
    ck_assert_int_eq(c.model_count, 1);
    need_file(0, "one", "1");
}
END_TEST

START_TEST(settings_that_are_refused)
{
    char name[80], path[PATH_MAX + 8];
    shoald_settings_default(&c);
    ck_assert_int_eq(set("one=1", SHOALD_FROM_FILE), 0);
    ck_assert_int_eq(set("one=2", SHOALD_FROM_FILE), -1);
    ck_assert_int_eq(set("two=1", SHOALD_FROM_FILE), 0);
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(set(path, SHOALD_FROM_FILE), -1);
    ck_assert_int_eq(c.model_count, 2);
    for (int i = 2; i < SHOALD_MAX_MODELS; i++) {
        snprintf(name, sizeof name, "m%d=x", i);
        ck_assert_int_eq(set(name, SHOALD_FROM_FILE), 0);
    }
    ck_assert_int_eq(set("more=x", SHOALD_FROM_FILE), -1);
}
END_TEST

/* ---- the registry -------------------------------------------------------------------- */

static shoald_models m;

static int open_models(const char *const *values, char *why, size_t why_size)
{
    shoald_settings_default(&c);
    for (; *values; values++)
        ck_assert_int_eq(set(*values, SHOALD_FROM_COMMAND_LINE), 0);
    return shoald_models_open(&m, &c, NULL, NULL, why, why_size);
}

static void setup(void)
{
    static const char *const values[] = { TINY, "two=" TINY2, "again=" TINY, NULL };
    char why[512] = "";
    ck_assert_msg(open_models(values, why, sizeof why) == 0, "%s", why);
}

static void teardown(void)
{
    shoald_models_close(&m);
}

static const shoald_named *pick(const char *asked)
{
    shoal_error err;
    return shoald_models_pick(&m, asked, &err);
}

START_TEST(picking)
{
    char asked[SHOAL_MAX_MODEL + 1];
    ck_assert_str_eq(m.at[0].name, "tiny"); /* as the file says */
    ck_assert_ptr_eq(pick(""), &m.at[0]);
    ck_assert_ptr_eq(pick("tiny"), &m.at[0]);
    ck_assert_ptr_eq(pick("two"), &m.at[1]);
    ck_assert_ptr_eq(pick("again"), &m.at[2]);
    ck_assert_ptr_eq(m.at[2].service, m.at[0].service);
    ck_assert_ptr_ne(m.at[1].service, m.at[0].service);
    for (int digits = SHOAL_MIN_MODEL_DIGITS; digits <= 64; digits += 28) {
        snprintf(asked, sizeof asked, "two@%.*s", digits, m.at[1].service->info->sha256);
        ck_assert_ptr_eq(pick(asked), &m.at[1]);
        snprintf(asked, sizeof asked, "tiny@%.*s", digits, m.at[1].service->info->sha256);
        ck_assert_ptr_null(pick(asked));
    }
}
END_TEST

START_TEST(what_there_is_is_told)
{
    shoal_error err = { 0 };
    char there[160];
    snprintf(there, sizeof there, "tiny@%.12s, two@%.12s", m.at[0].service->info->sha256,
             m.at[1].service->info->sha256);
    ck_assert_ptr_null(shoald_models_pick(&m, "tin", &err));
    ck_assert_int_eq(err.code, SHOAL_CODE_BAD_OPTION);
    ck_assert_str_eq(err.ref, "model");
    ck_assert_ptr_nonnull(strstr(err.message, there));
    ck_assert_ptr_null(shoald_models_pick(&m, "two@00000000", &err));
    ck_assert_int_eq(err.code, SHOAL_CODE_UNSUPPORTED);
    ck_assert_str_eq(err.ref, "model");
    ck_assert_ptr_nonnull(strstr(err.message, "@00000000"));
}
END_TEST

START_TEST(a_set_opens_as_a_whole)
{
    static const char *const missing[] = { "a=" TINY, "b=/no/such/model", NULL };
    static const char *const twice[] = { "tiny=" TINY2, TINY, NULL };
    char why[512] = "";
    shoald_models_close(&m);
    ck_assert_int_eq(open_models(missing, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/no/such/model"));
    ck_assert_int_eq(open_models(twice, why, sizeof why), -1); /* it calls itself tiny */
    ck_assert_ptr_nonnull(strstr(why, "two models have the name tiny"));
    ck_assert_int_eq(m.count, 0);
}
END_TEST

/* A name, a session and a worker have it: the last of them to let go frees it. */
START_TEST(who_frees)
{
    shoald_service *s = m.at[1].service;
    shoald_models_take(s); /* a session */
    atomic_fetch_add(&s->benches, 1);
    m.count = 1; /* two and again have lost their names */
    shoald_models_give_back(&m, s);
    shoald_models_give_back(&m, m.at[0].service); /* again's, but it has another name */
    ck_assert(atomic_load(&s->retired));
    ck_assert(!atomic_load(&m.at[0].service->retired));
    ck_assert_str_eq(shoald_models_name(&m, s), "");
    shoald_models_sweep(&m);
    ck_assert_ptr_eq(m.retired, s);
    shoald_models_give_back(&m, s);
    shoald_models_sweep(&m);
    ck_assert_ptr_eq(m.retired, s); /* the worker has not */
    atomic_fetch_sub(&s->benches, 1);
    shoald_models_sweep(&m);
    ck_assert_ptr_null(m.retired);
}
END_TEST

/* ---- reload ---------------------------------------------------------------------------- */

static int prepared;

static int prepare(shoald_service *s, void *arg)
{
    prepared++;
    return s == arg ? -1 : 0;
}

/* Into fresh: "NAME=FILE", opened; "!NAME=FILE" could not be. */
static void add(shoald_models *fresh, const char *value)
{
    char why[512];
    const shoal_model_params params = shoald_models_params(&c);
    bool fails = *value == '!';
    shoald_settings_default(&c);
    ck_assert_int_eq(set(value + fails, SHOALD_FROM_COMMAND_LINE), 0);
    int result = shoald_models_add(fresh, &c.models[0], &params, prepare, NULL, why, sizeof why);
    ck_assert_int_eq(result, fails ? -1 : 0);
    if (fails)
        shoald_models_add_failed(fresh, &c.models[0]);
}

/* What is served: "tiny two again" */
static const char *names(void)
{
    static char text[256];
    *text = '\0';
    for (int i = 0; i < m.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "",
                 m.at[i].name);
    return text;
}

START_TEST(names_are_put_over)
{
    static shoald_models fresh;
    shoald_service *tiny = m.at[0].service, *two = m.at[1].service;
    memset(&fresh, 0, sizeof fresh);
    prepared = 0;
    add(&fresh, "new=" TINY2);
    add(&fresh, "two=" TINY);
    add(&fresh, "three=" TINY2);
    ck_assert_int_eq(prepared, 2);
    ck_assert_int_eq(shoald_models_replace(&m, &fresh), 0); /* both files are served already */
    ck_assert_str_eq(names(), "new two three");
    ck_assert_ptr_eq(m.at[0].service, two);
    ck_assert_ptr_eq(m.at[1].service, tiny);
    ck_assert_ptr_eq(m.at[2].service, two);
    ck_assert_int_eq(two->uses, 2);
    ck_assert_int_eq(tiny->uses, 1);
    ck_assert_int_eq(fresh.count, 0);
    ck_assert_ptr_null(m.retired);
}
END_TEST

START_TEST(what_cannot_be_opened_keeps_what_it_has)
{
    static shoald_models fresh;
    shoald_service *two = m.at[1].service;
    memset(&fresh, 0, sizeof fresh);
    add(&fresh, "!two=/no/such/file"); /* another file, the same name */
    add(&fresh, "!new=/no/such/file"); /* there was none */
    add(&fresh, TINY);
    ck_assert_int_eq(shoald_models_replace(&m, &fresh), 0);
    ck_assert_str_eq(names(), "two tiny");
    ck_assert_ptr_eq(m.at[0].service, two);
    add(&fresh, "!new=/no/such/file");
    ck_assert_int_eq(shoald_models_replace(&m, &fresh), 0);
    ck_assert_str_eq(names(), "two tiny"); /* better than none */
    ck_assert_int_eq(two->uses, 1);
}
END_TEST

START_TEST(what_has_no_name_any_more_is_retired)
{
    static shoald_models fresh;
    shoald_service *tiny = m.at[0].service, *two = m.at[1].service;
    memset(&fresh, 0, sizeof fresh);
    shoald_models_take(tiny); /* a session */
    add(&fresh, "two=" TINY2);
    ck_assert_int_eq(shoald_models_replace(&m, &fresh), 0);
    ck_assert(atomic_load(&tiny->retired));
    ck_assert(!atomic_load(&two->retired));
    shoald_models_sweep(&m);
    ck_assert_ptr_eq(m.retired, tiny);
    add(&fresh, "tiny=" TINY); /* back again: opened anew, for the old one is on its way */
    ck_assert_int_eq(shoald_models_replace(&m, &fresh), 1);
    ck_assert_ptr_ne(m.at[0].service, tiny);
    ck_assert_ptr_eq(m.retired->next_retired ? m.retired->next_retired : m.retired, tiny);
    shoald_models_give_back(&m, tiny);
    shoald_models_sweep(&m);
    ck_assert_ptr_null(m.retired);
}
END_TEST

/* ---- prices ---------------------------------------------------------------------------- */

START_TEST(another_models_layers_have_another_price)
{
    shoald_service *s = m.at[1].service;
    const double *layers = shoald_service_layers(s, 0);
    double before = layers[5];
    shoald_service_scale(s, 0.25);
    ck_assert_double_eq_tol(layers[5], before / 4, 1e-9);
    ck_assert_double_eq(layers[0], 0);
    ck_assert_double_eq(s->scale, 0.25);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models");
    TCase *settings = tcase_create("settings"), *named = tcase_create("named");
    tcase_add_test(settings, names_and_files);
    tcase_add_test(settings, settings_that_are_refused);
    suite_add_tcase(s, settings);
    tcase_add_checked_fixture(named, setup, teardown);
    tcase_add_test(named, picking);
    tcase_add_test(named, what_there_is_is_told);
    tcase_add_test(named, a_set_opens_as_a_whole);
    tcase_add_test(named, who_frees);
    tcase_add_test(named, names_are_put_over);
    tcase_add_test(named, what_cannot_be_opened_keeps_what_it_has);
    tcase_add_test(named, what_has_no_name_any_more_is_retired);
    tcase_add_test(named, another_models_layers_have_another_price);
    suite_add_tcase(s, named);
    return suite_run(s);
}

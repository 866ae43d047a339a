/* check_service.c - what the layers of each program cost, by their plans, and who is let in by that
 *
 * A model with the programs base (12 layers), every-other (6), short (3) of tests/data/tiny2, and
 * deep (24: base twice), half (12: every second one is an identity) and none (12 identities). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/service.h"
#include "model_image.h"
#include "plan/govern.h"
#include "suite.h"

enum { BASE, EVERY_OTHER, SHORT, DEEP, HALF, NONE, PROGRAMS };

static shoald_service service;

static void add_program(image *im, const char *name, int depth, int identities)
{
    json_t *layers = json_array();
    for (int i = 0; i < depth; i++)
        if (i % 2 < identities)
            json_array_append_new(layers, json_pack("{s:s}", "op", "identity"));
        else
            json_array_append(layers, image_layer(im, (size_t)i % 12));
    json_array_append_new(json_object_get(im->config, "programs"),
                          json_pack("{s:s,s:o}", "name", name, "layers", layers));
}

static void open_service(void)
{
    char path[] = "/tmp/shoal-service-XXXXXX", why[512] = "";
    const shoal_model_params params = shoal_model_default_params();
    image im = image_open(SRCDIR "/tests/data/tiny2.safetensors");
    size_t size;
    int fd = mkstemp(path);
    add_program(&im, "deep", 24, 0);
    add_program(&im, "half", 12, 1);
    add_program(&im, "none", 12, 2);
    unsigned char *file = image_bytes(&im, &size);
    ck_assert_int_eq(write(fd, file, size), (ssize_t)size);
    close(fd);
    free(file);
    image_close(&im);
    int result = shoald_service_open(&service, path, &params, why, sizeof why);
    unlink(path);
    ck_assert_msg(result == 0, "%s", why);
    ck_assert_int_eq(service.info->programs, PROGRAMS);
}

static void close_service(void)
{
    shoald_service_close(&service);
}

START_TEST(alike_layers_count_one_each)
{
    static const int depths[] = { 12, 6, 3, 24 };
    for (int p = 0; p < 4; p++)
        for (int k = 0; k <= depths[p]; k++)
            ck_assert_double_eq_tol(shoald_service_layers(&service, p)[k], k, 1e-9);
}
END_TEST

START_TEST(an_identity_costs_nothing)
{
    for (int k = 0; k <= 12; k++) {
        ck_assert_double_eq_tol(shoald_service_layers(&service, HALF)[k], k / 2, 1e-9);
        ck_assert_double_eq(shoald_service_layers(&service, NONE)[k], 0);
    }
}
END_TEST

/* Twelve layers of 1280 and 280 ms in chunks of 160, the latency, 2560 for the decoder and 300 for
 * the detector. */
START_TEST(what_a_replay_needs)
{
    shoal_options o = shoal_options_default();
    int latency = shoald_service_algorithmic_ms(service.info, 160);
    o.depth_min = o.depth_max = 12;
    o.left_ms = 1280;
    ck_assert_int_eq(shoald_service_replay_ms(&service, &o),
                     12 * (1280 + 320) + latency + 2560 + 300);
    size_t bytes = shoald_service_cache_bytes(&service, &o);
    snprintf(o.program, sizeof o.program, "half");
    ck_assert_int_eq(shoald_service_replay_ms(&service, &o),
                     6 * (1280 + 320) + latency + 2560 + 300);
    ck_assert_uint_eq(2 * shoald_service_cache_bytes(&service, &o), bytes);
    o.chunk_ms = 640;
    o.activity_hangover_ms = 500;
    o.activity_min_ms = 100;
    o.activity_pad_ms = 60;
    ck_assert_int_eq(shoald_service_replay_ms(&service, &o),
                     6 * (1280 + 640) + latency + 480 + 2560 + 660);
}
END_TEST

static shoald_demand demand(int program, int depth)
{
    shoald_demand d;
    shoald_demand_start(&d, depth, depth, 8, shoald_service_layers(&service, program), 0);
    shoald_demand_speak(&d, 0);
    return d;
}

/* With room for one of base at full depth. */
START_TEST(admission_is_by_the_plan)
{
    static const struct {
        int program, depth, many;
    } cases[] = { { BASE, 12, 1 }, { BASE, 3, 4 },  { HALF, 12, 2 },
                  { DEEP, 12, 1 }, { DEEP, 24, 0 }, { SHORT, 3, 4 } };
    const shoald_policy policy = { .admission = true, .admission_share = 1.0001 };
    const shoald_price price = { .full_share = 1,
                                 .full = shoald_service_layers(&service, 0)[12],
                                 .depths = service.depth };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shoald_governor g;
        shoald_demand d = demand(cases[i].program, cases[i].depth);
        int many = 0;
        ck_assert_int_eq(shoald_govern_init(&g, 1, service.depth), 0);
        for (; many < 10 && shoald_govern_fits(&g, &policy, &price, &d, NULL); many++)
            shoald_govern_count(&g, &policy, &price, 0, &d, 1);
        ck_assert_msg(many == cases[i].many, "case %zu: %d", i, many);
        ck_assert_double_eq_tol(shoald_govern_capacity(&g, &price, 8), 1, 1e-9);
        shoald_govern_free(&g);
    }
}
END_TEST

/* The same two numbers measured, too: a chunk of half is cheaper than one of base by six layers. */
START_TEST(chunks_are_priced_by_the_plan)
{
    const shoald_cost c = { .shape = { .frame = 1, .frame_layer = 10 }, .speed = 1 };
    const double *half = shoald_service_layers(&service, HALF);
    ck_assert_double_eq_tol(shoald_cost_chunk_ns(&c, half[12], 8), 8 * (1 + 60), 1e-6);
    ck_assert_double_eq_tol(shoald_cost_chunk_ns(&c, 12, 8), 8 * (1 + 120), 1e-6);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("service");
    TCase *t = tcase_create("service");

    tcase_add_checked_fixture(t, open_service, close_service);
    tcase_add_test(t, alike_layers_count_one_each);
    tcase_add_test(t, an_identity_costs_nothing);
    tcase_add_test(t, what_a_replay_needs);
    tcase_add_test(t, admission_is_by_the_plan);
    tcase_add_test(t, chunks_are_priced_by_the_plan);
    suite_add_tcase(s, t);
    return suite_run(s);
}

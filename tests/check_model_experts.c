/* check_model_experts.c - model files with experts: what is wrong with one is refused by name
 *
 * Each case damages tests/data/tiny_experts.safetensors: two banks of four experts, four routers,
 * four layers. What a good one computes is check_experts.c's.
 */
#include <math.h>

#include "engine_util.h"
#include "model_image.h"

#define MODEL SRCDIR "/tests/data/tiny_experts.safetensors"

enum { DIM = 32, EXPERTS = 4 };

static image im;

static void take_apart(void)
{
    im = image_open(MODEL);
}

static void put_away(void)
{
    image_close(&im);
}

static void refuse_value(json_t *object, const char *key, const char *json, const char *word)
{
    json_t *good = json_incref(json_object_get(object, key));
    if (json)
        json_object_set_new(object, key, json_loads(json, JSON_DECODE_ANY, NULL));
    else
        json_object_del(object, key);
    image_refuse(&im, word);
    if (good)
        json_object_set_new(object, key, good);
    else
        json_object_del(object, key);
}

START_TEST(entries_take_what_there_is)
{
    static const struct {
        const char *key, *json, *word;
    } cases[] = {
        { "router", "4", "entry 2: 'router' must be an integer from 0 to 3" },
        { "router", "-1", "'router'" },
        { "router", NULL, "'router'" },
        { "experts", "2", "entry 2: 'experts' must be an integer from 0 to 1" },
        { "experts", NULL, "'experts'" },
        { "top", "0", "entry 2: 'top' must be an integer from 1 to 2" },
        { "top", "3", "'top'" },
        { "top", "1.0", "'top'" },
        { "top", NULL, "'top'" },
        { "weights", "\"softmax\"", "'weights' must be plain or renormalised" },
        { "weights", "1", "'weights'" },
        { "block", "2", "'block'" },
        { "attn", "\"reuse\"", "reuse" },
        { "share", "1", "'share'" },
        { "op", "\"conformer\"", "a conformer has no experts" },
    };
    json_t *entry = image_layer(&im, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_value(entry, cases[i].key, cases[i].json, cases[i].word);
    json_object_set_new(entry, "weights", json_string("plain"));
    shoal_model_close(image_accept(&im));
}
END_TEST

START_TEST(pools_come_together)
{
    static const char *const keys[] = { "expert_banks", "experts", "routers" };
    static const char *const bad[] = { "0", "-1", "65", "\"2\"", NULL };
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 5; i++)
            refuse_value(im.config, keys[k], bad[i], keys[k]);
    for (int k = 0; k < 3; k++)
        json_object_del(im.config, keys[k]);
    image_refuse(&im, "entry 0: the file has no experts");
}
END_TEST

/* A bank or router that is said to be there, and one that nobody takes. */
START_TEST(what_is_absent_or_orphaned_is_named)
{
    json_t *tensor = json_incref(image_tensor(&im, "experts.1.3.down.weight"));
    json_object_del(im.header, "experts.1.3.down.weight");
    image_refuse(&im, "experts.1.3.down.weight");
    json_object_set_new(im.header, "experts.1.3.down.weight", tensor);
    refuse_value(im.config, "experts", "5", "experts.0.4.up.weight");
    refuse_value(im.config, "experts", "3", "routers.0.weight");
    refuse_value(im.config, "expert_banks", "3", "takes expert bank 2");
    refuse_value(im.config, "routers", "5", "takes router 4");
    image_add_tensor(&im, "blocks.0.ffn2.up.bias", 64, 0, NULL);
    image_refuse(&im, "blocks.0.ffn2.up.bias");
}
END_TEST

START_TEST(routers_have_their_shape)
{
    float bias[EXPERTS] = { 0, NAN, 0, 0 };
    image_add_tensor(&im, "routers.2.weight", DIM, EXPERTS, NULL);
    image_refuse(&im, "routers.2.weight");
    image_add_tensor(&im, "routers.2.weight", EXPERTS + 1, DIM, NULL);
    image_refuse(&im, "routers.2.weight");
    image_add_tensor(&im, "routers.2.weight", EXPERTS, DIM, NULL);
    image_add_tensor(&im, "routers.2.bias", EXPERTS, 0, bias);
    image_refuse(&im, "routers.2.bias");
}
END_TEST

/* One expert: there is no choice, and no second one to be had. */
START_TEST(one_expert_has_no_second)
{
    image tiny = image_open(IMAGE_TINY);
    image_format_two(&tiny);
    json_t *entry = image_layer(&tiny, 0);
    json_object_set_new(entry, "op", json_string("experts"));
    image_refuse(&tiny, "entry 0: the file has no experts");
    for (int i = 0; i < 3; i++)
        json_object_set_new(tiny.config,
                            i == 0   ? "expert_banks"
                            : i == 1 ? "experts"
                                     : "routers",
                            json_integer(1));
    json_object_set_new(entry, "experts", json_integer(0));
    json_object_set_new(entry, "router", json_integer(0));
    json_object_set_new(entry, "top", json_integer(2));
    image_refuse(&tiny, "'top' must be an integer from 1 to 1");
    json_object_set_new(entry, "top", json_integer(1));
    image_refuse(&tiny, "experts.0.0.up.weight");
    image_close(&tiny);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_experts");
    TCase *c = tcase_create("model_experts");
    tcase_add_checked_fixture(c, take_apart, put_away);
    tcase_add_test(c, entries_take_what_there_is);
    tcase_add_test(c, pools_come_together);
    tcase_add_test(c, what_is_absent_or_orphaned_is_named);
    tcase_add_test(c, routers_have_their_shape);
    tcase_add_test(c, one_expert_has_no_second);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

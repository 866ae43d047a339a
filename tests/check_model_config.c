/* check_model_config.c - a model file whose configuration is wrong (see check_model.c)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
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

static const char *const integers[] = { "format", "dim",      "ffn",          "heads",
                                        "kernel", "classes",  "delay_frames", "left_frames",
                                        "blocks", "norm_sets" };

START_TEST(every_size_is_bounded)
{
    const char *key = integers[_i];
    static const char *const values[] = { "-1",   "1048576", "9223372036854775807",
                                          "32.0", "1e9",     "\"32\"",
                                          "null", "[]",      "true" };
    json_t *good = json_incref(json_object_get(im.config, key));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_object_set_new(im.config, key, json_loads(values[i], JSON_DECODE_ANY, NULL));
        refuse(key);
    }
    json_object_del(im.config, key);
    refuse(key);
    if (strcmp(key, "delay_frames") && strcmp(key, "left_frames")) {
        json_object_set_new(im.config, key, json_integer(0));
        refuse(key);
    }
    json_decref(good);
}
END_TEST

/* Sizes that are in bounds but not those of the tensors. */
START_TEST(sizes_must_fit_the_tensors)
{
    static const struct {
        const char *key;
        int value;
        const char *word;
    } cases[] = {
        { "dim", 36, "tensor" },   { "dim", 33, "dim" },         { "heads", 3, "heads" },
        { "heads", 32, "heads" },  { "dim", 2048, "tensor" },    { "ffn", 65, "tensor" },
        { "ffn", 8192, "tensor" }, { "kernel", 14, "tensor" },   { "classes", 41, "labels" },
        { "blocks", 2, "tensor" }, { "norm_sets", 2, "tensor" }, { "blocks", 64, "tensor" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *good = json_incref(json_object_get(im.config, cases[i].key));
        json_object_set_new(im.config, cases[i].key, json_integer(cases[i].value));
        refuse(cases[i].word);
        json_object_set_new(im.config, cases[i].key, good);
    }
    json_object_set_new(im.config, "name", json_string(""));
    refuse("name");
}
END_TEST

START_TEST(frontend_must_be_ours)
{
    static const char *const keys[] = { "rate", "window", "hop", "fft", "mels", "floor" };
    json_t *frontend = json_object_get(im.config, "frontend");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *good = json_incref(json_object_get(frontend, keys[i]));
        json_object_set_new(frontend, keys[i], json_integer(81));
        refuse(strcmp(keys[i], "mels") ? keys[i] : "frontend.mel_filters");
        json_object_set_new(frontend, keys[i], json_integer(-1));
        refuse(keys[i]);
        json_object_set(frontend, keys[i], good);
        json_decref(good);
    }
    json_object_del(im.config, "frontend");
    refuse("configuration");
}
END_TEST

START_TEST(labels_must_be_names)
{
    static const char *const bad[] = { "null", "\"\"", "7", "\"a label of 16 ch.\"", "[]" };
    json_t *labels = json_object_get(im.config, "labels");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_array_set_new(labels, 39, json_loads(bad[i], JSON_DECODE_ANY, NULL));
        refuse("label 39");
    }
    json_array_remove(labels, 39);
    refuse("labels");
    json_object_set_new(im.config, "labels", json_object());
    refuse("labels");
    json_object_del(im.config, "labels");
    refuse("labels");
}
END_TEST

START_TEST(program_asks_for_what_there_is_not)
{
    static const struct {
        const char *key, *value, *word;
    } cases[] = {
        { "op", "\"mimic\"", "mimic" },   { "op", "3", "op" },
        { "attn", "\"reuse\"", "reuse" }, { "attn", "{\"reuse\": 0}", "attn" },
        { "block", "1", "block" },        { "block", "-1", "block" },
        { "block", "0.0", "block" },      { "block", "1e300", "block" },
        { "norms", "1", "norms" },        { "norms", "9999999999", "norms" },
        { "norms", "null", "norms" },     { "router", "0", "experts" },
        { "experts", "0", "experts" },    { "exit", "0", "exit" },
        { "exit", "1.5", "exit" },        { "exit", "-0.5", "exit" },
        { "exit", "\"all\"", "exit" },    { "exit", "null", "exit" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *layer = image_layer(&im, 5), *good = json_deep_copy(layer);
        json_object_set_new(layer, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        refuse(cases[i].word);
        json_array_set_new(json_object_get(im.config, "program"), 5, good);
    }
    json_object_set_new(image_layer(&im, 0), "exit", json_real(0.5)); /* of what? */
    refuse("exit");
    json_object_del(image_layer(&im, 0), "exit");
    json_array_set_new(json_object_get(im.config, "program"), 5, json_string("conformer"));
    refuse("op");
}
END_TEST

START_TEST(program_has_1_to_64_layers)
{
    json_t *program = json_object_get(im.config, "program");
    while (json_array_size(program) < 65)
        json_array_append(program, json_array_get(program, 0));
    refuse("program");
    json_array_clear(program);
    refuse("program");
    json_object_set_new(im.config, "program", json_integer(12));
    refuse("program");
    json_object_del(im.config, "program");
    refuse("program");
}
END_TEST

START_TEST(duplicate_configuration_keys)
{
    char *text = json_dumps(im.config, JSON_COMPACT), *twice = malloc(strlen(text) + 32);
    sprintf(twice, "{\"dim\":64,%s", text + 1);
    json_object_set_new(json_object_get(im.header, "__metadata__"), "shoal", json_string(twice));
    json_decref(im.config);
    im.config = NULL;
    refuse("duplicate");
    free(text);
    free(twice);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_config");
    TCase *c = tcase_create("model_config");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, every_size_is_bounded, 0, sizeof integers / sizeof *integers);
    tcase_add_test(c, sizes_must_fit_the_tensors);
    tcase_add_test(c, frontend_must_be_ours);
    tcase_add_test(c, labels_must_be_names);
    tcase_add_test(c, program_asks_for_what_there_is_not);
    tcase_add_test(c, program_has_1_to_64_layers);
    tcase_add_test(c, duplicate_configuration_keys);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

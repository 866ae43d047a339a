/* card.c - see card.h */
#include "base/card.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The built-in model's card; empty if it has none. */
__asm__(".section .rodata\n"
        ".globl shoald_default_card\n"
        ".globl shoald_default_card_end\n"
        ".hidden shoald_default_card\n"
        ".hidden shoald_default_card_end\n"
        "shoald_default_card:\n"
        ".incbin \"" SHOALD_CARD_FILE "\"\n"
        "shoald_default_card_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char shoald_default_card[] __attribute__((visibility("hidden")));
extern const char shoald_default_card_end[] __attribute__((visibility("hidden")));

static json_t *load(const char *path)
{
    static const char end[] = ".safetensors";
    char name[PATH_MAX + 8];
    size_t n = strlen(path);
    if (n == 0)
        return json_loadb(shoald_default_card,
                          (size_t)(shoald_default_card_end - shoald_default_card), 0, NULL);
    if (n >= sizeof end && strcmp(path + n - (sizeof end - 1), end) == 0)
        n -= sizeof end - 1;
    snprintf(name, sizeof name, "%.*s.json", (int)n, path);
    return json_load_file(name, 0, NULL);
}

static double rate_of(const json_t *card, int chunk_ms, int depth)
{
    char chunk[16], layer[16];
    snprintf(chunk, sizeof chunk, "%d", chunk_ms);
    snprintf(layer, sizeof layer, "%d", depth);
    const json_t *rate =
        json_object_get(json_object_get(json_object_get(card, "per_decoded"), chunk), layer);
    return json_is_number(rate) ? json_number_value(rate) : (double)NAN;
}

void shoald_card_read(double *per, const shoal_model_info *m, const char *path, int chunk_ms)
{
    json_t *card = load(path);
    const char *sha256 = json_string_value(json_object_get(card, "sha256"));
    bool same = sha256 && strcmp(sha256, m->sha256) == 0;
    for (int i = 0; i < m->depth; i++)
        per[i] = same ? rate_of(card, chunk_ms, i + 1) : (double)NAN;
    json_decref(card);
}

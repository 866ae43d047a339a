/* card.c - see card.h */
#include "base/card.h"

#include "base/lines.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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
    char name[PATH_MAX + 8], why[160];
    size_t n = strlen(path);
    if (n == 0)
        return json_loadb(shoald_default_card,
                          (size_t)(shoald_default_card_end - shoald_default_card), 0, NULL);
    if (n >= sizeof end && strcmp(path + n - (sizeof end - 1), end) == 0)
        n -= sizeof end - 1;
    snprintf(name, sizeof name, "%.*s.json", (int)n, path);
    FILE *f = shoald_lines_open(name, why, sizeof why);
    json_t *card = f ? json_loadf(f, 0, NULL) : NULL;
    if (f)
        fclose(f);
    return card;
}

const int shoald_card_chunk_ms[SHOALD_CARD_CHUNKS] = { 80, 160, 320, 640 };

/* [table][chunk_ms][depth] */
static json_t *entry(const json_t *card, const char *table, int chunk_ms, int depth)
{
    char chunk[16], layer[16];
    snprintf(chunk, sizeof chunk, "%d", chunk_ms);
    snprintf(layer, sizeof layer, "%d", depth);
    return json_object_get(json_object_get(json_object_get(card, table), chunk), layer);
}

static double number(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void read_cells(shoald_card_cell *cells, int depths, const json_t *card)
{
    for (int c = 0; c < SHOALD_CARD_CHUNKS; c++)
        for (int depth = 1; depth <= depths; depth++) {
            const json_t *settled = entry(card, "settled", shoald_card_chunk_ms[c], depth);
            *cells++ = (shoald_card_cell){
                .per = number(entry(card, "per_decoded", shoald_card_chunk_ms[c], depth)),
                .settled_p50_ms = number(json_array_get(settled, 0)),
                .settled_p90_ms = number(json_array_get(settled, 1)),
            };
        }
}

/* 0 or -1 (no memory). */
static int read_priors(shoald_card *c, const shoal_model_info *m, const json_t *card)
{
    const json_t *list = json_object_get(card, "priors");
    size_t n = (size_t)m->classes;
    if (!m->priors && json_array_size(list) != n)
        return 0;
    c->priors = calloc(n, sizeof *c->priors);
    for (size_t i = 0; c->priors && i < n; i++)
        c->priors[i] = m->priors ? m->priors[i] : (float)number(json_array_get(list, i));
    return c->priors ? 0 : -1;
}

int shoald_card_read(shoald_card *c, const shoal_model_info *m, const char *path)
{
    json_t *card = load(path);
    const char *sha256 = json_string_value(json_object_get(card, "sha256"));
    const json_t *known = sha256 && strcmp(sha256, m->sha256) == 0 ? card : NULL;
    *c = (shoald_card){ 0 };
    c->cells = calloc((size_t)(SHOALD_CARD_CHUNKS * m->depth), sizeof *c->cells);
    int result = c->cells ? read_priors(c, m, known) : -1;
    if (result == 0)
        read_cells(c->cells, m->depth, known);
    else
        shoald_card_free(c);
    json_decref(card);
    return result;
}

void shoald_card_free(shoald_card *c)
{
    free(c->cells);
    free(c->priors);
    *c = (shoald_card){ 0 };
}

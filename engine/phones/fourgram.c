/* fourgram.c - the table of fourgrams that model files had before longer contexts
 *
 * Its keys, ((g C + h) C + q) C + p, are ordered by the oldest phone first; a tree wants the newest
 * first: contexts ((h, q), g).
 */
#include <stdbool.h>
#include <stdlib.h>

#include "phones/tables.h"

enum { CLASSES_MOST = 64 }; /* whose four digits a float holds exactly */

struct slot {
    int entries; /* of this context; then, where its next one goes */
    int node;
};

static bool is_ascending(const float *fourgram, int count, int C)
{
    for (int i = 0, key = -1; i < count; i++)
        if ((key = shoal__ngram_key(fourgram[2 * i], key + 1, C * C * C * C)) < 0)
            return false;
    return true;
}

static struct slot *slot_of(struct slot *slots, float key, int C)
{
    int ghq = (int)key / C;
    return &slots[ghq % (C * C) * C + ghq / (C * C)];
}

/* slots: one for each context, zeros. */
static int sort(const float *fourgram, int count, int C, struct slot *slots, float *contexts,
                float *entries)
{
    int found = 0;
    for (int i = 0; i < count; i++)
        slot_of(slots, fourgram[2 * i], C)->entries++;
    for (int k = 0, at = 0, n; k < C * C * C; k++, at += n) {
        n = slots[k].entries;
        slots[k] = (struct slot){ at, C * C + found };
        if (n)
            contexts[found++] = (float)k;
    }
    for (int i = 0; i < count; i++) {
        struct slot *s = slot_of(slots, fourgram[2 * i], C);
        float *e = entries + 2 * s->entries++;
        e[0] = (float)(s->node * C + (int)fourgram[2 * i] % C);
        e[1] = fourgram[2 * i + 1];
    }
    return found;
}

int shoal__fourgram_read(shoal__ngram_tables *t, const float *fourgram, int count, int C)
{
    *t = (shoal__ngram_tables){ 0 };
    if (C > CLASSES_MOST || !is_ascending(fourgram, count, C))
        return SHOAL_EMODEL;
    struct slot *slots = calloc((size_t)(C * C * C), sizeof *slots);
    float *contexts = malloc(((size_t)count + 1) * sizeof *contexts);
    float *entries = malloc((2 * (size_t)count + 1) * sizeof *entries);
    int found =
        slots && contexts && entries ? sort(fourgram, count, C, slots, contexts, entries) : 0;
    int rc = slots && contexts && entries ? 0 : SHOAL_ENOMEM;
    free(slots);
    *t = (shoal__ngram_tables){ contexts, found, entries, count };
    return rc;
}

void shoal__fourgram_free(shoal__ngram_tables *t)
{
    free((void *)t->contexts);
    free((void *)t->entries);
}

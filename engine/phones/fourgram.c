/* fourgram.c - the listed fourgrams of a model file as rows of scores, one for each of their
 * contexts
 *
 * Made once when the model opens: the decoder reads a row for every living path and frame.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phones/tables.h"

/* Keys must be whole, ascending and below C^4. Returns the number of contexts, or -1. */
static int count_contexts(const float *entries, int count, int C)
{
    int contexts = 0;
    float last = -1.0f, end = (float)(C * C) * (float)(C * C);
    for (int i = 0; i < count; i++) {
        float key = entries[2 * i];
        if (!(key > last && key < end && key == floorf(key)))
            return -1;
        contexts += i == 0 || (int)key / C != (int)last / C;
        last = key;
    }
    return contexts;
}

/* Entries [first, last) of one context to its row, which holds the trigram's scores. */
static void list(float *row, const float *entries, int first, int last, int C)
{
    int context = (int)entries[2 * first] / C, phone = context % C;
    float staying = row[phone];
    for (int i = first; i < last; i++)
        if ((int)entries[2 * i] % C == phone)
            for (int p = 0; p < C; p++)
                row[p] += entries[2 * i + 1];
    for (int i = first; i < last; i++)
        row[(int)entries[2 * i] % C] = entries[2 * i + 1];
    row[phone] = staying;
}

int shoal__fourgram_make(shoal__fourgram *f, const float *entries, int count, const float *trigram,
                         int C)
{
    int contexts = count_contexts(entries, count, C), histories = C * C * C;
    if (contexts < 0)
        return SHOAL_EMODEL;
    f->row = calloc((size_t)histories, sizeof *f->row);
    f->rows = malloc((size_t)(contexts + 1) * (size_t)C * sizeof *f->rows);
    if (!f->row || !f->rows)
        return SHOAL_ENOMEM;
    float *row = f->rows;
    for (int i = 0, next; i < count; i = next) {
        int context = (int)entries[2 * i] / C;
        for (next = i; next < count && (int)entries[2 * next] / C == context; next++)
            ;
        memcpy(row, trigram + (size_t)(context % (C * C)) * (size_t)C, (size_t)C * sizeof *row);
        list(row, entries, i, next, C);
        row += C;
        f->row[context] = (int)((row - f->rows) / C);
    }
    f->least = f->most = *trigram;
    for (const float *s = f->rows; s < row; s++) {
        f->least = *s < f->least ? *s : f->least;
        f->most = *s > f->most ? *s : f->most;
    }
    return 0;
}

void shoal__fourgram_free(shoal__fourgram *f)
{
    free(f->row);
    free(f->rows);
}

/* tables_bind.c - the tensors decoder.* to the decoder's searches
 *
 * Every file has the search with the language model and without durations; the others may be
 * missing (docs/model-format.md).
 */
#include <stdio.h>

#include "model/bind.h"

/* Tells which table is not what docs/model-format.md says. */
static void explain(shoal__binder *b, int rc)
{
    if (rc == SHOAL_ENOMEM)
        b->rc = shoal__explain(b->why, b->size, rc, "out of memory");
    else if (rc == SHOAL__NGRAM_CONTEXTS)
        b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                               "tensor 'decoder.contexts': must be whole numbers, ascending, each "
                               "below a pair or a context before it, of at most %d phones",
                               SHOAL__OLDER_MOST + 2);
    else if (rc)
        b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                               "tensor 'decoder.%s': its first column must be whole numbers, "
                               "ascending, each of %s",
                               rc == SHOAL__NGRAM_ENTRIES ? "ngrams" : "fourgram",
                               rc == SHOAL__NGRAM_ENTRIES ? "a context" : "four classes below 64");
}

static const shoal__ngrams *bind_ngrams(shoal__binder *b, const float *trigram)
{
    const shoal__safetensors *st = b->m->tensors;
    int C = b->m->config.classes, count = shoal__safetensors_dim(st, "decoder.contexts", 0),
        entries = shoal__safetensors_dim(st, "decoder.ngrams", 0);
    shoal__ngram_tables t = { .count = count, .entry_count = entries };
    t.contexts = shoal__bind(b, 1, count, 0, "decoder.contexts");
    t.entries = shoal__bind(b, 2, entries, 2, "decoder.ngrams");
    if (b->rc == 0)
        explain(b, shoal__ngrams_make(&b->m->ngrams, &t, trigram, C));
    return &b->m->ngrams;
}

/* What files had instead before there were longer contexts. */
static const shoal__ngrams *bind_fourgram(shoal__binder *b, const float *trigram)
{
    static const char name[] = "decoder.fourgram";
    int C = b->m->config.classes, count = shoal__safetensors_dim(b->m->tensors, name, 0);
    const float *fourgram = shoal__bind(b, 2, count, 2, name);
    if (b->rc < 0)
        return NULL;
    shoal__ngram_tables t;
    int rc = shoal__fourgram_read(&t, fourgram, count, C);
    explain(b, rc ? rc : shoal__ngrams_make(&b->m->ngrams, &t, trigram, C));
    shoal__fourgram_free(&t);
    return &b->m->ngrams;
}

/* A file has a bigram or a trigram; with both, the bigram belongs to nothing. */
static void bind_language_model(shoal__binder *b)
{
    shoal__search *s = &b->m->searches[SHOAL__LM];
    int C = b->m->config.classes,
        trigram = shoal__safetensors_has(b->m->tensors, "decoder.trigram");
    s->histories = trigram ? C : 1;
    s->transition =
        shoal__bind(b, 2, s->histories * C, C, trigram ? "decoder.trigram" : "decoder.transition");
    s->log_prior = shoal__bind(b, 1, C, 0, "decoder.log_prior");
    if (b->rc < 0 || !trigram)
        return;
    if (shoal__safetensors_has(b->m->tensors, "decoder.contexts"))
        s->ngrams = bind_ngrams(b, s->transition);
    else if (shoal__safetensors_has(b->m->tensors, "decoder.fourgram"))
        s->ngrams = bind_fourgram(b, s->transition);
}

/* Columns of a search's tables; 0 if the file does not have it. */
static int ages_of(shoal__binder *b, const char *leave)
{
    if (b->rc < 0 || !shoal__safetensors_has(b->m->tensors, leave))
        return 0;
    int ages = shoal__safetensors_dim(b->m->tensors, leave, 1);
    if (ages <= SHOAL__MAX_AGES)
        return ages ? ages : 1; /* a vector: bind will say what is wrong with it */
    b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                           "tensor '%.80s' tells %d ages apart, at most %d are "
                           "allowed",
                           leave, ages, SHOAL__MAX_AGES);
    return 0;
}

/* The other searches; files may lack them. */
static void bind_search(shoal__binder *b, int which, const char *prefix)
{
    shoal__search *s = &b->m->searches[which];
    const shoal__search *lm = &b->m->searches[SHOAL__LM];
    int C = b->m->config.classes;
    char leave[64];
    snprintf(leave, sizeof leave, "%s.leave", prefix);
    s->ages = ages_of(b, leave);
    if (s->ages == 0)
        return;
    s->histories = which & SHOAL__LM ? lm->histories : 1;
    s->transition = which & SHOAL__LM ? lm->transition : NULL;
    s->ngrams = which & SHOAL__LM ? lm->ngrams : NULL;
    s->leave = shoal__bind(b, 2, C, s->ages, "%s", leave);
    s->stay = shoal__bind(b, 2, C, s->ages, "%s.stay", prefix);
    s->log_prior = shoal__bind(b, 1, C, 0, "%s.log_prior", prefix);
}

void shoal__tables_bind(shoal__binder *b)
{
    bind_language_model(b);
    bind_search(b, SHOAL__LM | SHOAL__DURATIONS, "decoder.lm_durations");
    bind_search(b, SHOAL__DURATIONS, "decoder.durations");
    bind_search(b, 0, "decoder.plain");
    for (int i = 0; b->rc == 0 && i < SHOAL__SEARCHES; i++) {
        shoal__search *s = &b->m->searches[i];
        s->exact_beam = s->log_prior ? shoal__search_beam(s, b->m->config.classes) : 0.0f;
    }
}

void shoal__tables_free(shoal_model *m)
{
    shoal__ngrams_free(&m->ngrams);
}

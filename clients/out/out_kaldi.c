/* out_kaldi.c - features as Kaldi reads them: STEM.posteriors.ark and .scp
 *
 *     ark:  key ' ' "\0B" "FM " '\4' rows(i32) '\4' columns(i32) rows*columns f32, little-endian
 *     scp:  key ' ' PATH ':' offset of "\0B"
 *
 * A matrix a file, so that each appears when it is whole; `cat *.scp` is the list of a corpus. The
 * number of rows is known only at the end and is written then. Where the run has priors, posteriors
 * become log-likelihoods up to a constant: log p(class | sound) - log p(class).
 */
#include "out/out.h"

#include "shoal-protocol.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARKS = 3 * (1 + SHOAL_MAX_TAPS) + 1 };

typedef struct ark {
    char name[OUT_NAME_SIZE]; /* of the output */
    out_file matrix, list;
    int dim;
    int64_t frames;
} ark;

typedef struct out_kaldi {
    out base;
    out_run *run;
    char *input, *key;
    ark arks[MAX_ARKS];
    int count;
} out_kaldi;

static void put_int(FILE *f, int64_t value)
{
    uint32_t v = (uint32_t)value;

    putc(4, f);
    for (int i = 0; i < 4; i++)
        putc((int)(v >> 8 * i & 0xff), f);
}

static int write_head(const out_kaldi *o, const ark *a)
{
    FILE *f = a->matrix.f;

    fprintf(f, "%s ", o->key);
    fwrite("\0BFM ", 1, 5, f);
    put_int(f, a->frames);
    put_int(f, a->dim);
    return ferror(f) ? -1 : 0;
}

static int open_files(out_kaldi *o, ark *a, const char *name, char *why, size_t why_size)
{
    char suffix[OUT_NAME_SIZE + 8];

    snprintf(suffix, sizeof suffix, "%s.ark", name);
    if (out_file_open(&a->matrix, o->run, o->input, suffix, why, why_size) < 0)
        return -1;
    snprintf(suffix, sizeof suffix, "%s.scp", name);
    if (out_file_open(&a->list, o->run, o->input, suffix, why, why_size) == 0)
        return 0;
    out_file_discard(&a->matrix);
    return -1;
}

static ark *find_ark(out_kaldi *o, const char *kind, int tap, int dim, char *why, size_t why_size)
{
    char name[OUT_NAME_SIZE];
    ark *a = o->arks;

    if (o->run->priors && !strcmp(kind, "posteriors"))
        kind = "loglikes";
    out_name(name, kind, tap);
    for (; a < o->arks + o->count; a++)
        if (!strcmp(a->name, name))
            return a;
    if (o->count == MAX_ARKS) {
        snprintf(why, why_size, "the server sends more outputs than were asked for");
        return NULL;
    }
    memcpy(a->name, name, sizeof name);
    if (open_files(o, a, name, why, why_size) < 0)
        return NULL;
    o->count++;
    a->dim = dim;
    if (write_head(o, a) == 0)
        return a;
    out_file_error(&a->matrix, why, why_size);
    return NULL;
}

static int kaldi_announce(out *base, const char *kind, int tap, int dim, char *why, size_t why_size)
{
    out_kaldi *o = (out_kaldi *)base;

    if (dim && o->run->priors && !strcmp(kind, "posteriors") && o->run->prior_count != dim) {
        snprintf(why, why_size, "the server tells priors of %d classes, but posteriors have %d",
                 o->run->prior_count, dim);
        return -1;
    }
    return !dim || find_ark(o, kind, tap, dim, why, why_size) ? 0 : -1;
}

/* Rows of posteriors less the logarithms of the priors. */
static int write_loglikes(const out_kaldi *o, FILE *f, const out_features *x)
{
    float row[SHOAL_MAX_CLASSES];

    for (int i = 0; i < x->frames; i++) {
        for (int k = 0; k < x->dim; k++)
            row[k] =
                x->rows[(size_t)i * (size_t)x->dim + (size_t)k] - (float)log(o->run->priors[k]);
        if (out_write_floats(f, row, (size_t)x->dim) < 0)
            return -1;
    }
    return 0;
}

static int kaldi_features(out *base, const out_features *x, char *why, size_t why_size)
{
    out_kaldi *o = (out_kaldi *)base;
    ark *a = find_ark(o, x->kind, x->from.tap, x->dim, why, why_size);
    int bad;

    if (!a)
        return -1;
    if (x->dim != a->dim) {
        snprintf(why, why_size, "%s rows changed from %d to %d numbers", a->name, a->dim, x->dim);
        return -1;
    }
    if (o->run->priors && !strcmp(x->kind, "posteriors"))
        bad = write_loglikes(o, a->matrix.f, x);
    else
        bad = out_write_floats(a->matrix.f, x->rows, (size_t)x->frames * (size_t)x->dim);
    a->frames += x->frames;
    return bad < 0 ? out_file_error(&a->matrix, why, why_size) : 0;
}

/* The list last: what it names is there. */
static int commit(out_kaldi *o, ark *a, char *why, size_t why_size)
{
    fprintf(a->list.f, "%s %s:%zu\n", o->key, a->matrix.path, strlen(o->key) + 1);
    if (fseek(a->matrix.f, 0, SEEK_SET) < 0 || write_head(o, a) < 0) {
        out_file_error(&a->matrix, why, why_size);
        out_file_discard(&a->matrix);
        out_file_discard(&a->list);
        return -1;
    }
    if (out_file_commit(&a->matrix, why, why_size) == 0)
        return out_file_commit(&a->list, why, why_size);
    out_file_discard(&a->list);
    return -1;
}

static int kaldi_finish(out *base, double duration, char *why, size_t why_size)
{
    out_kaldi *o = (out_kaldi *)base;
    int bad = 0;

    (void)duration;
    for (ark *a = o->arks; a < o->arks + o->count; a++)
        bad |= commit(o, a, why, why_size);
    o->count = 0;
    return bad;
}

static void kaldi_free(out *base)
{
    out_kaldi *o = (out_kaldi *)base;

    for (int i = 0; i < o->count; i++) {
        out_file_discard(&o->arks[i].matrix);
        out_file_discard(&o->arks[i].list);
    }
    free(o->input);
    free(o->key);
    free(o);
}

static const out_ops kaldi_ops = { kaldi_announce, out_ignore_phones,
                                   kaldi_features, out_ignore_activity,
                                   NULL,           kaldi_finish,
                                   kaldi_free };

/* "talk" -> "talk.ch2" */
static int add_channel(out_kaldi *o, int channel)
{
    char *key;

    if (asprintf(&key, "%s.ch%d", o->key, channel) < 0)
        return -1;
    free(o->key);
    o->key = key;
    return 0;
}

/* A list is lines, has no escapes, and what reads it takes the blanks in front of a path away. */
static int can_be_listed(const char *path)
{
    if (isspace((unsigned char)*path))
        return 0;
    for (; *path; path++)
        if (iscntrl((unsigned char)*path))
            return 0;
    return 1;
}

static int check_path(const out_run *run, const char *input, char *why, size_t why_size)
{
    char *path = out_path(run, input, "scp");
    int good = path && can_be_listed(path);

    if (!path)
        snprintf(why, why_size, "out of memory");
    else if (!good)
        snprintf(
            why, why_size,
            "Kaldi's lists (.scp) cannot hold the path of its results, which has a line break or "
            "another control character in it or begins with a blank; rename the file or its "
            "folder, or choose another --out-dir");
    free(path);
    return good ? 0 : -1;
}

int out_kaldi_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    out_kaldi *o;

    if (check_path(run, input, why, why_size) < 0)
        return -1;
    o = calloc(1, sizeof *o);
    if (!o || !(o->input = strdup(input)) || !(o->key = out_key(input))) {
        snprintf(why, why_size, "out of memory");
        if (o)
            kaldi_free(&o->base);
        return -1;
    }
    if (run->channel && add_channel(o, run->channel) < 0) {
        snprintf(why, why_size, "out of memory");
        kaldi_free(&o->base);
        return -1;
    }
    o->base.ops = &kaldi_ops;
    o->run = run;
    *result = &o->base;
    return 0;
}

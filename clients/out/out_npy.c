/* out_npy.c - features as NumPy arrays: STEM.posteriors.npy, STEM.embedding@12.npy
 *
 * NPY version 1.0, little-endian float32, C order, [frames, dim]. The number of frames is known
 * only at the end, so the header is written with room to spare and once more when it is.
 *
 *     offset 0   "\x93NUMPY" 1 0, u16 header size, header text padded with blanks, newline
 *     offset 128 rows
 */
#include "out/out.h"

#include "shoal-protocol.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES = 128, MAX_ARRAYS = 3 * (1 + SHOAL_MAX_TAPS) + 1 };

typedef struct array_file {
    char name[OUT_NAME_SIZE]; /* of the output */
    out_file file;
    int dim;
    int64_t frames;
} array_file;

typedef struct out_npy {
    out base;
    out_run *run;
    char *input;
    array_file arrays[MAX_ARRAYS];
    int count;
} out_npy;

static int write_header(array_file *a)
{
    char header[HEADER_BYTES];
    int n = snprintf(header + 10, sizeof header - 10,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %d), }",
                     (long long)a->frames, a->dim);

    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = HEADER_BYTES - 10;
    header[9] = 0;
    memset(header + 10 + n, ' ', sizeof header - 10 - (size_t)n);
    header[HEADER_BYTES - 1] = '\n';
    return fwrite(header, sizeof header, 1, a->file.f) == 1 ? 0 : -1;
}

static array_file *find_array(out_npy *o, const char *kind, int tap, int dim, char *why,
                              size_t why_size)
{
    char name[OUT_NAME_SIZE], suffix[OUT_NAME_SIZE + 8];
    array_file *a = o->arrays;

    out_name(name, kind, tap);
    for (; a < o->arrays + o->count; a++)
        if (!strcmp(a->name, name))
            return a;
    if (o->count == MAX_ARRAYS) {
        snprintf(why, why_size, "the server sends more outputs than were asked for");
        return NULL;
    }
    memcpy(a->name, name, sizeof name);
    snprintf(suffix, sizeof suffix, "%s.npy", name);
    if (out_file_open(&a->file, o->run, o->input, suffix, why, why_size) < 0)
        return NULL;
    o->count++;
    a->dim = dim;
    if (write_header(a) == 0)
        return a;
    out_file_error(&a->file, why, why_size);
    return NULL;
}

static int npy_announce(out *o, const char *kind, int tap, int dim, char *why, size_t why_size)
{
    return !dim || find_array((out_npy *)o, kind, tap, dim, why, why_size) ? 0 : -1;
}

static int npy_features(out *o, const out_features *f, char *why, size_t why_size)
{
    array_file *a = find_array((out_npy *)o, f->kind, f->from.tap, f->dim, why, why_size);

    if (!a)
        return -1;
    if (f->dim != a->dim) {
        snprintf(why, why_size, "%s rows changed from %d to %d numbers", a->name, a->dim, f->dim);
        return -1;
    }
    if (out_write_floats(a->file.f, f->rows, (size_t)f->frames * (size_t)f->dim) < 0)
        return out_file_error(&a->file, why, why_size);
    a->frames += f->frames;
    return 0;
}

static int npy_finish(out *o, double duration, char *why, size_t why_size)
{
    out_npy *n = (out_npy *)o;
    int bad = 0;

    (void)duration;
    for (array_file *a = n->arrays; a < n->arrays + n->count; a++) {
        if (fseek(a->file.f, 0, SEEK_SET) < 0 || write_header(a) < 0) {
            out_file_error(&a->file, why, why_size);
            out_file_discard(&a->file);
            bad = -1;
        } else if (out_file_commit(&a->file, why, why_size) < 0) {
            bad = -1;
        }
    }
    n->count = 0;
    return bad;
}

static void npy_free(out *o)
{
    out_npy *n = (out_npy *)o;

    for (int i = 0; i < n->count; i++)
        out_file_discard(&n->arrays[i].file);
    free(n->input);
    free(n);
}

static const out_ops npy_ops = { npy_announce, out_ignore_phones, npy_features, out_ignore_activity,
                                 NULL,         npy_finish,        npy_free };

int out_npy_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    out_npy *n = calloc(1, sizeof *n);

    if (!n || !(n->input = strdup(input))) {
        snprintf(why, why_size, "out of memory");
        free(n);
        return -1;
    }
    n->base.ops = &npy_ops;
    n->run = run;
    *result = &n->base;
    return 0;
}

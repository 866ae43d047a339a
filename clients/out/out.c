/* out.c - see out.h: names, and files that appear when they are whole */
#include "out/out.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int out_ignore_announce(out *o, const char *kind, int tap, int dim, char *why, size_t why_size)
{
    (void)o, (void)kind, (void)tap, (void)dim, (void)why, (void)why_size;
    return 0;
}

int out_ignore_phones(out *o, out_source from, const out_phone *phones, int n, char *why,
                      size_t why_size)
{
    (void)o, (void)from, (void)phones, (void)n, (void)why, (void)why_size;
    return 0;
}

int out_ignore_features(out *o, const out_features *features, char *why, size_t why_size)
{
    (void)o, (void)features, (void)why, (void)why_size;
    return 0;
}

int out_ignore_activity(out *o, out_source from, const out_activity *activity, char *why,
                        size_t why_size)
{
    (void)o, (void)from, (void)activity, (void)why, (void)why_size;
    return 0;
}

void out_name(char name[OUT_NAME_SIZE], const char *kind, int tap)
{
    int n = snprintf(name, OUT_NAME_SIZE, "%s", kind);

    if (tap)
        snprintf(name + n, OUT_NAME_SIZE - (size_t)n, "@%d", tap);
}

void out_names_free(out_names *n)
{
    for (int i = 0; i < n->count; i++)
        free(n->names[i]);
    free(n->names);
    n->names = NULL;
    n->count = 0;
}

/* "dir/a.b.wav" -> length of "a.b" at *stem. A leading dot is part of the name. */
static int stem_of(const char *path, const char **stem)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');

    *stem = name;
    return (int)(dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

char *out_key(const char *input)
{
    const char *stem;
    size_t n = (size_t)stem_of(input, &stem);
    char *key = strndup(stem, n);

    for (char *p = key; p && *p; p++)
        if (isspace((unsigned char)*p))
            *p = '_';
    return key;
}

int out_write_floats(FILE *f, const float *x, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, x + i, 4);
        bits = __builtin_bswap32(bits);
        if (fwrite(&bits, 4, 1, f) != 1)
            return -1;
    }
    return 0;
#else
    return !n || fwrite(x, sizeof *x, n, f) == n ? 0 : -1;
#endif
}

static int is_input(const out_run *run, const char *path)
{
    struct stat target, input;

    if (stat(path, &target) < 0)
        return 0;
    for (int i = 0; i < run->input_count; i++)
        if (!stat(run->inputs[i], &input) && input.st_dev == target.st_dev &&
            input.st_ino == target.st_ino)
            return 1;
    return 0;
}

/* 1: it is new; 0: it is there; -1: no memory. */
static int add_name(out_names *n, const char *path)
{
    char **more, *name;

    for (int i = 0; i < n->count; i++)
        if (!strcmp(n->names[i], path))
            return 0;
    more = realloc(n->names, ((size_t)n->count + 1) * sizeof *more);
    if (!more)
        return -1;
    n->names = more;
    if (!(name = strdup(path)))
        return -1;
    more[n->count++] = name;
    return 1;
}

static int remember(out_names *n, const char *path)
{
    int r;

    pthread_mutex_lock(&n->lock);
    r = add_name(n, path);
    pthread_mutex_unlock(&n->lock);
    return r;
}

static void forget(out_names *n, const char *path)
{
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < n->count; i++)
        if (!strcmp(n->names[i], path)) {
            free(n->names[i]);
            n->names[i--] = n->names[--n->count];
        }
    pthread_mutex_unlock(&n->lock);
}

static int check_name(out_run *run, const char *path, char *why, size_t why_size)
{
    int r = is_input(run, path) ? -2 : run->written ? remember(run->written, path) : 1;

    if (r == -2)
        snprintf(why, why_size, "would overwrite the input %s; choose another --out-dir", path);
    if (r == 0)
        snprintf(why, why_size,
                 "%s was already written for another input of the same name in "
                 "this run; stream the two in separate runs with different --out-dir",
                 path);
    if (r == -1)
        snprintf(why, why_size, "out of memory");
    return r == 1 ? 0 : -1;
}

int out_file_error(const out_file *file, char *why, size_t why_size)
{
    snprintf(why, why_size, "cannot write %s: %s", file->path ? file->path : "the output",
             strerror(errno));
    return -1;
}

char *out_path(const out_run *run, const char *input, const char *suffix)
{
    const char *stem;
    int n = stem_of(input, &stem), beside = (int)(stem - input);
    char channel[16] = "", *path = NULL;

    if (run->channel)
        snprintf(channel, sizeof channel, ".ch%d", run->channel);
    if (run->dir ? asprintf(&path, "%s/%.*s%s.%s", run->dir, n, stem, channel, suffix) < 0
                 : asprintf(&path, "%.*s%.*s%s.%s", beside, input, n, stem, channel, suffix) < 0)
        return NULL;
    return path;
}

int out_file_open(out_file *file, out_run *run, const char *input, const char *suffix, char *why,
                  size_t why_size)
{
    memset(file, 0, sizeof *file);
    file->path = out_path(run, input, suffix);
    if (!file->path || asprintf(&file->part, "%s.part", file->path) < 0) {
        file->part = NULL;
        snprintf(why, why_size, "out of memory");
    } else if (!check_name(run, file->path, why, why_size)) {
        file->f = fopen(file->part, "wb");
        if (file->f)
            return 0;
        out_file_error(file, why, why_size);
        if (run->written) /* another input of that name is not to hear that it was */
            forget(run->written, file->path);
    }
    out_file_discard(file);
    return -1;
}

int out_file_commit(out_file *file, char *why, size_t why_size)
{
    int bad = fflush(file->f) | ferror(file->f);

    bad |= fclose(file->f);
    file->f = NULL;
    if (bad || rename(file->part, file->path) < 0) {
        out_file_error(file, why, why_size);
        remove(file->part);
        bad = 1;
    }
    free(file->path);
    free(file->part);
    memset(file, 0, sizeof *file);
    return bad ? -1 : 0;
}

void out_file_discard(out_file *file)
{
    if (file->f) {
        fclose(file->f);
        remove(file->part);
    }
    free(file->path);
    free(file->part);
    memset(file, 0, sizeof *file);
}

int out_print_flush(FILE *f, char *why, size_t why_size)
{
    if (!fflush(f) && !ferror(f))
        return 0;
    snprintf(why, why_size, "cannot write the output: %s", strerror(errno));
    return -1;
}

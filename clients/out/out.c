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

void out_run_free(out_run *run)
{
    for (int i = 0; i < run->written_count; i++)
        free(run->written[i]);
    free(run->written);
    run->written = NULL;
    run->written_count = 0;
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

static int was_written(const out_run *run, const char *path)
{
    for (int i = 0; i < run->written_count; i++)
        if (!strcmp(run->written[i], path))
            return 1;
    return 0;
}

static int remember(out_run *run, const char *path)
{
    size_t n = (size_t)run->written_count + 1;
    char **more = realloc(run->written, n * sizeof *more);

    if (!more)
        return -1;
    run->written = more;
    more[n - 1] = strdup(path);
    if (!more[n - 1])
        return -1;
    run->written_count++;
    return 0;
}

static int check_name(out_run *run, const char *path, char *why, size_t why_size)
{
    if (is_input(run, path)) {
        snprintf(why, why_size, "would overwrite the input %s; choose another --out-dir", path);
        return -1;
    }
    if (was_written(run, path)) {
        snprintf(why, why_size,
                 "%s was already written for another input of the same name in "
                 "this run; stream the two in separate runs with different --out-dir",
                 path);
        return -1;
    }
    if (remember(run, path) < 0) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    return 0;
}

int out_file_error(const out_file *file, char *why, size_t why_size)
{
    snprintf(why, why_size, "cannot write %s: %s", file->path ? file->path : "the output",
             strerror(errno));
    return -1;
}

int out_file_open(out_file *file, out_run *run, const char *input, const char *suffix, char *why,
                  size_t why_size)
{
    const char *stem;
    int n = stem_of(input, &stem);

    memset(file, 0, sizeof *file);
    if (asprintf(&file->path, "%s/%.*s.%s", run->dir, n, stem, suffix) < 0)
        file->path = NULL;
    if (!file->path || asprintf(&file->part, "%s.part", file->path) < 0) {
        file->part = NULL;
        snprintf(why, why_size, "out of memory");
    } else if (!check_name(run, file->path, why, why_size)) {
        file->f = fopen(file->part, "wb");
        if (file->f)
            return 0;
        out_file_error(file, why, why_size);
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

/* file_priors.c - see file_priors.h */
#include "file/file_priors.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_get.h"
#include "shoal-protocol.h"

enum { ASK_MS = 3000, MAX_PAGE_BYTES = 1 << 20 };

/* Probabilities of n numbers; -1: one of them is none. */
static int finish(double *p, int n, char *why, size_t size)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        if (!(p[i] > 0)) {
            snprintf(why, size, "the prior of class %d is %g: it must be above 0", i, p[i]);
            return -1;
        }
        sum += p[i];
    }
    for (int i = 0; i < n; i++)
        p[i] /= sum;
    return n;
}

static int give(double **out, double *p, int n, char *why, size_t size)
{
    if (n > 0 && (n = finish(p, n, why, size)) > 0) {
        *out = p;
        return n;
    }
    free(p);
    return -1;
}

int file_priors_of_model(double **out, const char *page, char *why, size_t size)
{
    json_t *model = json_loads(page, 0, NULL), *list = json_object_get(model, "priors");
    int n = (int)json_array_size(list);
    double *p = n > 0 ? calloc((size_t)n, sizeof *p) : NULL;

    if (n > 0 && !p)
        snprintf(why, size, "out of memory");
    else if (!n)
        snprintf(why, size,
                 "the server's model does not tell priors: --priors FILE takes them "
                 "from a file, one number a class");
    for (int i = 0; p && i < n; i++)
        p[i] = json_number_value(json_array_get(list, (size_t)i));
    json_decref(model);
    return give(out, p, p ? n : 0, why, size);
}

static int read_file(double **out, const char *path, char *why, size_t size)
{
    double *p = calloc(SHOAL_MAX_CLASSES, sizeof *p);
    FILE *f = fopen(path, "r");
    int n = 0, odd = 1;

    if (!p || !f)
        snprintf(why, size, "%s: %s", path, f ? "out of memory" : strerror(errno));
    while (p && f && n < SHOAL_MAX_CLASSES && fscanf(f, "%lf", &p[n]) == 1)
        n++;
    if (p && f) {
        odd = !feof(f) || !n;
        if (odd)
            snprintf(why, size, "%s: number %d cannot be read; one number for each class is needed",
                     path, n + 1);
    }
    if (f)
        fclose(f);
    return give(out, p, odd ? 0 : n, why, size);
}

int file_priors_read(double **out, const char *from, const shoal__server *server, char *why,
                     size_t size)
{
    char *page;
    int n;

    if (strcmp(from, "server") != 0)
        return read_file(out, from, why, size);
    page = shoal__get(server, "/v1/model", MAX_PAGE_BYTES, ASK_MS, why, size);
    n = page ? file_priors_of_model(out, page, why, size) : -1;
    free(page);
    return n;
}

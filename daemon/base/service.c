/* service.c - see service.h */
#include "base/service.h"

#include "base/card.h"
#include "shoal-protocol.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CAUSE_SIZE = 512 };

/* A FIFO would be waited for, and a folder makes for strange errors. */
static bool is_file(const char *path, char *why, size_t why_size)
{
    struct stat st;
    if (!*path || stat(path, &st) < 0 || S_ISREG(st.st_mode))
        return true; /* the loader knows best what is wrong with a file that cannot be opened */
    snprintf(why, why_size, "cannot open the model %s: it is not a regular file", path);
    return false;
}

static int deepest(const shoal_model *m)
{
    shoal_program_info p;
    int depth = 0;
    for (int i = 0; shoal_model_get_program(m, i, &p) == 0; i++)
        depth = p.depth > depth ? p.depth : depth;
    return depth;
}

int shoald_service_open(shoald_service *s, const char *path, const shoal_model_params *params,
                        char *why, size_t why_size)
{
    char cause[CAUSE_SIZE];
    *s = (shoald_service){ 0 };
    if (!is_file(path, why, why_size))
        return -1;
    if (shoal_model_open_with(&s->model, *path ? path : NULL, params, cause, sizeof cause) < 0) {
        snprintf(why, why_size, "cannot open the model %s: %s", *path ? path : "(built-in)", cause);
        return -1;
    }
    s->info = shoal_model_get_info(s->model);
    s->depth = deepest(s->model);
    s->per = calloc((size_t)s->depth, sizeof *s->per);
    if (!s->per) {
        snprintf(why, why_size, "no memory for the model's card");
        shoald_service_close(s);
        return -1;
    }
    shoald_card_read(s->per, s->info, path, SHOAL_DEFAULT_CHUNK_MS);
    s->price.depths = s->depth;
    return 0;
}

void shoald_service_close(shoald_service *s)
{
    free(s->per);
    shoal_model_close(s->model);
    *s = (shoald_service){ 0 };
}

/* depths.h - GET /v1/depths: what each depth of a model costs here, how late its results are, how
 * good they are; GET /v1/models: the same of all models at their full depth */
#ifndef SHOALD_DEPTHS_H
#define SHOALD_DEPTHS_H

struct json_t;
struct shoald_house;
struct shoald_named;

/* The pages; the caller frees it with json_decref. NULL: no memory. program: a name that the model
 * has. */
struct json_t *shoald_depths_describe(const struct shoald_house *house,
                                      const struct shoald_named *model, const char *program);
struct json_t *shoald_depths_describe_models(const struct shoald_house *house);

#endif

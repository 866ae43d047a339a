/* model.h - GET /v1/model: what a model is and what the server allows */
#ifndef SHOALD_NET_MODEL_H
#define SHOALD_NET_MODEL_H

struct json_t;
struct shoald_house;
struct shoald_named;

/* The page; the caller frees it with json_decref. NULL: no memory. */
struct json_t *shoald_model_describe(const struct shoald_house *house,
                                     const struct shoald_named *model);

#endif

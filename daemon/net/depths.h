/* depths.h - GET /v1/depths: what each depth costs here, how late its results are, how good they
 * are */
#ifndef SHOALD_DEPTHS_H
#define SHOALD_DEPTHS_H

struct json_t;
struct shoald_house;

/* The page; the caller frees it with json_decref. NULL: no memory. */
struct json_t *shoald_depths_describe(const struct shoald_house *house);

#endif

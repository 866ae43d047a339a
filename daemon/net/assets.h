/* assets.h - the page that shoald serves: the files of clients/web, built into the program */
#ifndef SHOALD_ASSETS_H
#define SHOALD_ASSETS_H

#include "shoal-protocol.h"

/* All static. */
typedef struct shoald_asset {
    const char *path; /* "/" is index.html */
    const char *type; /* for Content-Type */
    const char *bytes;
    size_t n;
} shoald_asset;

/* path: without its query. 0, or -1: there is none. */
SHOAL_CHECKED int shoald_asset_find(const char *path, shoald_asset *found);

#endif

/* options.h - the command line of shoald */
#ifndef SHOALD_OPTIONS_H
#define SHOALD_OPTIONS_H

#include "base/settings.h"

#define SHOALD_MAX_OVERRIDES 64

typedef struct shoald_override {
    const char *key, *value; /* value: view into argv; key: view or from keys_copied */
} shoald_override;

typedef struct shoald_options {
    const char *config_path; /* NULL: no file */
    const char *ready_file;  /* NULL: none */
    int check_only, version_only;
    const char *explain;                             /* NULL, or the model file to explain */
    shoald_override overrides[SHOALD_MAX_OVERRIDES]; /* what overrules the file */
    int override_count;
    char keys_copied[2048]; /* keys of --set, cut off at the '=' */
    size_t keys_size;
} shoald_options;

/* Returns -1 to go on, else the exit status (0: what was asked for was printed, 1: it
 * could not be, 2: usage). */
int shoald_options_parse(shoald_options *o, int argc, char **argv);
/* Defaults, then the file, then the command line. Again at every SIGHUP. 0 or -1. */
int shoald_options_load(const shoald_options *o, shoald_settings *c, char *why, size_t why_size);

#endif

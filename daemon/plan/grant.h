/* grant.h - what a client asked for -> what it gets
 *
 * Checks options against this model. Whether there is room for it is for govern.h to say. */
#ifndef SHOALD_GRANT_H
#define SHOALD_GRANT_H

#include "shoal.h"
#include "shoal-protocol.h"

typedef struct shoald_grant_limits {
    int default_depth; /* of who does not say; 0: the deepest that may be had */
    int most_depth;    /* that the client's token allows; 0: the program's */
} shoald_grant_limits;

/* Replace "server's choice" by values and check all. 0 or -1. */
int shoald_grant_options(shoal_options *o, const shoal_model *m, const shoald_grant_limits *limits,
                         shoal_error *err);
/* A `set` message. asked: what the client has asked for so far, changed on success; effective:
 * all of it as granted, with `given` of the set. The error is not fatal. */
int shoald_grant_set(shoal_options *asked, const shoal_options *set, shoal_options *effective,
                     const shoal_model *m, const shoald_grant_limits *limits, shoal_error *err);
/* o->program, "" the first, as the name that the model has for it. Its depth, or -1. */
int shoald_grant_program(shoal_options *o, const shoal_model *m, shoal_error *err);
/* The program of that name, "": the first; -1: there is none. */
int shoald_grant_find_program(const shoal_model *m, const char *name);

#endif

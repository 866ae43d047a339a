/* entry.h - what a client has asked for when its session begins; made before there is one */
#ifndef SHOALD_ENTRY_H
#define SHOALD_ENTRY_H

#include "base/service.h"
#include "base/tokens.h"
#include "shoal-protocol.h"

#include <stdbool.h>

typedef struct shoald_entry {
    bool by_post;                  /* a body to be read: one of max_uploads */
    bool has_options;              /* in the URL: the session starts with the upgrade */
    shoal_options asked, granted;  /* as written there, and without "server's choice" */
    shoald_service *service;       /* that was granted from; until the loop turns */
    char token[SHOALD_TOKEN_NAME]; /* its name; "": none is required */
    int most_depth;                /* that it allows; 0: the model's */
    int most_sessions;             /* that it allows at once; 0: any number */
    struct shoald_session *back;   /* NULL, or the session to which the client comes back, and */
    shoal_resume resume;           /* with what */
    shoal_error error; /* code 0: none; else it is told after the upgrade, and that's all */
} shoald_entry;

#endif

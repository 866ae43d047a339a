/* state.h - what a session is, for the files of this room; see session.h */
#ifndef SHOALD_SESSION_STATE_H
#define SHOALD_SESSION_STATE_H

#include "base/peer.h"
#include "base/tokens.h"
#include "lane.h"
#include "plan/load.h"
#include "base/ticket.h"
#include "session/house.h"
#include "session/kept.h"
#include "session/link.h"
#include "shoal-protocol.h"

/* the loop's view */
typedef enum shoald_phase {
    SHOALD_WAITING, /* upgraded or about to be; no options yet */
    SHOALD_STREAMING,
    SHOALD_ENDING, /* end, drain or a fatal error lies in the input queue */
    SHOALD_CLOSING /* the last text and the close code are settled */
} shoald_phase;

typedef struct shoald_session {
    /* set at init, then constant */
    shoald_house *house;
    shoald_peer peer;
    char token[SHOALD_TOKEN_NAME]; /* whose it is, by the token's name; "": nobody's */
    int most_depth;                /* that the token allows; 0: the model's */
    int most_sessions;             /* at once, of the token; 0: any number */
    bool by_post;                  /* of max_uploads, too */
    bool refused;                  /* it holds no slot, and is there until it has been told why */

    shoald_lane lane; /* set at the start, but for its id */

    /* loop only */
    shoald_port *port;                 /* its worker's; NULL until the start */
    shoald_port *move_to;              /* its next one, while the old one has not let go */
    shoald_demand demand;              /* what it counts in the projected load (load.h) */
    uint64_t looked_bytes;             /* received_bytes as of the last look */
    shoald_link *link;                 /* NULL before the upgrade and once that is gone */
    struct shoald_session *next, **at; /* list in the house */
    shoald_phase phase;
    shoal_options asked, granted; /* what the client said, and has; every `set` included */
    bool in_review;               /* in the list that the next uv_check looks at */
    struct shoald_session *next_review;
    bool too_late; /* set by admit.c: its chunks wait so long that it has to go */
    uint64_t opened_ns;
    uint64_t heard_ns;    /* last byte of any kind */
    uint64_t spoken_ns;   /* last message, not mere pongs */
    uint64_t heard_bytes; /* what the link had heard then, but for pongs */
    uint64_t written_ns;  /* last write that the link took, or when writing became needed */
    uint64_t pinged_ns;
    bool ping_due;
    uint64_t message_bytes; /* of the message being received */
    uint64_t skipped;       /* samples that skip has left out */
    uint64_t torn_bytes;    /* before those, of samples that were not whole */
    char *part;             /* text or opus packet being put together */
    size_t part_size;
    shoald_queue replies; /* pongs: do not wait for the worker */
    char last_text[640];  /* fatal error told at once, past the queues */
    size_t last_size;
    int close_code;      /* 0: not yet */
    bool close_due;      /* all is written; the next review closes */
    uint64_t closing_ns; /* since when phase is CLOSING */
    uint64_t unheard;    /* bytes that came since then */
    bool deaf;           /* so many that the socket is not read any more */
    bool after_end_told;
    shoal_code error; /* why the loop closed it */

    /* what lets it outlive its link (park.h) */
    unsigned char ticket[SHOALD_TICKET_BYTES], last_ticket[SHOALD_TICKET_BYTES];
    bool has_ticket, has_last_ticket;
    shoald_kept kept;
    uint64_t requests;     /* messages of text, and empty ones, since the start */
    uint64_t parked_ns;    /* since when it has waited for its client; 0: it does not */
    uint64_t parked_bytes; /* that it counts for, then */
    bool leaving;          /* it was parked, and its worker lets go of it now */
    bool taken_over;       /* its link goes because the client has another one */
    shoal_buf hello;       /* `ready` for the link that it came back on, until written */
} shoald_session;

#endif

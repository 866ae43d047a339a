/* decoder.h - the phone decoder's state, between the files that make it up
 *
 *   decoder.c     the search: one frame further (scores, ways back)
 *   settle.c      which part of the best path is final; the calls of shoal.h
 *   tentative.c   the part that is not
 *
 * One thread at a time; one allocation.
 */
#ifndef SHOAL_DECODER_H
#define SHOAL_DECODER_H

#include "model/model.h"

enum {
    SHOAL__LAG = SHOAL_DECODER_LAG,
    /* In `from`: a label, or that it stayed; with two slots the upper bit is the source's. */
    SHOAL__STAYED = 255, /* classes are at most 255: labels end at 254 */
    SHOAL__SECOND = 128,
    SHOAL__STAYED_OF_TWO = 127,
    SHOAL__TWO_SLOTS_CLASSES = 127 /* at most */
};

/* A tentative phone as it was last shown. */
typedef struct shoal__shown {
    int label;
    int64_t first_frame;
    int64_t since; /* frames heard when it was shown first */
} shoal__shown;

struct shoal_decoder {
    const shoal__search *search;
    int classes, ages;
    int holding;               /* slots whose paths hold a phone up (settle.c) */
    int pairs, slots, states;  /* state: slot * pairs + before * classes + phone */
    const float *leave, *stay; /* [classes, ages], the search's or zeros */
    float beam, margin;        /* nats */
    int settle_frames;         /* a frame is settled at the latest so many frames after it */
    int settle_silence_frames; /* all is, when the last so many are surely silence; 0: never */
    int64_t heard, settled;    /* frames */
    float *score, *next; /* [states] best path ending in each, best of all is 0; what is on its
                            way there, else -INFINITY */
    unsigned char *from; /* [LAG, states] at frame % LAG: what `source` needs */
    unsigned char *age,
        *aged;               /* [states] frames in the phone less 1, below ages; the next frame's */
    uint32_t *older, *came;  /* [states] up to four phones before `before`, the newest in the
                                lowest byte; the next frame's */
    uint32_t *known;         /* [states] which of these `context` is of */
    int *context;            /* [states] the longest that the model lists; -1: the pair alone */
    float *logp;             /* [LAG, classes] */
    int alive_count, *alive; /* [states] those within the beam of the best */
    int reached_count, *reached; /* [states] those that have a next one */
    int *trail;                  /* [states] scratch of agreement(), with their scores */
    float *trail_score;
    unsigned char *met; /* [states] scratch of agreement(), 0 between calls */
    int label;          /* of the open phone; -1 before the first frame */
    int64_t label_start;
    double label_logp; /* sum over its frames */
    int silent;        /* frames of sure silence up to the last one heard */
    int shown_count;   /* of the last shoal_decoder_tentative */
    shoal__shown shown[SHOAL__LAG + 1];
};

static inline int shoal__decoder_phone(const shoal_decoder *d, int state)
{
    return state % d->classes;
}

/* The state at frame - 1 on the best path to `state` at frame. */
static inline int shoal__decoder_source(const shoal_decoder *d, int64_t frame, int state)
{
    int from = d->from[(size_t)(frame % SHOAL__LAG) * (size_t)d->states + (size_t)state];
    int two = d->slots > 1, pair = state % d->pairs;
    int slot = two && from & SHOAL__SECOND ? d->pairs : 0,
        label = two ? from & ~SHOAL__SECOND : from;
    if (label == (two ? SHOAL__STAYED_OF_TWO : SHOAL__STAYED))
        return slot + pair;
    return slot + (d->search->histories > 1 ? label * d->classes + pair / d->classes : label);
}

static inline int shoal__decoder_best(const shoal_decoder *d)
{
    int best = d->alive[0];
    for (int i = 1; i < d->alive_count; i++)
        if (d->score[d->alive[i]] > d->score[best])
            best = d->alive[i];
    return best;
}

/* Labels of the frames [settled, at] of the path that is in `state` at frame `at`. */
static inline int shoal__decoder_path(const shoal_decoder *d, int state, int64_t at,
                                      int labels[SHOAL__LAG])
{
    int n = (int)(at + 1 - d->settled);
    for (int i = n - 1; i >= 0; i--) {
        labels[i] = shoal__decoder_phone(d, state);
        state = i ? shoal__decoder_source(d, d->settled + i, state) : state;
    }
    return n;
}

/* decoder.c: take in one frame of log posteriors [classes]. */
void shoal__decoder_step(shoal_decoder *d, const float *logp);

#endif

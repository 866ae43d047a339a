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
    SHOAL__STAYED = 255 /* in `from`; classes are at most 255: labels end at 254 */
};

/* A tentative phone as it was last shown. */
typedef struct shoal__shown {
    int label;
    int64_t first_frame;
    int64_t since; /* frames heard when it was shown first */
} shoal__shown;

struct shoal_decoder {
    const shoal__search *search;
    int classes, ages, states; /* state: before * classes + phone */
    const float *leave, *stay; /* [classes, ages], the search's or zeros */
    float beam, margin;        /* nats */
    int settle_frames;         /* a frame is settled at the latest so many frames after it */
    int settle_silence_frames; /* all is, when the last so many are surely silence; 0: never */
    int64_t heard, settled;    /* frames */
    float *score, *next;       /* [states] best path ending in each; best of all is 0 */
    unsigned char *from;       /* [LAG, states] at frame % LAG: STAYED, or the label that
                                  `source` needs */
    unsigned char *age;        /* [states] frames in the phone less 1, below ages */
    uint32_t *older, *was;     /* [states] up to four phones before `before`, the newest in the
                                  lowest byte; the same a frame ago */
    uint32_t *known;           /* [states] which of these `context` is of */
    int *context;              /* [states] the longest that the model lists; -1: the pair alone */
    float *logp;               /* [LAG, classes] */
    int alive_count, *alive;   /* [states] those within the beam of the best */
    int *trail;                /* [states] scratch of agreement(), with their scores */
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
    int label = d->from[(size_t)(frame % SHOAL__LAG) * (size_t)d->states + (size_t)state];
    if (label == SHOAL__STAYED)
        return state;
    return d->search->histories > 1 ? label * d->classes + state / d->classes : label;
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

/* decoder.c - log posteriors to timed phones: a streaming Viterbi with bounded lag
 *
 * One state a phone. A path's score is the sum over frames of
 *     log p(phone | audio) - log_prior[phone] + transition[previous][phone]
 * where log_prior (already scaled) and transition (log bigram, switching price, stay bonus) come
 * with the model. A frame is settled once all surviving paths agree on it, or, after
 * SHOAL_DECODER_LAG frames, on the best path (paths that disagree are dropped). Settled frames
 * are joined to phones; a phone is given out when the next one begins. What is settled depends
 * on the frames heard so far alone, never on how they were grouped into calls.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

enum { LAG = SHOAL_DECODER_LAG };

struct shoal_decoder {
    const shoal_model *model;
    int64_t heard, settled;             /* frames */
    float score[SHOAL__MAX_CLASSES];    /* best path ending in each phone; best of all is 0 */
    unsigned char from[LAG][SHOAL__MAX_CLASSES];    /* frame % LAG: predecessor of each phone */
    float logp[LAG][SHOAL__MAX_CLASSES];
    int label;                          /* of the open phone; -1 before the first frame */
    int64_t label_start;
    double label_logp;                  /* sum over its frames */
};

int shoal_decoder_new(shoal_decoder **out, const shoal_model *m)
{
    shoal_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return SHOAL_ENOMEM;
    d->model = m;
    d->label = -1;
    *out = d;
    return 0;
}

void shoal_decoder_free(shoal_decoder *d)
{
    free(d);
}

/* Close the open phone at frame `end`; returns 1 if *out was written. */
static int close_phone(shoal_decoder *d, int64_t end, shoal_phone *out)
{
    int label = d->label;
    d->label = -1;
    if (label <= 0)
        return 0;
    *out = (shoal_phone){ .label = label,
                          .first_frame = d->label_start,
                          .end_frame = end,
                          .confidence = (float)exp(d->label_logp / (double)(end - d->label_start)) };
    return 1;
}

/* The oldest unsettled frame is `label`. */
static int settle(shoal_decoder *d, int label, shoal_phone *out)
{
    int wrote = 0;
    if (label != d->label) {
        wrote = close_phone(d, d->settled, out);
        d->label = label;
        d->label_start = d->settled;
        d->label_logp = 0.0;
    }
    d->label_logp += (double)d->logp[d->settled % LAG][label];
    d->settled++;
    return wrote;
}

static void step(shoal_decoder *d, const float *logp)
{
    int C = d->model->config.classes;
    float next[SHOAL__MAX_CLASSES], top = -INFINITY;
    unsigned char *from = d->from[d->heard % LAG];
    for (int p = 0; p < C; p++) {
        float best = -INFINITY;
        from[p] = (unsigned char)p;
        for (int q = 0; d->heard && q < C; q++) {
            float s = d->score[q] + d->model->transition[q * C + p];
            if (s > best) {
                best = s;
                from[p] = (unsigned char)q;
            }
        }
        next[p] = (d->heard ? best : 0.0f) + logp[p] - d->model->log_prior[p];
        top = next[p] > top ? next[p] : top;
    }
    for (int p = 0; p < C; p++)
        d->score[p] = next[p] - top;
    memcpy(d->logp[d->heard % LAG], logp, (size_t)C * sizeof *logp);
    d->heard++;
}

static int best_phone(const shoal_decoder *d)
{
    int best = 0;
    for (int p = 1; p < d->model->config.classes; p++)
        if (d->score[p] > d->score[best])
            best = p;
    return best;
}

/* Labels of the unsettled frames up to `until` on the path that is in `phone` at frame `at`. */
static void trace(const shoal_decoder *d, int phone, int64_t at, int64_t until, int *labels)
{
    for (int64_t t = at; t >= d->settled; t--) {
        if (t < until)
            labels[t - d->settled] = phone;
        phone = d->from[t % LAG][phone];
    }
}

/* Last frame on which all surviving paths agree, and the phone there; -1 if none. */
static int64_t agreement(const shoal_decoder *d, int *phone)
{
    int C = d->model->config.classes;
    unsigned char alive[SHOAL__MAX_CLASSES] = { 0 };
    for (int p = 0; p < C; p++)
        alive[p] = d->score[p] > -INFINITY;
    for (int64_t t = d->heard - 1; t >= d->settled; t--) {
        unsigned char before[SHOAL__MAX_CLASSES] = { 0 };
        int count = 0;
        for (int p = 0; p < C; p++)
            if (alive[p]) {
                count++;
                *phone = p;
                before[d->from[t % LAG][p]] = 1;
            }
        if (count == 1)
            return t;
        memcpy(alive, before, sizeof alive);
    }
    return -1;
}

/* The window is full: settle its first frame on the best path, drop paths that disagree. */
static int force_oldest(shoal_decoder *d, shoal_phone *out)
{
    int C = d->model->config.classes, labels[LAG] = { 0 };
    trace(d, best_phone(d), d->heard - 1, d->settled + 1, labels);
    int keep = labels[0];
    for (int p = 0; p < C; p++) {
        trace(d, p, d->heard - 1, d->settled + 1, labels);
        if (labels[0] != keep)
            d->score[p] = -INFINITY;
    }
    return settle(d, keep, out);
}

static int settle_path(shoal_decoder *d, int phone, int64_t at, shoal_phone *out, int max)
{
    int labels[LAG], count = 0, n = (int)(at + 1 - d->settled);
    trace(d, phone, at, at + 1, labels);
    for (int i = 0; i < n; i++) {
        shoal_phone p;
        if (settle(d, labels[i], &p) && count < max)
            out[count++] = p;
    }
    return count;
}

int shoal_decoder_run(shoal_decoder *d, const float *logp, int frames, shoal_phone *out, int max)
{
    int count = 0, phone = 0;
    for (int f = 0; f < frames; f++) {
        step(d, logp + (size_t)f * (size_t)d->model->config.classes);
        int64_t at = agreement(d, &phone);
        if (at >= 0)
            count += settle_path(d, phone, at, out + count, max - count);
        shoal_phone p;
        if (d->heard - d->settled == LAG && force_oldest(d, &p) && count < max)
            out[count++] = p;
    }
    return count;
}

int shoal_decoder_flush(shoal_decoder *d, shoal_phone *out, int max)
{
    int count = 0;
    shoal_phone p;
    if (d->heard > d->settled)
        count = settle_path(d, best_phone(d), d->heard - 1, out, max);
    if (close_phone(d, d->settled, &p) && count < max)
        out[count++] = p;
    return count;
}

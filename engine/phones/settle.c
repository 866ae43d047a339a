/* settle.c - which part of the best path is final
 *
 * A frame is settled
 *   once all paths that count agree on it: those within `margin` of the best, because paths that
 *     hardly differ would keep each other from being settled; the margin shrinks while it waits;
 *   at the latest settle_frames after it, on the best path; paths that disagree are dropped;
 *   at once when the last settle_silence_frames were surely silence and the best path is in
 *     silence: nobody waits for the last phone before a pause.
 * Settled frames are joined to phones; a phone is given out when the next one (or silence) begins.
 * What is settled depends on the frames heard so far alone, never on how they were grouped into
 * calls.
 */
#include <math.h>

#include "phones/decoder.h"

#define CALM 0.3f /* share of settle_frames for which nothing is hurried */

/* Close the open phone at frame `end`; returns 1 if *out was written. */
static int close_phone(shoal_decoder *d, int64_t end, shoal_phone *out)
{
    int label = d->label;
    d->label = -1;
    if (label <= 0)
        return 0;
    *out =
        (shoal_phone){ .label = label,
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
    d->label_logp += (double)d->logp[d->settled % SHOAL__LAG * d->classes + label];
    d->settled++;
    return wrote;
}

/* trail[count] at `frame` -> the states they come from, each once, the best path to each first;
 * returns how many. */
static int step_back(shoal_decoder *d, int64_t frame, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        int s = shoal__decoder_source(d, frame, d->trail[i]);
        if (!d->met[s]) {
            d->trail[n] = s;
            d->trail_score[n++] = d->trail_score[i];
        }
        d->met[s] = 1;
    }
    for (int i = 0; i < n; i++)
        d->met[d->trail[i]] = 0;
    return n;
}

/* Those that count now, best first: not the second ones of a pair, which differ in older phones
 * alone. Where they counted, phones would come twice as late for 1 % fewer errors. */
static int begin_trail(shoal_decoder *d)
{
    int count = 0;
    for (int i = 0; i < d->alive_count; i++) {
        int s = d->alive[i], at = count;
        if (d->score[s] < -d->margin || s >= d->holding * d->pairs)
            continue;
        for (; at > 0 && d->trail_score[at - 1] < d->score[s]; at--) {
            d->trail[at] = d->trail[at - 1];
            d->trail_score[at] = d->trail_score[at - 1];
        }
        d->trail[at] = s;
        d->trail_score[at] = d->score[s];
        count++;
    }
    return count;
}

/* How much worse than the best a path may be and still hold up a frame that has waited so long: in
 * a hurry less and less, down to nothing after settle_frames. Giving up slowly costs fewer errors
 * at the same delay than one hard limit (training/settle.py). */
static float patience(const shoal_decoder *d, int64_t waited)
{
    float calm = CALM * (float)d->settle_frames, hurry = (float)waited - calm;
    if (d->settle_frames == SHOAL__LAG || hurry <= 0.0f)
        return d->margin;
    return d->margin * fmaxf(0.0f, 1.0f - hurry / ((float)d->settle_frames - calm));
}

/* Last frame at which all paths that count are in one state, and the state; -1 if none. */
static int64_t agreement(shoal_decoder *d, int *state)
{
    int count = begin_trail(d);
    for (int64_t t = d->heard - 1; t >= d->settled; t--) {
        while (count > 1 && d->trail_score[count - 1] < -patience(d, d->heard - 1 - t))
            count--;
        *state = d->trail[0];
        if (count == 1)
            return t;
        if (t > d->settled)
            count = step_back(d, t, count);
    }
    return -1;
}

static int state_at(const shoal_decoder *d, int state, int64_t frame)
{
    for (int64_t t = d->heard - 1; t > frame; t--)
        state = shoal__decoder_source(d, t, state);
    return state;
}

/* Drop the paths that are not in `state` at `frame`. */
static void keep_through(shoal_decoder *d, int64_t frame, int state)
{
    int kept = 0;
    for (int i = 0; i < d->alive_count; i++)
        if (state_at(d, d->alive[i], frame) == state)
            d->alive[kept++] = d->alive[i];
    d->alive_count = kept;
}

/* Settle all frames up to `at`, on the path that is in `state` there. */
static int settle_path(shoal_decoder *d, int state, int64_t at, shoal_phone *out, int max)
{
    int labels[SHOAL__LAG], count = 0, n = shoal__decoder_path(d, state, at, labels);
    for (int i = 0; i < n; i++) {
        shoal_phone p;
        if (settle(d, labels[i], &p) && count < max)
            out[count++] = p;
    }
    return count;
}

/* Nothing that is said now can change what was said before so long a silence. */
static int after_silence(const shoal_decoder *d, int *state)
{
    *state = shoal__decoder_best(d);
    return d->settle_silence_frames && d->silent >= d->settle_silence_frames &&
           shoal__decoder_phone(d, *state) == 0;
}

/* The last frame that can be settled, and the state of the path there; -1: none. */
static int64_t settles_at(shoal_decoder *d, int *state)
{
    if (after_silence(d, state))
        return d->heard - 1;
    int64_t at = agreement(d, state);
    if (at >= 0 || d->heard - d->settled < d->settle_frames)
        return at;
    *state = state_at(d, shoal__decoder_best(d), d->settled);
    return d->settled;
}

static int settle_some(shoal_decoder *d, shoal_phone *out, int max)
{
    int state = 0;
    int64_t at = settles_at(d, &state);
    if (at < 0)
        return 0;
    keep_through(d, at, state);
    return settle_path(d, state, at, out, max);
}

int shoal_decoder_run(shoal_decoder *d, const float *logp, int frames, shoal_phone *out, int max)
{
    int count = 0;
    for (int f = 0; f < frames; f++) {
        shoal__decoder_step(d, logp + (size_t)f * (size_t)d->classes);
        count += settle_some(d, out + count, max - count);
    }
    return count;
}

int shoal_decoder_flush(shoal_decoder *d, shoal_phone *out, int max)
{
    int count = 0;
    shoal_phone p;
    if (d->heard > d->settled)
        count = settle_path(d, shoal__decoder_best(d), d->heard - 1, out, max);
    if (close_phone(d, d->settled, &p) && count < max)
        out[count++] = p;
    return count;
}

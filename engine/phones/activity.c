/* activity.c - log posteriors to where speech begins and ends
 *
 * A frame's evidence is 1 - P(SIL). Two thresholds, so that what is begun with certainty is not
 * torn apart by a doubtful frame:
 *
 *     silence   a run of frames at or above `release` that holds min_speech frames at or above
 *               `threshold` is speech; it began with the run, but no more than the LEAD
 *               frames before the decision, so that a begin is never told late
 *     speech    hangover frames on end below `release` are silence; speech ended before them
 *
 * A state machine of a few integers: what it says depends on the frames heard so far alone,
 * never on how they were grouped into calls.
 */
#include <math.h>
#include <stdlib.h>

#include "model/model.h"
#include "phones/utterance.h"

struct shoal_activity {
    shoal_activity_params params; /* set at init, then constant */
    int classes;
    int64_t frame;     /* the next one */
    int speech;        /* state */
    int64_t run_start; /* silence: first frame of the run at or above release */
    int sure;          /* silence: frames of the run at or above threshold */
    int quiet;         /* speech: frames on end below release */
    shoal__utterance utterance;
};

shoal_activity_params shoal_activity_default_params(void)
{
    return (shoal_activity_params){
        .threshold = 0.80f, .release = 0.60f, .min_speech_frames = 4, .hangover_frames = 15
    };
}

static int valid(const shoal_activity_params *p)
{
    return p->threshold > 0 && p->threshold < 1 && p->release > 0 && p->release <= p->threshold &&
           p->min_speech_frames >= 1 && p->min_speech_frames <= SHOAL_ACTIVITY_LEAD &&
           p->hangover_frames >= 1 && p->hangover_frames <= SHOAL_ACTIVITY_MAX_HANGOVER &&
           p->min_frames >= 0 && p->min_frames <= SHOAL_ACTIVITY_CUT_WINDOW && p->pad_frames >= 0 &&
           p->pad_frames <= SHOAL_ACTIVITY_MAX_PAD && p->pad_frames <= p->hangover_frames &&
           (p->max_frames == 0 || p->max_frames > 2 * p->hangover_frames + p->pad_frames);
}

int shoal_activity_new(shoal_activity **out, const shoal_model *m, const shoal_activity_params *p,
                       int64_t first_frame)
{
    if (!valid(p) || first_frame < 0)
        return SHOAL_EINVAL;
    shoal_activity *a = calloc(1, sizeof *a);
    if (!a)
        return SHOAL_ENOMEM;
    a->params = *p;
    a->classes = m->config.classes;
    a->frame = a->run_start = a->utterance.end = first_frame;
    *out = a;
    return 0;
}

void shoal_activity_free(shoal_activity *a)
{
    free(a);
}

/* In silence. 1: speech has begun, at *at. */
static int hear_silence(shoal_activity *a, float evidence, int64_t *at)
{
    if (evidence < a->params.release) {
        a->run_start = a->frame + 1;
        a->sure = 0;
        return 0;
    }
    a->sure += evidence >= a->params.threshold;
    if (a->sure < a->params.min_speech_frames)
        return 0;
    int64_t earliest = a->frame + 1 - SHOAL_ACTIVITY_LEAD;
    *at = a->run_start > earliest ? a->run_start : earliest;
    a->quiet = 0;
    return 1;
}

/* In speech. 1: it has ended, before *at. */
static int hear_speech(shoal_activity *a, float evidence, int64_t *at)
{
    a->quiet = evidence < a->params.release ? a->quiet + 1 : 0;
    if (a->quiet < a->params.hangover_frames)
        return 0;
    *at = a->frame + 1 - a->quiet;
    a->run_start = a->frame + 1;
    a->sure = 0;
    return 1;
}

/* One frame of evidence. Returns how many events it wrote, 3 at most. */
static int hear(shoal_activity *a, float evidence, shoal_activity_event *out)
{
    int64_t at = 0;
    if (a->speech ? hear_speech(a, evidence, &at) : hear_silence(a, evidence, &at)) {
        a->speech = !a->speech;
        if (!a->speech)
            return shoal__utterance_end(&a->utterance, &a->params, at, a->frame + 1, out);
        a->utterance.speech_begin = at;
    }
    return a->speech ? shoal__utterance_hear(&a->utterance, &a->params, a->frame, evidence,
                                             a->frame + 1 - a->quiet, out)
                     : 0;
}

int shoal_activity_run(shoal_activity *a, const float *logp, int frames, shoal_activity_event *out,
                       int max)
{
    int count = 0;
    for (int f = 0; f < frames; f++, a->frame++) {
        shoal_activity_event events[3];
        float evidence = 1.0f - expf(logp[(size_t)f * (size_t)a->classes]);
        int n = hear(a, evidence, events);
        for (int i = 0; i < n && count < max; i++)
            out[count++] = events[i];
    }
    return count;
}

int shoal_activity_finish(shoal_activity *a, shoal_activity_event *out)
{
    if (!a->speech)
        return 0;
    a->speech = a->sure = 0;
    a->run_start = a->frame;
    return shoal__utterance_end(&a->utterance, &a->params, a->frame - a->quiet, a->frame, out);
}

/* shoal-phones.h - what is made of log posteriors: timed phones, smooth posteriors, where speech is
 *
 * A part of shoal.h, which has it. All three take the rows of results as they come, in the order of
 * their frames; each object belongs to one thread at a time, and to the model until it is freed.
 */
#ifndef SHOAL_PHONES_H
#define SHOAL_PHONES_H

#ifndef SHOAL_H
#error "include shoal.h, of which this is a part"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- phones out: log posteriors to timed phones ---------------------------------------- */

/* A streaming Viterbi over the phone classes. Scores beside the posteriors, learnt with the model:
 *   lm         which phone follows which (n-grams of the training text). Without it only
 *              the model's price of a change of phone is left
 *   durations  how long each phone lasts: leaving and staying are scored by its age
 * A phone is given out once it has ended and no likely path would take it back, at the latest
 * settle_frames after it; so the output does not depend on how frames were grouped. What waits for
 * that can be looked at as it stands: shoal_decoder_tentative. */
typedef struct shoal_decoder shoal_decoder;

typedef struct shoal_decoder_params {
    int lm;        /* 1 or 0; 1. Without for words in an order, or of a language, that
                    * the training text did not have */
    int durations; /* 1 or 0; 0. training/README.md has what either is worth */
    /* When the best path is taken though others are nearly as good: so many frames after a frame,
     * 0..SHOAL_DECODER_LAG; 0 (LAG). Lower: sooner, more errors. */
    int settle_frames;
    /* And at once when so many frames in a row are surely silence, 0 (never)..SHOAL_DECODER_LAG; 0:
     * the last phone before a pause need not wait for the next word. */
    int settle_silence_frames;
} shoal_decoder_params;

typedef struct shoal_phone {
    int label;           /* index into info.labels; 0 (SIL) is never given out */
    int64_t first_frame; /* first frame of the phone */
    int64_t end_frame;   /* one past its last frame */
    float confidence;    /* geometric mean of its posterior over its frames, 0..1 */
} shoal_phone;

SHOAL_API shoal_decoder_params shoal_decoder_default_params(void);
/* Returns 0, SHOAL_EINVAL, SHOAL_EUNSUPPORTED (info.decoders: the model file has no tables for this
 * combination), SHOAL_ENOMEM. */
SHOAL_CHECK int shoal_decoder_new(shoal_decoder **out, const shoal_model *m,
                                  const shoal_decoder_params *p);
SHOAL_API void shoal_decoder_free(shoal_decoder *d);
/* Decode frames [frames, classes] that follow the last ones. Writes at most max phones and
 * returns how many; never more than frames + SHOAL_DECODER_LAG, and with room for so many none is
 * lost. */
#define SHOAL_DECODER_LAG 64 /* frames: 1.28 s */
SHOAL_CHECK int shoal_decoder_run(shoal_decoder *d, const float *logp, int frames, shoal_phone *out,
                                  int max);
/* Settle everything heard so far (a flush or the end). At most SHOAL_DECODER_LAG phones.
 * A phone that goes on after a flush is given out as a new one. */
SHOAL_CHECK int shoal_decoder_flush(shoal_decoder *d, shoal_phone *out, int max);

/* A phone that is not settled: the next frames may change or remove it. */
typedef struct shoal_tentative {
    shoal_phone phone; /* end_frame: so far */
    int stood_frames;  /* since it was first shown; its begin may have moved by 2 frames */
} shoal_tentative;

/* The unsettled end of the best path, oldest first; out has room for SHOAL_DECODER_LAG + 1. The
 * first may be the open phone, whose begin is settled. Returns how many. Call it after each run,
 * once: stood_frames counts from call to call. */
SHOAL_CHECK int shoal_decoder_tentative(shoal_decoder *d, shoal_tentative *out);

/* ---- smoothing: log posteriors of single frames to those of a path of phones ----------- */

/* Frames that are judged each by itself flicker: who takes the likeliest phone of each gets half as
 * many again as were said. This weighs them together: posteriors given all frames heard so far and
 * the rest of the chunk, under the assumption that a phone goes on from frame to frame with
 * probability `stay` (forward-backward: Rabiner 1989, equations 19 to 27). It knows no language and
 * adds no delay. Not for the decoder, nor for any search of your own: these want what comes from
 * the batch and weigh the frames themselves. One thread at a time. */
typedef struct shoal_smoother shoal_smoother;

#define SHOAL_SMOOTH_MIN_STAY 0.5f
#define SHOAL_SMOOTH_MAX_STAY 0.999f
#define SHOAL_SMOOTH_MIN      0.1f
#define SHOAL_SMOOTH_MAX      10.0f

typedef struct shoal_smooth_params {
    float stay;        /* SHOAL_SMOOTH_MIN_STAY..MAX_STAY */
    float scale;       /* of logp: SHOAL_SMOOTH_MIN..MAX. Lower: smoother */
    float temperature; /* of what comes out, MIN..MAX, for the frames of a phone are not so many
                        * witnesses: with the right one it can be believed as a probability */
} shoal_smooth_params;

/* The model file's own. */
SHOAL_API shoal_smooth_params shoal_smoother_default_params(const shoal_model *m);
/* Returns 0, SHOAL_EINVAL, SHOAL_ENOMEM. */
SHOAL_CHECK int shoal_smoother_new(shoal_smoother **out, const shoal_model *m,
                                   const shoal_smooth_params *p);
SHOAL_API void shoal_smoother_free(shoal_smoother *s);
/* Frames [frames, classes] that follow the last ones, as one chunk: they know of each other and of
 * all before. out: as many log posteriors, rows sum to 1 after exp; not logp itself. */
SHOAL_API void shoal_smoother_run(shoal_smoother *s, const float *logp, int frames, float *out);
/* Other audio follows. */
SHOAL_API void shoal_smoother_reset(shoal_smoother *s);

/* ---- activity: log posteriors to where speech begins and ends -------------------------- */

/* Works on the posterior of silence (class 0) alone. Begins in silence; events alternate, their
 * frames never go back, and they depend on the frames heard alone, not on how these were grouped.
 * An event is given within SHOAL_ACTIVITY_LEAD frames of the begin it tells of, and exactly
 * hangover_frames after an end. docs/performance.md tells how well the defaults do. */
typedef struct shoal_activity shoal_activity;

#define SHOAL_ACTIVITY_LEAD         16  /* frames: 320 ms */
#define SHOAL_ACTIVITY_MAX_HANGOVER 250 /* frames: 5 s */
#define SHOAL_ACTIVITY_MAX_PAD      25  /* frames: 0.5 s */
#define SHOAL_ACTIVITY_CUT_WINDOW   100 /* frames: 2 s */

typedef struct shoal_activity_params {
    float threshold;       /* 1 - P(SIL) from which a frame is surely speech: in (0, 1); 0.8.
                            * Higher: fewer false alarms in noise, more speech missed */
    float release;         /* below it a frame is silence: in (0, threshold]; 0.6 */
    int min_speech_frames; /* so many sure ones make a begin: 1..SHOAL_ACTIVITY_LEAD; 4 */
    int hangover_frames;   /* so much silence makes an end, shorter pauses are part of the
                            * speech: 1..SHOAL_ACTIVITY_MAX_HANGOVER; 15 (300 ms) */
    /* Utterances: */
    int min_frames; /* shorter speech is not told; 0..SHOAL_ACTIVITY_CUT_WINDOW; 0 */
    int max_frames; /* longer is cut, where it is least like speech in the last half, or CUT_WINDOW;
                     * 0: never; more than 2 hangover_frames + pad_frames; 0 */
    int pad_frames; /* margins, not over the last end; 0..MAX_PAD, at most hangover_frames; 0 */
} shoal_activity_params;

typedef struct shoal_activity_event {
    int speech; /* 1: speech begins with this frame; 0: it ended before it */
    int64_t frame;
} shoal_activity_event;

SHOAL_API shoal_activity_params shoal_activity_default_params(void);
/* first_frame: number of the first frame that it will hear. Returns 0, SHOAL_EINVAL,
 * SHOAL_ENOMEM. */
SHOAL_CHECK int shoal_activity_new(shoal_activity **out, const shoal_model *m,
                                   const shoal_activity_params *p, int64_t first_frame);
SHOAL_API void shoal_activity_free(shoal_activity *a);
/* Hear frames [frames, classes] that follow the last ones. Writes at most max events and returns
 * how many; there are never more than frames + 2. */
SHOAL_CHECK int shoal_activity_run(shoal_activity *a, const float *logp, int frames,
                                   shoal_activity_event *out, int max);
/* No more frames, or nobody listens any more: 1 and the end of what is still speech, or 0. */
SHOAL_CHECK int shoal_activity_finish(shoal_activity *a, shoal_activity_event *out);

#ifdef __cplusplus
}
#endif
#endif

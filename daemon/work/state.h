/* state.h - what a worker keeps of each lane; worker thread only
 *
 *   intake   records of audio -> samples in the engine's stream         (intake.h)
 *   outputs  one for the session's own depth and one for each depth that outputs ask for with @ (a
 *            tap of the engine). Each has its own decoder and detector: phones from different
 *            depths are different paths.                                 (outputs.h)
 *   track    both, the stream, and how far it has come                   (track.h)
 */
#ifndef SHOALD_STATE_H
#define SHOALD_STATE_H

#include "shoal-protocol.h"
#include "shoal.h"
#include "work/mean.h"
#include "work/probe.h"

#include <stdbool.h>

/* ---- intake -------------------------------------------------------------------------------- */

enum { SHOALD_INTAKE_FLOATS = 1024 };

typedef struct shoald_intake {
    shoal_pcm *pcm;
    float floats[SHOALD_INTAKE_FLOATS]; /* converted, not fed yet: [float_used, float_count) */
    int float_count, float_used;
    bool pcm_full;                         /* the converter may hold more than it could write */
    uint32_t audio_left;                   /* bytes of the audio record at the queue's front */
    uint64_t taken;                        /* bytes of audio taken from the queue */
    unsigned char head[SHOAL_SNIFF_BYTES]; /* the first bytes, until sniffed and converted */
    size_t head_size, head_used, head_need, head_open; /* open: may be converted unsniffed */
    bool sniffed;
    shoald_probe probe;
    uint64_t converted; /* floats so far, 16 kHz */
    uint64_t skipped;   /* samples (a channel) that were left out, at the client's rate */
} shoald_intake;

/* ---- outputs ------------------------------------------------------------------------------- */

/* Kinds that no head reads. */
#define SHOALD_LAYER_KINDS ((unsigned)SHOAL_OUTPUT_HIDDEN)

enum { SHOALD_TAP_FRONT = -1 }; /* hidden@0: what the first layer reads */

/* Rows of one kind. */
typedef struct shoald_feature {
    int depth;         /* of its last packet; 0: none yet */
    shoald_mean *mean; /* NULL: rows are given as they are */
} shoald_feature;

typedef struct shoald_output {
    int tap;        /* depth asked for; 0: the session's; or SHOALD_TAP_FRONT */
    unsigned kinds; /* SHOAL_OUTPUT_* */
    int depth;      /* of its last result; 0: none yet */
    shoald_feature features[SHOAL_KIND_MEL + 1]; /* index: shoal_kind */
    shoal_decoder *decoder;                      /* NULL while phones are not asked for */
    int64_t decoder_base;                        /* the stream's frame that the decoder calls 0 */
    shoal_activity *activity; /* NULL while nobody asks for it; utterances that are pooled are those
                               * of the session's own depth */
    shoal_smoother *smoother; /* NULL: posteriors are not asked for, or as they are */
    bool told_speech;         /* the last event that was told */
} shoald_output;

/* As outputs are told. */
static inline shoal_tap shoald_output_tap(const shoald_output *out)
{
    return (shoal_tap){ out->tap > 0 ? out->tap : 0, out->kinds };
}

enum { SHOALD_MOST_EVENTS = SHOAL_MAX_CHUNK_MS / SHOAL_FRAME_MS + 2 };

/* Of one run, for one output. */
typedef struct shoald_run {
    const shoal_result *result;
    const float *posteriors; /* as they are told: result->logp or what was made of it */
    uint32_t queued_us, computed_us;
} shoald_run;

/* Where speech begins and ends by what was heard in a run. */
typedef struct shoald_events {
    int count;
    shoal_activity_event at[SHOALD_MOST_EVENTS];
} shoald_events;

typedef struct shoald_outputs {
    shoald_output at[1 + SHOAL_MAX_TAPS]; /* [0] the session's depth, then taps, ascending */
    int count;                            /* at least 1 once set */
    bool in_speech;                       /* pool=utterance: one has begun, and has not ended */
    bool gave_one;                        /* and one has ended since the last flush */
} shoald_outputs;

/* ---- track --------------------------------------------------------------------------------- */

typedef enum shoald_track_phase {
    SHOALD_TRACK_NEW, /* no engine objects yet */
    SHOALD_TRACK_RUN,
    SHOALD_TRACK_FLUSH,  /* flush asked; the short chunk is being run */
    SHOALD_TRACK_SET,    /* chunks get another length; the one under way is being run */
    SHOALD_TRACK_DRAIN,  /* no more audio: emptying the resampler */
    SHOALD_TRACK_FINISH, /* padding chunks are being run */
    SHOALD_TRACK_OVER    /* the last text is in the output queue, or it failed */
} shoald_track_phase;

typedef struct shoald_track {
    shoald_track_phase phase;
    bool active;                /* in the worker's list */
    struct shoald_bench *bench; /* of its worker and model; NULL: it is between two workers */
    bool draining;              /* finish with `draining` instead of `done` */
    shoal_stream *stream;
    shoald_intake in;
    shoald_outputs outputs;

    int depth_min, depth_max;
    const double *layers; /* of its program: what they cost (service.h) */
    char flush_id[SHOAL_MAX_ID + 1];
    int chunk_ms;         /* in force */
    shoal_options next;   /* SET: what is to be in force */
    uint64_t skip;        /* samples that are left out once it is FINISHed; 0: it ends then */
    uint64_t arrived_ns;  /* when the last audio fed was received */
    uint64_t record_ns;   /* when the last record read was received, audio or not */
    bool due;             /* a chunk is ready and has its deadline */
    bool was_blocked;     /* it waited for room in the output */
    uint64_t release_ns;  /* from when on the chunk's time counts (edf.h) */
    uint64_t deadline_ns; /* of the chunk that is due, or of the last one */
    uint64_t patient_ns;  /* till when that chunk waits for a gap (turn.h) */
    uint64_t expected_ns; /* when the next chunk will be there, in real time */
    bool paced;           /* in the worker's list of those whose next chunk is expected */
    uint32_t seq;         /* of the next message */
} shoald_track;

#endif

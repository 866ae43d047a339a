/* track.h - the worker's side of a session: input records -> engine -> results
 *
 * shoald_track_advance takes records off the input queue until a chunk is ready to run
 * (READY), the input is empty (IDLE) or the output lacks room for one more step (BLOCKED).
 * The worker then runs all ready chunks as a batch and hands each result back to
 * shoald_track_deliver. So a step never fails for want of room and nothing is ever dropped.
 */
#ifndef SHOALD_TRACK_H
#define SHOALD_TRACK_H

#include "work/outputs.h"
#include "work/probe.h"
#include "queue.h"
#include "shoal.h"
#include "shoal-protocol.h"

struct shoald_session;
struct shoald_worker;

typedef enum shoald_track_state { SHOALD_IDLE, SHOALD_BLOCKED, SHOALD_READY } shoald_track_state;

typedef enum shoald_track_phase {
    SHOALD_TRACK_NEW, /* no engine objects yet */
    SHOALD_TRACK_RUN,
    SHOALD_TRACK_FLUSH,  /* flush asked; the short chunk is being run */
    SHOALD_TRACK_DRAIN,  /* no more audio: emptying the resampler */
    SHOALD_TRACK_FINISH, /* padding chunks are being run */
    SHOALD_TRACK_OVER    /* the last text is in the output queue, or it failed */
} shoald_track_phase;

enum { SHOALD_TRACK_FLOATS = 1024 };

typedef struct shoald_track {
    shoald_track_phase phase;
    bool active;   /* in the worker's list */
    bool draining; /* finish with `draining` instead of `done` */
    shoal_stream *stream;
    shoal_pcm *pcm;
    shoald_outputs outputs;

    float floats[SHOALD_TRACK_FLOATS]; /* converted, not fed yet: [used, count) */
    int float_count, float_used;
    bool pcm_full;                         /* the converter may hold more than it could write */
    uint32_t audio_left;                   /* bytes of the audio record at the queue's front */
    uint64_t head_total;                   /* bytes of audio taken from the queue */
    unsigned char head[SHOAL_SNIFF_BYTES]; /* the first bytes, until sniffed and converted */
    size_t head_size, head_used, head_need;
    bool sniffed;
    shoald_probe probe;
    uint64_t converted; /* floats so far, 16 kHz */

    int depth_min, depth_max;
    char flush_id[SHOAL_MAX_ID + 1];
    uint64_t arrived_ns;  /* when the last audio fed was received */
    uint64_t record_ns;   /* when the last record read was received, audio or not */
    bool due;             /* a chunk is ready and has its deadline */
    bool was_blocked;     /* it waited for room in the output */
    uint64_t release_ns;  /* from when on the chunk's time counts (edf.h) */
    uint64_t deadline_ns; /* of the chunk that is due, or of the last one */

    uint32_t seq;
    uint64_t frames, phones, packets; /* totals */
    uint64_t samples_done;            /* 16 kHz */
    shoal_code error;                 /* why it is over; UNKNOWN after done */
    bool done;
} shoald_track;

shoald_track_state shoald_track_advance(struct shoald_session *s, struct shoald_worker *w);
/* Depth of the chunk that is ready; tells the client if it is another one. */
void shoald_track_set_depth(struct shoald_session *s, struct shoald_worker *w, int depth);
/* r: its place in w->results. start_ns, end_ns: of the run that gave the result. */
void shoald_track_deliver(struct shoald_session *s, struct shoald_worker *w, const shoal_result *r,
                          uint64_t start_ns, uint64_t end_ns);
/* Answer with an error at this place and take no more input. */
void shoald_track_fail(struct shoald_session *s, struct shoald_worker *w, shoal_error *err);
/* Free the engine's objects. */
void shoald_track_close(struct shoald_session *s);
/* Samples (a channel) at the client's rate. */
uint64_t shoald_track_received(const struct shoald_session *s);
/* Of one sample of all channels; 1 for opus. */
int shoald_track_frame_bytes(const shoal_options *o);
/* Bytes that the results of one step may take in the output queue at most. */
size_t shoald_track_step_bytes(const shoal_model_info *m, const shoal_options *o);

#endif

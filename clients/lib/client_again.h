/* client_again.h - may a session go on over a new connection, when, and from where; pure */
#ifndef SHOAL_CLIENT_AGAIN_H
#define SHOAL_CLIENT_AGAIN_H

#include "shoal-client.h"

/* How long a session waits for a server that gets it on. A connection that stands is no end of the
 * waiting, a result that was not there before is: else a server that breaks at the same place each
 * time would be given the same audio for ever. */
typedef struct shoal__patience {
    int64_t until_ms; /* 0: nothing is waited for */
    int attempts;
} shoal__patience;

/* 1: what has failed may be tried again unchanged, and a session can survive it. */
int shoal__again_helps(const shoal_client_failure *f);
/* Milliseconds until attempt n (0 is the first): doubled each time, at least what the server wants,
 * and spread by chance, so that the clients of a server that restarts do not return together. */
int shoal__again_wait_ms(int n, int retry_ms, uint32_t chance);
/* The connection has broken, or could not be made. advanced: results have, since the break before.
 * limit_ms: reconnect_ms. Returns milliseconds until the next attempt; -1: patience is at its end,
 * or would be before the server wants to be asked again. */
int shoal__again_plan(shoal__patience *p, const shoal_client_failure *f, int advanced,
                      int64_t now_ms, int limit_ms, uint32_t chance);

/* NULL: features of the two go on in each other. Else the name of what differs: other_model,
 * other_precision, other_kernels; their text in why. */
const char *shoal__again_differs(const shoal_ready *before, const shoal_ready *now, char *why,
                                 size_t why_size);

/* 1: results of these options can be joined with those of a new session: they can be cut where a
 * chunk begins. */
int shoal__again_can_replay(const shoal_options *o);

/* How far before a frame the audio reaches on which its results depend, milliseconds: what the
 * encoder looks back, and what the decoder of phones and the detector of speech may still change.
 */
uint64_t shoal__again_reach_ms(const shoal_ready *r);
/* The frame from which audio is sent again so that results are right from frame `next` on. Chunks
 * are cut as before: they count from frame `origin` (0, or where the last flush before it was). */
uint64_t shoal__again_frame(const shoal_ready *r, uint64_t next, uint64_t origin);
/* The first frame not before that byte of audio, at which a sample and the resampler begin anew. */
uint64_t shoal__again_first_frame(const shoal_ready *r, uint64_t byte);
/* Bytes of a sample of all channels; 0: OPUS, where they do not tell time. */
size_t shoal__again_sample_bytes(const shoal_options *o);

#endif

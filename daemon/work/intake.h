/* intake.h - records of audio -> samples in the engine's stream
 *
 * Small steps, each of which does one thing: a step returns 1 when it has done something, 0 when
 * there is nothing for it to do, or -1 and *err says what is wrong with the audio or the engine.
 * Nothing is told to anybody here.
 */
#ifndef SHOALD_INTAKE_H
#define SHOALD_INTAKE_H

#include "lane.h"
#include "work/state.h"

/* 0 or a negative SHOAL_E*; close it all the same. */
int shoald_intake_open(shoald_intake *in, const shoal_options *o);
void shoald_intake_close(shoald_intake *in);

/* A record of n bytes of audio begins at the queue's front. */
void shoald_intake_begin(shoald_intake *in, size_t n);
/* What is converted but not in the stream yet, or could not be converted for want of room. */
int shoald_intake_feed(shoald_intake *in, const shoal_options *o, shoal_stream *stream,
                       shoal_error *err);
/* More of the record. scratch: room for an opus packet. */
int shoald_intake_read(shoald_intake *in, const shoal_options *o, shoald_queue *from, char *scratch,
                       shoal_error *err);
/* No more will come for the time being: what was held back to recognise files goes on, and what was
 * too little to judge is judged. 0 or -1. */
int shoald_intake_settle(shoald_intake *in, const shoal_options *o, shoal_error *err);
/* No more will come at all: what the resampler still holds. */
int shoald_intake_drain(shoald_intake *in, const shoal_options *o, shoal_error *err);
/* After that, in a session that goes on: so many samples were left out. *at: the place where audio
 * goes on, in samples of 16 kHz. 0 or a negative SHOAL_E*. */
int shoald_intake_skip(shoald_intake *in, const shoal_options *o, uint64_t samples, int64_t *at);
/* Bytes at the end that are no whole sample. */
int shoald_intake_torn(const shoald_intake *in, const shoal_options *o);
/* Samples (a channel) at the client's rate, of all that came. */
uint64_t shoald_intake_received(const shoald_intake *in, const shoald_lane *l);
/* The same of what was taken: behind a flush, a skip and the end that is where sound ends, whatever
 * has come meanwhile. */
uint64_t shoald_intake_heard(const shoald_intake *in, const shoal_options *o);
/* How a negative SHOAL_E* of the engine is told. */
void shoald_intake_say(shoal_error *err, const shoal_options *o, int result);

#endif

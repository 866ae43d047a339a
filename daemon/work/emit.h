/* emit.h - results and replies -> the session's output queue (worker side)
 *
 * Every function encodes into the worker's scratch memory and puts one record. The caller has
 * made sure of room (lane.out_step), so nothing here can fail but for a bug, which is then
 * logged and closes the session.
 */
#ifndef SHOALD_EMIT_H
#define SHOALD_EMIT_H

#include "lane.h"
#include "work/bench.h"
#include "work/state.h"

void shoald_emit_ready(shoald_lane *l, shoald_bench *w);
/* Phones of one run. */
void shoald_emit_decoded(shoald_lane *l, shoald_bench *w, shoald_output *out,
                         const shoal_result *r);
/* Where speech begins and ends, if that is asked for. */
void shoald_emit_events(shoald_lane *l, shoald_bench *w, shoald_output *out,
                        const shoald_events *events);
/* Rows of features: kind, depth, tap, flags, first_frame, frames, dim, row_ms and the times of its
 * computation are set. */
void shoald_emit_packet(shoald_lane *l, shoald_bench *w, shoal_packet *p, const float *values);
/* The phones that its decoder still holds; only if there are any. */
void shoald_emit_last_phones(shoald_lane *l, shoald_bench *w, shoald_output *out);
void shoald_emit_changed(shoald_lane *l, shoald_bench *w, shoal_reason reason);
void shoald_emit_flushed(shoald_lane *l, shoald_bench *w);
void shoald_emit_done(shoald_lane *l, shoald_bench *w);
/* Fatal errors carry their close code. */
void shoald_emit_error(shoald_lane *l, shoald_bench *w, const shoal_error *err);
/* Text made by the loop, sent at its place. */
void shoald_emit_text(shoald_lane *l, shoald_bench *w, const void *text, size_t n, int close_code);

#endif

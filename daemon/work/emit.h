/* emit.h - results and replies -> the session's output queue (worker side)
 *
 * Every function encodes into the worker's scratch memory and puts one record. The caller has
 * made sure of room (session.out_step), so nothing here can fail but for a bug, which is then
 * logged and closes the session.
 */
#ifndef SHOALD_EMIT_H
#define SHOALD_EMIT_H

#include "session/session.h"
#include "work/worker.h"

void shoald_emit_ready(shoald_session *s, shoald_worker *w);
/* What this output asks for of one run at its depth. */
void shoald_emit_result(shoald_session *s, shoald_worker *w, shoald_output *out,
                        const shoal_result *r, uint32_t queued_us, uint32_t computed_us);
/* The phones that its decoder still holds; only if there are any. */
void shoald_emit_last_phones(shoald_session *s, shoald_worker *w, shoald_output *out);
/* The end of what is still speech; only if there is any. */
void shoald_emit_last_activity(shoald_session *s, shoald_worker *w, shoald_output *out);
void shoald_emit_changed(shoald_session *s, shoald_worker *w, shoal_reason reason);
void shoald_emit_flushed(shoald_session *s, shoald_worker *w);
void shoald_emit_done(shoald_session *s, shoald_worker *w);
/* Fatal errors carry their close code. */
void shoald_emit_error(shoald_session *s, shoald_worker *w, const shoal_error *err);
/* Text made by the loop, sent at its place. */
void shoald_emit_text(shoald_session *s, shoald_worker *w, const void *text, size_t n,
                      int close_code);

#endif

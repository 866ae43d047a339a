/* utterance.c - speech as a recogniser wants it cut: not too short, not too long, with a margin
 *
 *   begins are told once the speech has lasted min_frames, ends `pad` frames after it, begins that
 *   much before it, but never before the last end
 *   speech that would become longer than max_frames, margins included, is cut at the frame least
 * like speech of the last ones before that: an end and a begin at the same frame
 *
 * Pauses that may still turn out to be within the speech do not count into its length. */
#include <math.h>

#include "phones/utterance.h"

enum { WINDOW = SHOAL_ACTIVITY_CUT_WINDOW };

static int tell(shoal_activity_event *out, int speech, int64_t frame)
{
    *out = (shoal_activity_event){ speech, frame };
    return 1;
}

static int begin(shoal__utterance *u, int64_t frame, shoal_activity_event *out)
{
    u->told = 1;
    u->begin = frame;
    u->least = INFINITY;
    return tell(out, 1, frame);
}

static int64_t limit(const shoal_activity_params *p)
{
    return p->max_frames - p->pad_frames;
}

static void look_for_cut(shoal__utterance *u, const shoal_activity_params *p, int64_t frame,
                         float evidence)
{
    int64_t most = limit(p), window = most / 2 < WINDOW ? most / 2 : WINDOW;
    if (frame < u->begin + most - window || frame >= u->begin + most || evidence > u->least)
        return;
    u->least = evidence;
    u->least_at = frame;
}

static int cut(shoal__utterance *u, const shoal_activity_params *p, shoal_activity_event *out)
{
    int64_t at = isinf(u->least) ? u->begin + limit(p) : u->least_at;
    u->end = at;
    return tell(out, 0, at) + begin(u, at, out + 1);
}

int shoal__utterance_hear(shoal__utterance *u, const shoal_activity_params *p, int64_t frame,
                          float evidence, int64_t speech_end, shoal_activity_event *out)
{
    int count = 0;
    if (!u->told && speech_end - u->speech_begin >= p->min_frames) {
        int64_t at = u->speech_begin - p->pad_frames;
        count = begin(u, at > u->end ? at : u->end, out);
    }
    if (!u->told || !p->max_frames)
        return count;
    look_for_cut(u, p, frame, evidence);
    return speech_end - u->begin > limit(p) ? count + cut(u, p, out + count) : count;
}

int shoal__utterance_end(shoal__utterance *u, const shoal_activity_params *p, int64_t speech_end,
                         int64_t heard, shoal_activity_event *out)
{
    int64_t at = speech_end + p->pad_frames;
    if (!u->told)
        return 0;
    u->told = 0;
    u->end = at < heard ? at : heard;
    return tell(out, 0, u->end);
}

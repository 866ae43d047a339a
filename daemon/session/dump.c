/* dump.c - see dump.h
 *
 * One struct of figures is taken of each session and written twice, so that log and JSON agree. */
#include "session/dump.h"

#include "base/log.h"
#include "session/session.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct figures {
    const char *phase, *model; /* "-": it has none yet */
    int depth, worker;         /* 0 and -1: it has not started */
    double seconds, silent_s, audio_s, behind_s;
    size_t in_bytes, out_bytes; /* waiting for its worker, for its socket */
} figures;

static double seconds_since(uint64_t ns, uint64_t now_ns)
{
    return now_ns > ns ? (double)(now_ns - ns) / 1e9 : 0;
}

/* Audio received, but with no results yet; of Opus the length is not known here. */
static double behind(const shoald_session *s, double audio_s)
{
    const shoal_options *o = &s->lane.options;
    double bytes = (double)atomic_load(&s->lane.received_bytes);
    if (o->format == SHOAL_FORMAT_OPUS || !s->port)
        return 0;
    double received_s = bytes / shoald_lane_frame_bytes(o) / o->rate;
    return received_s > audio_s ? received_s - audio_s : 0;
}

static figures look(const shoald_session *s, uint64_t now_ns)
{
    static const char *const phases[] = { [SHOALD_WAITING] = "waiting",
                                          [SHOALD_STREAMING] = "streaming",
                                          [SHOALD_ENDING] = "ending",
                                          [SHOALD_CLOSING] = "closing" };
    figures f = {
        .phase = s->link        ? phases[s->phase]
                 : s->parked_ns ? "parked"
                                : "gone",
        .model = *s->lane.options.model ? s->lane.options.model : "-",
        .depth = atomic_load(&s->lane.totals.depth),
        .worker = s->port ? s->port->index : -1,
        .seconds = seconds_since(s->opened_ns, now_ns),
        .silent_s = seconds_since(s->heard_ns, now_ns),
        .audio_s = (double)atomic_load(&s->lane.totals.samples) / SHOALD_RATE,
        .in_bytes = s->port ? shoald_queue_fill(&s->lane.in) : 0,
        .out_bytes = s->port ? shoald_queue_fill(&s->lane.out) : 0,
    };
    f.behind_s = behind(s, f.audio_s);
    return f;
}

void shoald_session_dump(const shoald_house *house)
{
    uint64_t now_ns = uv_hrtime();
    shoald_log(SHOALD_LOG_NOTICE, "dump", "sessions=%d parked=%d parked_bytes=%llu refused=%d",
               house->session_count, house->parked.sessions,
               (unsigned long long)house->parked.bytes, house->refused_count);
    for (const shoald_session *s = house->sessions; s; s = s->next) {
        figures f = look(s, now_ns);
        shoald_log(SHOALD_LOG_NOTICE, "session",
                   "session=%s peer=%s token=%s phase=%s model=%s worker=%d depth=%d seconds=%.1f "
                   "silent_s=%.1f audio_s=%.2f behind_s=%.2f in_bytes=%zu out_bytes=%zu",
                   s->lane.id, s->peer.name, shoald_session_token(s), f.phase, f.model, f.worker,
                   f.depth, f.seconds, f.silent_s, f.audio_s, f.behind_s, f.in_bytes, f.out_bytes);
    }
}

static json_t *session_json(const shoald_session *s, uint64_t now_ns)
{
    figures f = look(s, now_ns);
    return json_pack("{ss ss ss* ss ss si si sf sf sf sf sI sI}", "session", s->lane.id, "peer",
                     s->peer.name, "token", *s->token ? s->token : NULL, "phase", f.phase, "model",
                     f.model, "worker", f.worker, "depth", f.depth, "seconds", f.seconds,
                     "silent_s", f.silent_s, "audio_s", f.audio_s, "behind_s", f.behind_s,
                     "in_bytes", (json_int_t)f.in_bytes, "out_bytes", (json_int_t)f.out_bytes);
}

int shoald_session_dump_json(shoal_buf *out, const shoald_house *house)
{
    json_t *list = json_array();
    uint64_t now_ns = uv_hrtime();
    int bad = !list;
    for (const shoald_session *s = house->sessions; s && !bad; s = s->next)
        bad = json_array_append_new(list, session_json(s, now_ns)) < 0;
    json_t *all = json_pack("{so}", "sessions", list); /* takes list, also when it fails */
    char *text = bad || !all ? NULL : json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
    int result = text ? shoal_buf_append(out, text, strlen(text)) : -1;
    free(text);
    json_decref(all);
    return result;
}

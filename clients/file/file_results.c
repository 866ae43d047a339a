/* file_results.c - events of a session -> writers; totals that must agree: see file_session.h */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/file_check.h"
#include "file/file_session.h"

static const double quiet_peak = 0.003; /* -50 dB of full scale */
enum { JUDGE_SECONDS = 1 }; /* of audio before channels are said to cancel while more comes */

static void write_failed(file_session *s, const char *why)
{
    if (out_print_error(s->run->printer) != EPIPE) /* who has gone needs no word */
        file_session_fail(s, why);
    s->failed = s->output_failed = s->closed = 1;
}

static void write_phones(file_session *s, out_source from, const out_phone *phones, int n)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->phones(s->outs[i], from, phones, n, why, sizeof why) < 0)
            write_failed(s, why);
}

static void write_activity(file_session *s, out_source from, const out_activity *a)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->activity(s->outs[i], from, a, why, sizeof why) < 0)
            write_failed(s, why);
}

/* Frames reach beyond the audio's end by the silence that fills the last one; times do not. */
static double clip(const file_session *s, double seconds)
{
    double end = file_session_seconds_sent(s);

    return seconds < end ? seconds : end;
}

/* What came because the audio has ended did not wait for anything. */
static void watch_latency(file_session *s, const shoal_phones *p)
{
    int over = s->ended && p->processed >= (uint64_t)file_session_frames_sent(s);

    if (s->o->latency && file_latency_take(&s->job->latency, &s->watch, p, over) < 0)
        file_session_fail(s, "out of memory");
}

/* For lines on stdout. A live line is the writer's own, who takes it away in time. */
static void make_room(file_session *s)
{
    if (!s->o->live)
        file_session_hide_progress(s);
}

static out_phone clipped(const file_session *s, const shoal_wire_phone *p)
{
    return (out_phone){ p->phone, clip(s, p->start), clip(s, p->end), (float)p->confidence };
}

/* What may still change, on a terminal: its line gives way like a line of progress. */
static void write_tentative(file_session *s, const shoal_phones *p)
{
    out_phone phones[SHOAL_MAX_TENTATIVE];
    char why[512];

    for (int i = 0; i < p->tentative_count; i++)
        phones[i] = clipped(s, &p->tentative[i].phone);
    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->tentative &&
            s->outs[i]->ops->tentative(s->outs[i], (out_source){ p->tap, p->depth }, phones,
                                       p->tentative_count, why, sizeof why) < 0)
            write_failed(s, why);
    s->progress_shown = p->tentative_count > 0;
}

static void on_phones(file_session *s, const shoal_phones *p)
{
    out_phone phones[SHOAL_MAX_PHONES];

    watch_latency(s, p);
    for (int i = 0; i < p->count; i++)
        phones[i] = clipped(s, &p->phones[i]);
    if (p->count) {
        make_room(s);
        write_phones(s, (out_source){ p->tap, p->depth }, phones, p->count);
    }
    if (s->o->live && p->has_tentative)
        write_tentative(s, p);
}

/* ---- utterances ---- */

/* The activity at the session's depth cuts them, or the shallowest there is. */
static void open_cut(file_session *s, const shoal_options *o)
{
    char *stem = out_key(s->job->name);
    out_cut_params p = { .dir = s->o->utterances,
                         .stem = stem,
                         .rate = s->info.rate,
                         .channels = s->info.channels,
                         .f32 = !s->info.s16 };
    char name[300];

    if (stem && s->job->part) {
        snprintf(name, sizeof name, "%.280s.ch%d", stem, s->job->part);
        p.stem = name;
    }
    s->cut = stem ? out_cut_open(&p) : NULL;
    if (!s->cut)
        file_session_fail(s, "out of memory");
    free(stem);
    for (int i = 0; i < o->tap_count && !(o->outputs & SHOAL_OUTPUT_ACTIVITY) && !s->cut_tap; i++)
        s->cut_tap = o->taps[i].outputs & SHOAL_OUTPUT_ACTIVITY ? o->taps[i].depth : 0;
}

static void cut(file_session *s, const shoal_wire_activity *a)
{
    char why[512];

    if (s->cut && a->tap == s->cut_tap &&
        out_cut_turn(s->cut, a->speech, a->sample, why, sizeof why) < 0)
        write_failed(s, why);
}

static void on_activity(file_session *s, const shoal_wire_activity *a)
{
    out_activity activity = { a->speech, clip(s, a->time) };

    cut(s, a);
    make_room(s);
    write_activity(s, (out_source){ a->tap, a->depth }, &activity);
}

static void write_features(file_session *s, const out_features *f)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->features(s->outs[i], f, why, sizeof why) < 0)
            write_failed(s, why);
}

/* As the outputs are named; hidden@0 has no tap that says so. */
static const char *kind_name(const shoal_packet *p)
{
    switch (p->kind) {
    case SHOAL_KIND_EMBEDDING: return "embedding";
    case SHOAL_KIND_HIDDEN: return p->depth ? "hidden" : "hidden@0";
    case SHOAL_KIND_MEL: return "mel";
    default: return "posteriors";
    }
}

static void on_features(file_session *s, const shoal_packet *p, const float *rows)
{
    double row_s = (p->row_ms ? p->row_ms : SHOAL_FRAME_MS) / 1000.0;
    out_features f = { .kind = kind_name(p),
                       .first_frame = (int64_t)p->first_frame,
                       .frames = p->frames,
                       .dim = p->dim,
                       .from = { p->tap, p->depth },
                       .start = (double)p->first_frame * SHOAL_FRAME_MS / 1000,
                       .row_seconds = row_s,
                       .rows = rows };

    write_features(s, &f);
}

static void announce(file_session *s, unsigned output, int tap, int dim)
{
    char why[512];

    for (int i = 0; i < s->out_count && !s->output_failed; i++)
        if (s->outs[i]->ops->announce(s->outs[i], shoal_output_name(output), tap, dim, why,
                                      sizeof why) < 0)
            write_failed(s, why);
}

static int dim_of(const shoal_ready *r, unsigned output)
{
    switch (output) {
    case SHOAL_OUTPUT_POSTERIORS: return r->classes;
    case SHOAL_OUTPUT_EMBEDDING:
    case SHOAL_OUTPUT_HIDDEN: return r->dim;
    case SHOAL_OUTPUT_MEL: return r->mels;
    default: return 0;
    }
}

static void announce_all(file_session *s, const shoal_ready *r, int tap, unsigned outputs)
{
    for (unsigned one = 1; one & SHOAL_OUTPUT_ALL; one <<= 1)
        if (outputs & one)
            announce(s, one, tap, dim_of(r, one));
}

/* Start the clock. */
static void on_ready(file_session *s, const shoal_ready *r)
{
    const shoal_options *o = &r->options;

    s->started_ms = file_session_now_ms();
    if (s->o->utterances)
        open_cut(s, o);
    file_latency_begin(&s->job->latency, &s->watch, r);
    announce_all(s, r, 0, o->outputs);
    for (int i = 0; i < o->tap_count; i++)
        if (o->taps[i].depth) /* hidden@0 is announced by its rows */
            announce_all(s, r, o->taps[i].depth, o->taps[i].outputs);
}

static void on_changed(file_session *s, const shoal_changed *c)
{
    if (c->reason == SHOAL_REASON_LOAD && !s->o->quiet)
        file_session_say(s, "depth %d from %.2f s on: the server's load changed", c->depth,
                         (double)c->from_frame * SHOAL_FRAME_MS / 1000);
}

/* ---- totals: nothing may be missing ---- */

static int differs(file_session *s, const char *what, uint64_t server, uint64_t here)
{
    if (server == here)
        return 0;
    file_session_say(s,
                     "RESULTS ARE INCOMPLETE: %s: the server says %llu, here it is %llu; "
                     "please report this",
                     what, (unsigned long long)server, (unsigned long long)here);
    return 1;
}

static void on_done(file_session *s, const shoal_done *d)
{
    shoal_client_stats have = shoal_client_get_stats(s->client);
    const shoal_ready *ready = shoal_client_get_ready(s->client);
    int features = (shoal_options_all_outputs(&ready->options) &
                    (SHOAL_OUTPUT_POSTERIORS | SHOAL_OUTPUT_EMBEDDING)) != 0 &&
                   ready->options.every <= 1 && ready->options.pool == SHOAL_POOL_NONE;
    int bad = differs(s, "samples received", d->received, (uint64_t)file_session_frames_sent(s));

    bad |= differs(s, "samples processed", d->processed, d->received);
    bad |= differs(s, "phones", d->phones, have.phones);
    bad |= differs(s, "feature packets", d->packets, have.packets);
    bad |= differs(s, "results missing by their numbers", 0, have.seq_gaps);
    if (features)
        bad |= differs(s, "frames", d->frames, have.frames);
    /* Each sample lies in some frame; resampling may round a frame away. */
    if (((double)d->frames + 1) * shoal_frame_samples(s->info.rate) <
        (double)file_session_frames_sent(s))
        bad |= differs(s, "frames for the audio sent", d->frames,
                       (uint64_t)ceil((double)file_session_frames_sent(s) /
                                      shoal_frame_samples(s->info.rate)));
    s->failed |= bad;
    s->done = 1;
}

/* What to do next is in the message; when, in the failure. */
static void on_error(file_session *s, const shoal_client_event *e)
{
    const shoal_client_failure *f = e->failure;

    if (!e->error->fatal && !strcmp(e->error->ref, "channels"))
        return; /* that they cancel is told here, in words of the command line */
    if (f && f->retry_ms > 0 && (f->cause == SHOAL_CLIENT_FULL || f->error.retry_after_ms))
        file_session_say(s, "%s (try again in %.1f s)", e->error->message, f->retry_ms / 1000.0);
    else
        file_session_say(s, "%s", e->error->message);
    s->failed = 1;
    s->later |= f && f->retry_ms >= 0 && f->cause != SHOAL_CLIENT_BROKEN;
}

/* Results go on where they were, or the session fails: so there is no more to say. */
static void on_away(file_session *s, const shoal_client_failure *f)
{
    if (!s->away && !s->o->quiet)
        file_session_say(s, "%s; trying again for %d s", f->error.message, s->o->reconnect_s);
    s->away = 1;
}

static void on_resumed(file_session *s, const shoal_client_gap *g)
{
    if (!s->o->quiet)
        file_session_say(s, "the server is back; lost 0 ms (%.1f s were sent again)",
                         (double)g->replayed / s->info.rate);
    s->away = 0;
}

void file_results_take(file_session *s, const shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY: on_ready(s, e->ready); break;
    case SHOAL_CLIENT_PHONES: on_phones(s, e->phones); break;
    case SHOAL_CLIENT_ACTIVITY: on_activity(s, e->activity); break;
    case SHOAL_CLIENT_FEATURES: on_features(s, e->packet, e->rows); break;
    case SHOAL_CLIENT_CHANGED: on_changed(s, e->changed); break;
    case SHOAL_CLIENT_DONE: on_done(s, e->done); break;
    case SHOAL_CLIENT_ERROR: on_error(s, e); break;
    case SHOAL_CLIENT_ROOM: s->full = 0; break;
    case SHOAL_CLIENT_AWAY: on_away(s, e->failure); break;
    case SHOAL_CLIENT_RESUMED: on_resumed(s, e->gap); break;
    case SHOAL_CLIENT_CLOSED: s->closed = 1; break;
    default: break;
    }
    if (s->cut)
        out_cut_processed(s->cut, shoal_client_get_stats(s->client).processed);
}

/* ---- before and after ---- */

int file_results_open(file_session *s)
{
    char why[512];

    for (; s->out_count < s->o->writer_count; s->out_count++) {
        out_open *open_writer = s->o->writers[s->out_count];

        if (open_writer(&s->outs[s->out_count], s->run, s->job->name, why, sizeof why) < 0) {
            file_session_fail(s, why);
            return -1;
        }
    }
    return 0;
}

/* Seconds of the file that have results, or all of it once that is certain. */
static double seconds_covered(const file_session *s)
{
    if (s->done)
        return file_session_seconds_sent(s);
    return (double)shoal_client_get_stats(s->client).processed / s->info.rate;
}

/* Complete the files with what was received, even if that is not all. */
void file_results_finish(file_session *s)
{
    double seconds = seconds_covered(s);
    char why[512];

    file_session_hide_progress(s);
    if (s->cut && out_cut_finish(s->cut, why, sizeof why) < 0)
        write_failed(s, why);
    if (!s->done && s->started_ms && out_print_error(s->run->printer) != EPIPE)
        file_session_say(s, "results end at %.2f s", seconds);
    for (int i = 0; i < s->out_count && s->started_ms && !s->output_failed; i++)
        if (s->outs[i]->ops->finish(s->outs[i], seconds, why, sizeof why) < 0)
            write_failed(s, why);
}

/* ---- the audio itself ---- */

void file_results_judge_channels(file_session *s)
{
    file_audio_state a = file_source_get_state(s->source);
    double decoded = (double)a.frames_read / s->info.file_rate;

    if (a.cancels && !s->told_cancelled && (s->at_end || decoded >= JUDGE_SECONDS)) {
        s->told_cancelled = 1;
        file_session_say(s,
                         "warning: its channels cancel each other out (one is inverted), so that "
                         "their mean, which is what is heard, is next to nothing; take one: "
                         "--channel left");
    }
}

/* Who gets no phones should know when that is no wonder. */
static void judge_level(file_session *s, const file_audio_state *a)
{
    if (!s->at_end || a->frames_read == 0)
        return;
    if (a->peak == 0)
        file_session_say(s, "warning: nothing but zeros is in it: was the microphone muted?");
    else if (a->peak < quiet_peak && shoal_client_get_stats(s->client).phones == 0)
        file_session_say(s,
                         "warning: it is next to silent: no sample is above %.0f dB of full scale "
                         "(the wrong input, a level turned down?)",
                         20 * log10(a->peak));
}

void file_results_judge_end(file_session *s)
{
    file_audio_state a = file_source_get_state(s->source);
    double decoded = (double)a.frames_read / s->info.file_rate;
    char name[4200];

    file_check_quote(name, sizeof name, s->job->name);
    file_results_judge_channels(s);
    judge_level(s, &a);
    if (!s->at_end || !a.cut)
        return;
    s->failed = 1;
    if (a.unended && !(a.promised > 0))
        file_session_say(s, "its header says that it has no sound, but something follows (a writer "
                            "that cannot seek?): let it write WAV, or a file");
    else if (a.unended)
        file_session_say(s,
                         "its header says that it has no sound, but %.2f s follow (a recording "
                         "that was not ended?): ffmpeg -i %s %s.wav makes it whole",
                         a.promised, name, name);
    else if (a.more)
        file_session_say(s,
                         "more sound follows the %.2f s that could be read, which its header knows "
                         "nothing of (several recordings in one file?): take it apart, or try to "
                         "convert it with ffmpeg",
                         decoded);
    else if (a.damaged)
        file_session_say(s,
                         "the file is damaged: %.2f s could be read, and some is missing in the "
                         "middle, so times behind that are too early",
                         decoded);
    else if (a.promised > 0)
        file_session_say(s, "the file is cut off or damaged: %.3f s of %.3f s could be read",
                         decoded, a.promised);
    else
        file_session_say(s,
                         "the file is cut off: %.2f s could be read, then it ends without the "
                         "end mark; how long it should be it does not say",
                         decoded);
}

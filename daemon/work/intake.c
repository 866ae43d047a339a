/* intake.c - sniff, convert, feed; see intake.h
 *
 * Raw bytes are converted where they lie in the ring. The first of them are held back in `head`
 * until the sniffer knows that they are no file. Opus packets are converted whole. */
#include "work/intake.h"

#include <string.h>

enum { HEAD_FIRST = 16 }; /* bytes looked at before the sniffer asks for more */

static const shoal_pcm_format pcm_formats[] = {
    /* index: shoal_format */
    [SHOAL_FORMAT_S16LE] = SHOAL_PCM_S16LE, [SHOAL_FORMAT_F32LE] = SHOAL_PCM_F32LE,
    [SHOAL_FORMAT_MULAW] = SHOAL_PCM_MULAW, [SHOAL_FORMAT_ALAW] = SHOAL_PCM_ALAW,
    [SHOAL_FORMAT_OPUS] = SHOAL_PCM_OPUS,
};

int shoald_intake_open(shoald_intake *in, const shoal_options *o)
{
    in->head_need = HEAD_FIRST;
    shoald_probe_init(&in->probe, o);
    int result = shoal_pcm_new(&in->pcm, pcm_formats[o->format], o->rate, o->channels);
    return result < 0 ? result : shoal_pcm_set_channel(in->pcm, o->channel);
}

void shoald_intake_close(shoald_intake *in)
{
    shoal_pcm_free(in->pcm);
    in->pcm = NULL;
}

void shoald_intake_say(shoal_error *err, const shoal_options *o, int result)
{
    bool opus = o->format == SHOAL_FORMAT_OPUS;
    if (result == SHOAL_EAUDIO)
        shoal_error_set(err, opus ? SHOAL_CODE_BAD_AUDIO_PACKET : SHOAL_CODE_AUDIO_NOT_FINITE, NULL,
                        NULL);
    else if (result == SHOAL_ENOMEM)
        shoal_error_set(err, SHOAL_CODE_INTERNAL, NULL,
                        "the server has no memory for this session: try again later");
    else if (result == SHOAL_EUNSUPPORTED)
        shoal_error_set(err, SHOAL_CODE_UNSUPPORTED, "format",
                        "this server was built without %s: send s16le instead",
                        shoal_format_name(o->format));
    else
        shoal_error_set(err, SHOAL_CODE_INTERNAL, NULL, "the engine refuses: %s",
                        shoal_strerror(result));
}

static int fail(const shoal_options *o, ptrdiff_t result, shoal_error *err)
{
    shoald_intake_say(err, o, (int)result);
    return -1;
}

/* ---- bytes -> floats -> stream --------------------------------------------------------- */

/* What is no number may be one with its bytes in another order. */
static int fail_values(shoald_intake *in, const shoal_options *o, ptrdiff_t result,
                       shoal_error *err)
{
    if (result == SHOAL_EAUDIO && !shoald_probe_judge(&in->probe, err))
        return -1;
    return fail(o, result, err);
}

/* Bytes -> in->floats, which is empty now. used: bytes taken. 1 or -1. */
static int convert(shoald_intake *in, const shoal_options *o, const void *bytes, size_t n,
                   size_t *used, shoal_error *err)
{
    *used = 0;
    ptrdiff_t count = shoal_pcm_convert(in->pcm, bytes, n, used, in->floats, SHOALD_INTAKE_FLOATS);
    if (count < 0)
        return shoald_probe_look(&in->probe, bytes, n, err) ? fail_values(in, o, count, err) : -1;
    if (!shoald_probe_look(&in->probe, bytes, *used, err))
        return -1;
    in->float_used = 0;
    in->float_count = (int)count;
    in->pcm_full = count == SHOALD_INTAKE_FLOATS;
    in->converted += (uint64_t)count;
    return 1;
}

static int feed_floats(shoald_intake *in, const shoal_options *o, shoal_stream *stream,
                       shoal_error *err)
{
    ptrdiff_t taken = shoal_stream_feed(stream, in->floats + in->float_used,
                                        (size_t)(in->float_count - in->float_used));
    if (taken < 0)
        return fail_values(in, o, taken, err);
    if (taken == 0 && !shoal_stream_ready(stream)) /* a bug there must not hang the worker */
        return fail(o, SHOAL_ESTATE, err);
    in->float_used += (int)taken;
    return 1;
}

static int feed_head(shoald_intake *in, const shoal_options *o, shoal_error *err)
{
    size_t used;
    int result =
        convert(in, o, in->head + in->head_used, in->head_size - in->head_used, &used, err);
    in->head_used += used;
    return result;
}

int shoald_intake_feed(shoald_intake *in, const shoal_options *o, shoal_stream *stream,
                       shoal_error *err)
{
    size_t used;
    if (in->float_used < in->float_count)
        return feed_floats(in, o, stream, err);
    if (in->pcm_full)
        return convert(in, o, "", 0, &used, err);
    if (in->head_used < (in->sniffed ? in->head_size : in->head_open))
        return feed_head(in, o, err);
    return 0;
}

/* ---- records --------------------------------------------------------------------------- */

void shoald_intake_begin(shoald_intake *in, size_t n)
{
    in->audio_left = (uint32_t)n;
}

/* Is it a file? With more == false the head is all there will be. 1 or -1. */
static int sniff(shoald_intake *in, const shoal_options *o, bool more, shoal_error *err)
{
    size_t need = 0;
    shoal_sniff verdict = shoal_sniff_container(in->head, in->head_size, o, &need, err);
    if (verdict == SHOAL_SNIFF_YES)
        return -1;
    if (verdict == SHOAL_SNIFF_MORE && more && need > in->head_size &&
        in->head_size < sizeof in->head)
        in->head_need = need < sizeof in->head ? need : sizeof in->head;
    else
        in->sniffed = true;
    return 1;
}

static void take(shoald_intake *in, shoald_queue *from, size_t n)
{
    shoald_queue_drop(from, n);
    in->audio_left -= (uint32_t)n;
    in->taken += n;
}

/* Collect the first bytes of the stream until the sniffer has made up its mind. */
static int fill_head(shoald_intake *in, const shoal_options *o, shoald_queue *from,
                     shoal_error *err)
{
    size_t n = in->head_need - in->head_size;
    if (n > in->audio_left)
        n = in->audio_left;
    shoald_queue_copy(from, 0, in->head + in->head_size, n);
    in->head_size += n;
    take(in, from, n);
    return in->head_size >= in->head_need ? sniff(in, o, true, err) : 1;
}

/* Containers show in the first packet. */
static int sniff_packet(shoald_intake *in, const shoal_options *o, const char *packet, size_t n,
                        shoal_error *err)
{
    in->head_size = n < sizeof in->head ? n : sizeof in->head;
    memcpy(in->head, packet, in->head_size);
    in->head_used = in->head_size;
    return sniff(in, o, false, err);
}

static int read_packet(shoald_intake *in, const shoal_options *o, shoald_queue *from, char *scratch,
                       shoal_error *err)
{
    size_t used, n = in->audio_left;
    shoald_queue_copy(from, 0, scratch, n);
    take(in, from, n);
    if (!in->sniffed && sniff_packet(in, o, scratch, n, err) < 0)
        return -1;
    return convert(in, o, scratch, n, &used, err);
}

static int read_bytes(shoald_intake *in, const shoal_options *o, shoald_queue *from,
                      shoal_error *err)
{
    const void *bytes;
    size_t used, n = shoald_queue_view(from, 0, in->audio_left, &bytes);
    int result = convert(in, o, bytes, n, &used, err);
    take(in, from, result < 0 ? n : used);
    return result;
}

int shoald_intake_read(shoald_intake *in, const shoal_options *o, shoald_queue *from, char *scratch,
                       shoal_error *err)
{
    if (!in->audio_left)
        return 0;
    if (o->format == SHOAL_FORMAT_OPUS)
        return read_packet(in, o, from, scratch, err);
    return in->sniffed ? read_bytes(in, o, from, err) : fill_head(in, o, from, err);
}

/* ---- ends ------------------------------------------------------------------------------ */

/* What is there is let go, but as long as that is too little for a verdict it stays to be looked at
 * with what comes: nothing at all says least. */
int shoald_intake_settle(shoald_intake *in, const shoal_options *o, shoal_error *err)
{
    if (!in->sniffed && in->head_size && sniff(in, o, true, err) < 0)
        return -1;
    in->head_open = in->head_size;
    return shoald_probe_judge(&in->probe, err) ? 0 : -1;
}

int shoald_intake_drain(shoald_intake *in, const shoal_options *o, shoal_error *err)
{
    ptrdiff_t count = shoal_pcm_drain(in->pcm, in->floats, SHOALD_INTAKE_FLOATS);
    in->float_used = 0;
    in->float_count = count > 0 ? (int)count : 0;
    in->converted += (uint64_t)in->float_count;
    if (count < 0)
        return fail(o, count, err);
    return count > 0;
}

/* Samples begin anew behind a gap: what is left of one before it counts nowhere. */
int shoald_intake_skip(shoald_intake *in, const shoal_options *o, uint64_t samples, int64_t *at)
{
    in->taken -= (uint64_t)shoald_intake_torn(in, o);
    shoald_probe_align(&in->probe);
    uint64_t before = in->taken / (uint64_t)shoald_lane_frame_bytes(o);
    if (o->format == SHOAL_FORMAT_OPUS)
        before = in->converted * (uint64_t)o->rate / SHOALD_RATE;
    in->skipped += samples;
    in->float_count = in->float_used = 0;
    *at = (int64_t)((before + in->skipped) * SHOALD_RATE / (uint64_t)o->rate);
    return shoal_pcm_reset(in->pcm);
}

int shoald_intake_torn(const shoald_intake *in, const shoal_options *o)
{
    return (int)(in->taken % (uint64_t)shoald_lane_frame_bytes(o));
}

static uint64_t samples_of(const shoald_intake *in, const shoal_options *o, uint64_t bytes)
{
    if (o->format == SHOAL_FORMAT_OPUS)
        return in->skipped + in->converted * (uint64_t)o->rate / SHOALD_RATE;
    return in->skipped + bytes / (uint64_t)shoald_lane_frame_bytes(o);
}

uint64_t shoald_intake_received(const shoald_intake *in, const shoald_lane *l)
{
    return samples_of(in, &l->options, atomic_load(&l->received_bytes));
}

uint64_t shoald_intake_heard(const shoald_intake *in, const shoal_options *o)
{
    return samples_of(in, o, in->taken);
}

/* mic_capture.c - see mic_capture.h
 *
 *     thread:   open -> start -> look each 100 ms -> close -> open ...      (PortAudio may block)
 *     callback: samples -> ring; counts; nothing else                       (PortAudio's thread)
 *     loop:     look                                                        (takes a lock)
 *
 * A device that is gone says so (the stream is no longer active), or stops calling. PortAudio knows
 * devices as they were when it was initialised, so it is terminated and initialised again, and the
 * device is looked for by its name.
 */
#include "mic/mic_capture.h"

#include <dlfcn.h>
#include <portaudio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "out/out_thread.h"

enum {
    LOOK_MS = 100,
    STALL_MS = 1000, /* without a call: it is gone */
    FIRST_MS = 3000, /* a sound system may wake the device up first */
    AGAIN_MS = 300,
    STEP_MS = 2,
    STOP_MS = 60,
    MAX_RATE = 48000
};

struct mic_capture {
    mic_source_params params; /* set at start, then constant, as ring is */
    mic_ring *ring;
    pthread_t thread;
    atomic_int stop, restart; /* set by the loop */
    atomic_uint calls;        /* the callback's */
    atomic_int overruns;
    pthread_mutex_t lock;
    mic_news news; /* under lock */
    /* the thread's: */
    PaStream *stream;
    int channels;
};

/* ---- the callback ---- */

static int on_samples(const void *in, void *out, unsigned long n,
                      const PaStreamCallbackTimeInfo *time, PaStreamCallbackFlags flags, void *user)
{
    mic_capture *c = user;

    (void)out;
    (void)time;
    if (flags & paInputOverflow)
        atomic_fetch_add_explicit(&c->overruns, 1, memory_order_relaxed);
    if (in)
        mic_ring_write(c->ring, (const int16_t *)in + c->params.channel - 1, n,
                       (size_t)c->channels);
    atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
    return paContinue;
}

/* ---- devices ---- */

static void say_nothing(const char *file, int line, const char *function, int error,
                        const char *format, ...)
{
    (void)file;
    (void)line;
    (void)function;
    (void)error;
    (void)format;
}

static void jack_says_nothing(const char *text)
{
    (void)text;
}

/* ALSA and JACK, which PortAudio has brought along, print what they try in vain to stderr. */
static int begin(void)
{
    typedef void setter(void *);
    setter *alsa = (setter *)dlsym(RTLD_DEFAULT, "snd_lib_error_set_handler");
    setter *jack_errors = (setter *)dlsym(RTLD_DEFAULT, "jack_set_error_function");
    setter *jack_info = (setter *)dlsym(RTLD_DEFAULT, "jack_set_info_function");

    if (alsa)
        alsa((void *)say_nothing);
    if (jack_errors)
        jack_errors((void *)jack_says_nothing);
    if (jack_info)
        jack_info((void *)jack_says_nothing);
    return Pa_Initialize();
}

static const char *host_of(const PaDeviceInfo *d)
{
    const PaHostApiInfo *host = Pa_GetHostApiInfo(d->hostApi);

    return host ? host->name : "?";
}

int mic_capture_list(void)
{
    int r = begin(), found = 0, standard;

    if (r != paNoError) {
        fprintf(stderr, "shoal-mic: the sound system does not start: %s\n", Pa_GetErrorText(r));
        return 1;
    }
    standard = Pa_GetDefaultInputDevice();
    for (int i = 0; i < Pa_GetDeviceCount(); i++) {
        const PaDeviceInfo *d = Pa_GetDeviceInfo(i);

        if (!d || d->maxInputChannels < 1)
            continue;
        printf("%c %-48s %5.0f Hz  %d channel%s  %s\n", i == standard ? '*' : ' ', d->name,
               d->defaultSampleRate, d->maxInputChannels, d->maxInputChannels > 1 ? "s" : " ",
               host_of(d));
        found++;
    }
    Pa_Terminate();
    if (!found)
        fputs("shoal-mic: no microphone is known here\n", stderr);
    else
        puts("\n* is the default. --device takes a part of a name.");
    return found ? 0 : 1;
}

static int find_device(const char *wanted)
{
    if (!wanted)
        return Pa_GetDefaultInputDevice();
    for (int exact = 1; exact >= 0; exact--)
        for (int i = 0; i < Pa_GetDeviceCount(); i++) {
            const PaDeviceInfo *d = Pa_GetDeviceInfo(i);

            if (!d || d->maxInputChannels < 1)
                continue;
            if (exact ? !strcmp(d->name, wanted) : strcasestr(d->name, wanted) != NULL)
                return i;
        }
    return paNoDevice;
}

/* ---- news ---- */

static void tell(mic_capture *c, mic_state state, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->news.state = state;
    c->news.opened += state == MIC_RUNNING;
    snprintf(c->news.why, sizeof c->news.why, "%s", why);
    pthread_mutex_unlock(&c->lock);
}

/* Before the first sound there is a person to be told; later there is hope. */
static void fail(mic_capture *c, const char *what, const char *detail)
{
    char why[512];

    if (c->news.opened)
        return;
    snprintf(why, sizeof why,
             "%s%s%s. shoal-mic --list shows what there is, --device NAME picks one; what is no "
             "microphone can be heard too: --input-command 'parec --raw --channels=1 --rate=16000'",
             what, *detail ? ": " : "", detail);
    tell(c, MIC_FAILED, why);
}

/* ---- the thread ---- */

static PaError open_at(mic_capture *c, const PaStreamParameters *p, int rate)
{
    PaError r = Pa_OpenStream(&c->stream, p, NULL, rate, paFramesPerBufferUnspecified, paNoFlag,
                              on_samples, c);

    if (r == paNoError && (r = Pa_StartStream(c->stream)) == paNoError) {
        c->news.rate = rate;
        return r;
    }
    if (c->stream)
        Pa_CloseStream(c->stream);
    c->stream = NULL;
    return r;
}

/* The device's own rate first; the server takes up to 48 kHz. Once chosen it stays. */
static PaError open_some_rate(mic_capture *c, const PaStreamParameters *p, int own)
{
    const int rates[] = { own <= MAX_RATE ? own : MAX_RATE, 48000, 44100, 16000 };
    PaError r = paInvalidSampleRate;

    if (c->news.rate || c->params.rate)
        return open_at(c, p, c->news.rate ? c->news.rate : c->params.rate);
    for (int i = 0; i < 4 && r != paNoError; i++)
        r = open_at(c, p, rates[i]);
    return r;
}

static int open_stream(mic_capture *c)
{
    int device = find_device(c->params.device);
    const PaDeviceInfo *d = device == paNoDevice ? NULL : Pa_GetDeviceInfo(device);
    PaStreamParameters p = { .device = device, .sampleFormat = paInt16 };
    PaError r;

    if (!d) {
        fail(c, c->params.device ? "no microphone of that name" : "no microphone",
             c->params.device ? c->params.device : "");
        return -1;
    }
    c->channels = p.channelCount = c->params.channel;
    p.suggestedLatency = d->defaultLowInputLatency;
    r = open_some_rate(c, &p, (int)d->defaultSampleRate);
    if (r != paNoError) {
        fail(c, d->name, Pa_GetErrorText(r));
        return -1;
    }
    snprintf(c->news.name, sizeof c->news.name, "%s", d->name);
    return 0;
}

static void pause_ms(int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

/* Until it is gone. Returns why; "": it was asked for. */
static const char *watch_stream(mic_capture *c)
{
    unsigned first = atomic_load(&c->calls), calls = first;
    int still = 0;

    while (!atomic_load(&c->stop)) {
        pause_ms(LOOK_MS);
        if (Pa_IsStreamActive(c->stream) != 1)
            return "it has stopped";
        still = atomic_load(&c->calls) == calls ? still + LOOK_MS : 0;
        calls = atomic_load(&c->calls);
        if (still >= (calls == first ? FIRST_MS : STALL_MS))
            return "no sound comes";
        if (atomic_exchange(&c->restart, 0))
            return "";
    }
    return "";
}

static void run_once(mic_capture *c)
{
    PaError r = begin();
    const char *why;

    if (r != paNoError) {
        fail(c, "the sound system does not start", Pa_GetErrorText(r));
        return;
    }
    if (open_stream(c) == 0) {
        tell(c, MIC_RUNNING, "");
        why = watch_stream(c);
        if (!atomic_load(&c->stop))
            tell(c, MIC_AWAY, why);
        Pa_AbortStream(c->stream);
        Pa_CloseStream(c->stream);
        c->stream = NULL;
    }
    Pa_Terminate();
}

static void *work(void *user)
{
    mic_capture *c = user;

    while (!atomic_load(&c->stop)) {
        run_once(c);
        if (!c->news.opened)
            return NULL;
        for (int ms = 0; ms < AGAIN_MS && !atomic_load(&c->stop); ms += 20)
            pause_ms(20);
    }
    return NULL;
}

/* ---- the loop's side ---- */

mic_capture *mic_capture_start(const mic_source_params *params, mic_ring *ring)
{
    mic_capture *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->params = *params;
    c->ring = ring;
    pthread_mutex_init(&c->lock, NULL);
    if (!out_thread_start(&c->thread, work, c))
        return c;
    free(c);
    return NULL;
}

mic_news mic_capture_look(mic_capture *c)
{
    mic_news news;

    pthread_mutex_lock(&c->lock);
    news = c->news;
    pthread_mutex_unlock(&c->lock);
    news.overruns = atomic_load(&c->overruns);
    return news;
}

void mic_capture_restart(mic_capture *c)
{
    atomic_store(&c->restart, 1);
}

int mic_capture_stop(mic_capture *c)
{
    const struct timespec step = { 0, STEP_MS * 1000000L };
    int waited = 0;

    if (!c)
        return 1;
    atomic_store(&c->stop, 1);
    /* In steps: joining with a time limit goes by the clock that people set. */
    while (pthread_tryjoin_np(c->thread, NULL)) {
        if ((waited += STEP_MS) > STOP_MS)
            return 0;
        nanosleep(&step, NULL);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
    return 1;
}

/* file_jobs.c - see file_jobs.h
 *
 *     files (a channel each, if so) -> list of jobs -> o->jobs threads, each one session at a time
 *                                                   -> the program's thread: progress, signals
 *
 * With one job all is done in the program's own thread, and results are printed as they come. With
 * more, what a file prints is kept until it is done, so that files do not mix on stdout. The list
 * is constant once threads run; `next` and what they count is under the lock.
 */
#include "file/file_jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file/file_audio.h"
#include "lib/client_get.h"
#include "out/out_screen.h"
#include "out/out_thread.h"

enum { PROGRESS_MS = 200, ASK_MS = 3000, MAX_DEPTHS_BYTES = 1 << 20 };

typedef struct batch {
    const file_options *o; /* these four: set at the beginning, then constant */
    out_run *run;
    file_signals *signals;
    file_job *jobs;
    int count;
    pthread_mutex_t lock;
    pthread_cond_t news; /* a thread has ended */
    /* under lock: */
    int next, done, failed, running;
    int code;
    int stop;
    double seconds; /* of audio that is done */
    file_latency latency;
} batch;

/* ---- the list ---- */

static int add_job(batch *b, const char *path, int channel, int part)
{
    struct stat s;
    file_job *more = realloc(b->jobs, ((size_t)b->count + 1) * sizeof *more);

    if (!more)
        return -1;
    b->jobs = more;
    more[b->count++] = (file_job){ .path = path,
                                   .name = strcmp(path, "-") != 0 ? path : "stdin",
                                   .channel = channel,
                                   .part = part,
                                   .bytes = stat(path, &s) == 0 ? (double)s.st_size : 0 };
    return 0;
}

/* A job for each channel. A file that cannot be opened is one job, which says why. */
static int add_channels(batch *b, const char *path)
{
    char why[512];
    int channels =
        b->o->raw ? b->o->raw_channels : file_audio_count_channels(path, why, sizeof why);
    int r = 0;

    if (channels < 2)
        return add_job(b, path, 0, channels == 1);
    for (int i = 1; i <= channels && !r; i++)
        r = add_job(b, path, i, i);
    return r;
}

static int list_jobs(batch *b)
{
    int r = 0;

    for (int i = 0; i < b->o->file_count && !r; i++)
        r = b->o->each_channel ? add_channels(b, b->o->files[i])
                               : add_job(b, b->o->files[i], b->o->channel, 0);
    if (r)
        fputs("shoal-file: out of memory\n", stderr);
    return r;
}

/* ---- one after the other ---- */

static void count(batch *b, file_job *job, const file_done *d)
{
    if (file_latency_add(&b->latency, &job->latency) < 0)
        fputs("shoal-file: out of memory; latency is not of all files\n", stderr);
    file_latency_free(&job->latency);
    job->share = 1;
    b->done++;
    b->seconds += d->seconds;
    b->failed += d->code != 0;
    if (d->code && !b->code)
        b->code = d->code;
    if (d->code && b->code != d->code)
        b->code = EXIT_FAILED; /* not only what may be tried again */
    b->stop |= d->stop;
}

static int run_in_turn(batch *b)
{
    for (int i = 0; i < b->count && !b->stop && !b->signals->interrupts; i++) {
        out_run run = *b->run;

        run.channel = b->jobs[i].part;
        file_done d = file_session_run(b->o, &run, &b->jobs[i], b->signals, 0);
        count(b, &b->jobs[i], &d);
    }
    return b->signals->interrupts ? EXIT_INTERRUPTED : b->code;
}

/* ---- several at a time ---- */

/* Print what a file has given, at once. */
static void print_all(batch *b, const char *text, size_t size)
{
    FILE *f = b->run->print;

    fwrite(text, 1, size, f);
    fflush(f);
}

static file_done run_job(batch *b, file_job *job, int slot)
{
    out_run run = *b->run;
    char *text = NULL;
    size_t size = 0;
    file_done d = { .code = EXIT_FAILED };

    run.channel = job->part;
    run.print = open_memstream(&text, &size);
    if (!run.print) {
        fprintf(stderr, "shoal-file: %s: out of memory\n", job->name);
        return d;
    }
    d = file_session_run(b->o, &run, job, b->signals, slot);
    fclose(run.print);
    pthread_mutex_lock(&b->lock);
    print_all(b, text, size);
    pthread_mutex_unlock(&b->lock);
    free(text);
    return d;
}

typedef struct worker {
    batch *batch;
    int slot;
    pthread_t thread;
} worker;

static file_job *take_job(batch *b)
{
    file_job *job = NULL;

    pthread_mutex_lock(&b->lock);
    if (b->next < b->count && !b->stop && !b->signals->interrupts)
        job = &b->jobs[b->next++];
    pthread_mutex_unlock(&b->lock);
    return job;
}

static void *work(void *user)
{
    worker *w = user;
    batch *b = w->batch;
    file_job *job;

    while ((job = take_job(b))) {
        file_done d = run_job(b, job, w->slot);

        pthread_mutex_lock(&b->lock);
        count(b, job, &d);
        pthread_mutex_unlock(&b->lock);
    }
    pthread_mutex_lock(&b->lock);
    b->running--;
    pthread_cond_signal(&b->news);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of all there is, by the bytes of the files; 0: that is not known. */
static double share_done(const batch *b)
{
    double all = 0, done = 0;

    for (int i = 0; i < b->count; i++) {
        if (b->jobs[i].bytes <= 0)
            return 0;
        all += b->jobs[i].bytes;
        done += b->jobs[i].bytes * b->jobs[i].share;
    }
    return done / all;
}

static void show_progress(const batch *b, double since)
{
    double took = now_s() - since, share = share_done(b);
    char text[200];
    int n = snprintf(text, sizeof text, "%d of %d files", b->done, b->count);

    if (b->failed)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %d failed", b->failed);
    if (share > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "  about %.0f s left",
                      took / share * (1 - share));
    if (b->done && took > 0)
        snprintf(text + n, sizeof text - (size_t)n, "  %.1f x real time", b->seconds / took);
    out_screen_progress(text);
}

/* Until all threads have ended. Called with the lock. */
static void watch(batch *b)
{
    int shows = b->o->batch_progress;
    double since = now_s();
    struct timespec t;

    while (b->running) {
        if (shows)
            show_progress(b, since);
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += PROGRESS_MS * 1000000L;
        t.tv_sec += t.tv_nsec / 1000000000L;
        t.tv_nsec %= 1000000000L;
        pthread_cond_clockwait(&b->news, &b->lock, CLOCK_MONOTONIC, &t);
    }
    if (shows)
        out_screen_progress(NULL);
}

static int run_at_once(batch *b)
{
    int jobs = b->o->jobs < b->count ? b->o->jobs : b->count, started = 0;
    worker workers[FILE_MAX_JOBS];

    pthread_mutex_lock(&b->lock);
    for (; started < jobs; started++) {
        workers[started] = (worker){ .batch = b, .slot = started };
        if (out_thread_start(&workers[started].thread, work, &workers[started]))
            break;
        b->running++;
    }
    watch(b);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (!started)
        fputs("shoal-file: no thread could be started\n", stderr);
    return b->signals->interrupts ? EXIT_INTERRUPTED : started ? b->code : EXIT_FAILED;
}

/* Only the server knows its own part. */
static void print_latency(batch *b)
{
    const shoal__server server = file_server(b->o);
    char why[512];
    char *depths = shoal__get(&server, "/v1/depths", MAX_DEPTHS_BYTES, ASK_MS, why, sizeof why);

    file_latency_print(stderr, &b->latency, depths);
    free(depths);
}

int file_jobs_run(const file_options *o, out_run *run, file_signals *signals)
{
    batch b = { .o = o,
                .run = run,
                .signals = signals,
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .news = PTHREAD_COND_INITIALIZER };
    int code = EXIT_FAILED;

    if (list_jobs(&b) == 0)
        code = o->jobs > 1 && b.count > 1 ? run_at_once(&b) : run_in_turn(&b);
    if (o->latency && b.done)
        print_latency(&b);
    file_latency_free(&b.latency);
    free(b.jobs);
    return code;
}

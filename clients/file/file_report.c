/* file_report.c - what a person sees of a session: lines on stderr, progress: see file_session.h */
#include <stdarg.h>
#include <time.h>

#include "file/file_session.h"

enum { PROGRESS_MS = 200 };

int64_t file_session_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void file_session_hide_progress(file_session *s)
{
    if (s->progress_shown)
        fputs("\r\033[K", stderr);
    s->progress_shown = 0;
}

void file_session_say(file_session *s, const char *fmt, ...)
{
    va_list args;

    flockfile(stderr); /* one line, whatever other sessions say */
    file_session_hide_progress(s);
    if (s->o->batch_progress)
        fputs("\r\033[K", stderr);
    fprintf(stderr, "shoal-file: %s", s->job->name);
    if (s->job->part)
        fprintf(stderr, ", channel %d", s->job->part);
    fputs(": ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void file_session_fail(file_session *s, const char *why)
{
    file_session_say(s, "%s", why);
    s->failed = 1;
}

int64_t file_session_frames_sent(const file_session *s)
{
    return (int64_t)(shoal_client_get_stats(s->client).audio_taken / s->info.frame_bytes);
}

double file_session_seconds_sent(const file_session *s)
{
    if (s->at_end)
        return (double)file_source_get_state(s->source).frames_read / s->info.file_rate;
    return (double)file_session_frames_sent(s) / s->info.rate;
}

void file_session_show_progress(file_session *s)
{
    int64_t now = file_session_now_ms();
    double sent = (double)file_session_frames_sent(s) / s->info.rate;
    double heard = (double)shoal_client_get_stats(s->client).processed / s->info.rate;
    double elapsed = (double)(now - s->started_ms) / 1000;

    if (!s->show_progress || !s->started_ms || now < s->next_progress_ms)
        return;
    s->next_progress_ms = now + PROGRESS_MS;
    fprintf(stderr, "\r%s  %.1f / %.1f s  %.1f x real time  lag %.2f s\033[K", s->job->name, heard,
            s->info.duration, elapsed > 0 ? heard / elapsed : 0, sent - heard);
    fflush(stderr);
    s->progress_shown = 1;
}

/* file_report.c - what a person sees of a session: lines on stderr, progress: see file_session.h */
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "file/file_session.h"
#include "out/out_screen.h"

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
        out_screen_progress(NULL);
    s->progress_shown = 0;
}

void file_session_say(file_session *s, const char *fmt, ...)
{
    char text[2048], line[sizeof text + 512];
    va_list args;
    int n =
        snprintf(text, sizeof text,
                 s->job->part ? "%.1000s, channel %d: " : "%.1000s: ", s->job->name, s->job->part);

    va_start(args, fmt);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, args);
    va_end(args);
    out_screen_plain(line, sizeof line, text);
    flockfile(stderr); /* one line, whatever other sessions say */
    file_session_hide_progress(s);
    if (s->o->batch_progress)
        out_screen_progress(NULL);
    fprintf(stderr, "shoal-file: %s\n", line);
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
    const char *slash = strrchr(s->job->name, '/');
    char text[256], line[4 * sizeof text];
    int n;

    if (s->info.duration > 0)
        s->job->share = heard / s->info.duration;
    if (!s->show_progress || !s->started_ms || now < s->next_progress_ms)
        return;
    s->next_progress_ms = now + PROGRESS_MS;
    n = snprintf(text, sizeof text, "%.1f", heard);
    if (s->info.duration > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, " / %.1f", s->info.duration);
    snprintf(text + n, sizeof text - (size_t)n, " s  %.1f x real time  lag %.2f s  %.100s",
             elapsed > 0 ? heard / elapsed : 0, sent - heard, slash ? slash + 1 : s->job->name);
    out_screen_plain(line, sizeof line, text);
    out_screen_progress(line);
    s->progress_shown = 1;
}

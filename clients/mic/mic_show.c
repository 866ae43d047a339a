/* mic_show.c - results of shoal-mic -> lines for people, or JSON lines: see mic.h
 *
 * Times are seconds of the sound that was heard since the start, whatever sessions it took; wall is
 * the clock's time at which that sound was spoken, in seconds since 1970.
 */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "mic/mic.h"

static double offset(const mic_app *a)
{
    return (double)a->base / a->news.rate;
}

/* Of a moment of the sound: what is heard now was spoken now. */
static double wall_of(const mic_app *a, double seconds)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (double)now.tv_sec + (double)now.tv_usec / 1e6 - (double)a->samples / a->news.rate +
           seconds;
}

/* Labels and our own words need no escapes but these. */
static void put_string(FILE *f, const char *text)
{
    putc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', f);
        putc((unsigned char)*text < ' ' ? ' ' : *text, f);
    }
    putc('"', f);
}

static void json_phone(mic_app *a, const shoal_phones *m, const shoal_wire_phone *p)
{
    FILE *f = out_print_file(a->printer);

    fputs("{\"event\":\"phone\",\"phone\":", f);
    put_string(f, p->phone);
    fprintf(f, ",\"start\":%.3f,\"end\":%.3f,\"confidence\":%.4f,\"depth\":%d,\"wall\":%.3f}\n",
            offset(a) + p->start, offset(a) + p->end, p->confidence, m->depth,
            wall_of(a, offset(a) + p->start));
}

static void json_activity(mic_app *a, const shoal_wire_activity *m)
{
    fprintf(out_print_file(a->printer),
            "{\"event\":\"activity\",\"activity\":\"%s\",\"time\":%.3f,\"wall\":%.3f}\n",
            m->speech ? "speech" : "silence", offset(a) + m->time, wall_of(a, offset(a) + m->time));
}

void mic_show_note(mic_app *a, const char *kind, double seconds, const char *text)
{
    FILE *f = out_print_file(a->printer);

    if (!a->o->jsonl) {
        if (!strcmp(kind, "away") || !strcmp(kind, "hole"))
            mic_line_finish(&a->line); /* what comes now was spoken later */
        mic_line_note(&a->line, "# %s", text);
        mic_app_draw(a);
        return;
    }
    fprintf(f, "{\"event\":\"%s\",", kind);
    if (seconds >= 0)
        fprintf(f, "\"seconds\":%.3f,", seconds);
    fputs("\"message\":", f);
    put_string(f, text);
    fprintf(f, ",\"time\":%.3f,\"wall\":%.3f}\n", (double)a->samples / a->news.rate,
            wall_of(a, (double)a->samples / a->news.rate));
    fflush(f);
}

/* The end of the best path as it is now: it replaces what was shown of it before. */
static void show_tentative(mic_app *a, const shoal_phones *m)
{
    mic_line_clear_tentative(&a->line);
    for (int i = 0; i < m->tentative_count; i++)
        mic_line_add_tentative(&a->line, m->tentative[i].phone.phone,
                               offset(a) + m->tentative[i].phone.start);
}

static void on_phones(mic_app *a, const shoal_phones *m)
{
    a->lag_ms = m->lag_ms;
    for (int i = 0; i < m->count; i++) {
        const shoal_wire_phone *p = &m->phones[i];
        double processed = (double)m->processed / a->news.rate;

        mic_waits_add(&a->waits, (int)((processed - p->end) * 1000));
        mic_save_add_phone(&a->save, p->phone, offset(a) + p->start, offset(a) + p->end,
                           (float)p->confidence);
        if (a->speech_end >= 0 && offset(a) + p->start >= a->speech_end) {
            a->speech_end = -1;
            mic_line_finish(&a->line);
        }
        if (a->o->jsonl)
            json_phone(a, m, p);
        else
            mic_line_phone(&a->line, p->phone, offset(a) + p->start, offset(a) + p->end);
    }
    show_tentative(a, m);
}

static void on_activity(mic_app *a, const shoal_wire_activity *m)
{
    if (a->o->jsonl)
        json_activity(a, m);
    a->speech_end = m->speech ? a->speech_end : offset(a) + m->time;
}

/* The last phones settle after the silence has been told. */
void mic_show_silence(mic_app *a)
{
    static const double settled_s = 1.5;

    if (a->speech_end < 0 || (double)a->samples / a->news.rate < a->speech_end + settled_s)
        return;
    a->speech_end = -1;
    mic_line_finish(&a->line);
}

void mic_show_event(mic_app *a, const shoal_client_event *e)
{
    if (e->type == SHOAL_CLIENT_PHONES)
        on_phones(a, e->phones);
    else if (e->type == SHOAL_CLIENT_ACTIVITY)
        on_activity(a, e->activity);
    else
        return;
    if (a->o->jsonl)
        fflush(out_print_file(a->printer));
    else if (a->terminal)
        mic_app_draw(a);
}

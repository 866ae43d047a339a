/* mic_line.c - see mic_line.h
 *
 * No line reaches the last column, so that no terminal wraps it and a row stays a row.
 */
#include "mic/mic_line.h"
#include "out/out_screen.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double new_line_s = 1.0; /* of nothing settled: the next phone begins a line */
static const double pause_s = 0.15;   /* a gap that is shown */

void mic_line_init(mic_line *l, int terminal, int colour, int width)
{
    memset(l, 0, sizeof *l);
    l->terminal = terminal;
    l->colour = colour;
    mic_line_resize(l, width);
}

void mic_line_resize(mic_line *l, int width)
{
    l->width = width < 20 ? 20 : width > MIC_LINE_WIDEST ? MIC_LINE_WIDEST : width;
}

/* ---- lines that are finished ---- */

static void print_line(mic_line *l, const char *text)
{
    size_t n = strlen(text), room = sizeof l->out - l->out_size;

    if (n + 2 > room) /* whoever takes lines takes them each 20 ms: this is a flood */
        return;
    memcpy(l->out + l->out_size, text, n);
    l->out[l->out_size + n] = '\n';
    l->out_size += n + 1;
}

static void finish_settled(mic_line *l)
{
    if (*l->settled)
        print_line(l, l->settled);
    *l->settled = 0;
}

void mic_line_finish(mic_line *l)
{
    finish_settled(l);
    mic_line_clear_tentative(l);
    l->phones = 0;
}

void mic_line_note(mic_line *l, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print_line(l, text);
}

/* ---- the current line ---- */

static void begin_line(mic_line *l, double start)
{
    if (l->phones)
        snprintf(l->settled, sizeof l->settled, "%9s", "");
    else
        snprintf(l->settled, sizeof l->settled, "%7.1f  ", start);
}

void mic_line_phone(mic_line *l, const char *label, double start, double end)
{
    size_t at, n = strlen(label);
    int gap;

    if (l->phones && start - l->last_end > new_line_s)
        mic_line_finish(l);
    gap = l->phones && start - l->last_end > pause_s;
    at = strlen(l->settled);
    if (at && at + n + 2 >= (l->terminal ? (size_t)l->width : sizeof l->settled))
        finish_settled(l);
    if (!*l->settled)
        begin_line(l, start);
    else
        strcat(l->settled, gap ? "  " : l->phones ? " " : "");
    at = strlen(l->settled);
    snprintf(l->settled + at, sizeof l->settled - at, "%s", label);
    l->phones++;
    l->last_end = end;
}

void mic_line_clear_tentative(mic_line *l)
{
    *l->tentative = 0;
}

void mic_line_add_tentative(mic_line *l, const char *label, double start)
{
    size_t at = strlen(l->tentative);
    char *p = l->tentative + at;

    if (!at && !*l->settled)
        snprintf(p, sizeof l->tentative - at, "%7.1f  %s", start, label);
    else
        snprintf(p, sizeof l->tentative - at, " %s", label);
    for (; !l->colour && *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

void mic_line_status(mic_line *l, const char *text)
{
    snprintf(l->status, sizeof l->status, "%s", text);
}

/* ---- to the screen ---- */

typedef struct writer {
    char *bytes;
    size_t size, used;
} writer;

static void put(writer *w, const char *text, size_t n)
{
    n = n < w->size - w->used ? n : w->size - w->used;
    memcpy(w->bytes + w->used, text, n);
    w->used += n;
}

static void put_text(writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_current(writer *w, const mic_line *l)
{
    size_t columns = (size_t)l->width - 1, settled = strlen(l->settled), n;

    n = out_screen_fitting(l->settled, columns);
    put(w, l->settled, n);
    if (settled >= columns || !*l->tentative)
        return;
    if (l->colour)
        put_text(w, "\033[2m");
    put(w, l->tentative, out_screen_fitting(l->tentative, columns - settled));
    if (l->colour)
        put_text(w, "\033[0m");
}

static void erase(writer *w, mic_line *l)
{
    if (!l->terminal)
        return;
    put_text(w, l->rows > 1 ? "\r\033[1A\033[J" : "\r\033[J");
    l->rows = 0;
}

static void put_finished(writer *w, mic_line *l)
{
    put(w, l->out, l->out_size);
    l->out_size = 0;
}

static void put_live(writer *w, mic_line *l)
{
    put_current(w, l);
    l->rows = 1;
    if (!*l->status)
        return;
    put_text(w, "\n");
    if (l->colour)
        put_text(w, "\033[2m");
    put(w, l->status, out_screen_fitting(l->status, (size_t)l->width - 1));
    if (l->colour)
        put_text(w, "\033[0m");
    l->rows = 2;
}

size_t mic_line_take(mic_line *l, char *bytes, size_t size)
{
    writer w = { bytes, size - 1, 0 };

    /* the most that one picture takes, beside finished lines */
    if (size < l->out_size + 2 * MIC_LINE_WIDEST + sizeof l->settled)
        return 0;
    erase(&w, l);
    put_finished(&w, l);
    if (l->terminal)
        put_live(&w, l);
    bytes[w.used] = 0;
    return w.used;
}

size_t mic_line_leave(mic_line *l, char *bytes, size_t size)
{
    writer w = { bytes, size - 1, 0 };

    mic_line_finish(l);
    erase(&w, l);
    put_finished(&w, l);
    bytes[w.used] = 0;
    return w.used;
}

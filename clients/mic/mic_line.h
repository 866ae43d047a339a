/* mic_line.h - what stands on the screen: a line for each utterance, and a status; pure
 *
 *     finished lines   printed once, never touched again
 *     the current line "  12.3  HH AH L OW (w er)": settled phones, then what may still change
 *     the status line  level, lag, depth; on a terminal only
 *
 * The last two are redrawn in place. mic_line_take gives the bytes that bring the screen from what
 * it was to what it shall be. Where the output is no terminal only finished lines are printed.
 */
#ifndef MIC_LINE_H
#define MIC_LINE_H

#include <stddef.h>

enum { MIC_LINE_WIDEST = 512, MIC_LINE_ROOM = 16 << 10 };

typedef struct mic_line {
    int width;    /* columns */
    int terminal; /* else: plain finished lines */
    int colour;   /* what may change is dim; else in small letters */
    int rows;     /* of ours on the screen that are redrawn: 0, 1, 2; the cursor is in the last */
    double last_end;         /* of the utterance's last phone, seconds */
    int phones;              /* of the utterance */
    char settled[4096];      /* the current line */
    char tentative[256];     /* behind it */
    char status[256];        /* "": none */
    char out[MIC_LINE_ROOM]; /* finished lines that nobody has taken yet */
    size_t out_size;
} mic_line;

void mic_line_init(mic_line *l, int terminal, int colour, int width);
void mic_line_resize(mic_line *l, int width);
/* A settled phone, seconds. One that begins long after the last begins a line. */
void mic_line_phone(mic_line *l, const char *label, double start, double end);
void mic_line_clear_tentative(mic_line *l);
/* Behind the current line, or, where nothing of an utterance has settled, as the beginning of one.
 * start: seconds. */
void mic_line_add_tentative(mic_line *l, const char *label, double start);
void mic_line_finish(mic_line *l); /* the utterance is over */
/* A line of its own, at once: something has happened. */
void mic_line_note(mic_line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mic_line_status(mic_line *l, const char *text);
/* Bytes to write now, NUL-terminated; 0: none fit into size and nothing was given. */
size_t mic_line_take(mic_line *l, char *bytes, size_t size);
/* The same, and nothing of ours is redrawn any more: at the end, before a stop. */
size_t mic_line_leave(mic_line *l, char *bytes, size_t size);

#endif

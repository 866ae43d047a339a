/* out_cut.h - utterances as WAV files: sound goes in as it is sent, turns of speech as told
 *
 *     sound:  ......|<- pad ->|speech ........................|silence <- pad ->|......
 *                   `--------------- STEM.0001.wav ----------------------------'
 *
 * What neither belongs to an utterance nor may yet is forgotten, so memory is that of one
 * utterance. One that is longer than OUT_CUT_MOST_S is cut there. Positions are samples of a
 * channel since the first that was added. One thread.
 */
#ifndef OUT_CUT_H
#define OUT_CUT_H

#include <stddef.h>
#include <stdint.h>

enum { OUT_CUT_PAD_MS = 200, OUT_CUT_MOST_S = 60 };

typedef struct out_cut out_cut;

typedef struct out_cut_params {
    const char *dir, *stem; /* copied */
    int rate, channels;
    int f32; /* samples are f32; else s16 */
    /* A file is whole. NULL: nobody wants to know. */
    void (*on_file)(void *user, const char *path, double start, double end);
    void *user;
} out_cut_params;

out_cut *out_cut_open(const out_cut_params *p); /* NULL: no memory */
void out_cut_free(out_cut *c);                  /* NULL is fine */
/* Each returns 0, or -1 with the cause in why. */
int out_cut_add(out_cut *c, const void *samples, size_t frames, char *why, size_t why_size);
/* Speech begins at that sample, or has ended there. */
int out_cut_turn(out_cut *c, int speech, uint64_t sample, char *why, size_t why_size);
/* No more sound; what is still speech ends. */
int out_cut_finish(out_cut *c, char *why, size_t why_size);
/* The server has come so far: turns are told within a second after they were heard, and sound that
 * none can need is let go of. NULL is fine. */
void out_cut_processed(out_cut *c, uint64_t sample);

#endif

/* card.h - what the model card says: of each depth its phone error rate and when phones are
 * settled; how frequent each class is
 *
 * The card is the JSON file that training/evaluate.py writes beside the model (MODEL.json beside
 * MODEL.safetensors), and training/settle.py adds to; that of the built-in model is built in too.
 * It counts only if it names the SHA-256 of the very model that is loaded; otherwise nothing is
 * known.
 */
#ifndef SHOALD_CARD_H
#define SHOALD_CARD_H

#include "shoal.h"

/* Chunk lengths that are priced and measured, ms. */
enum { SHOALD_CARD_CHUNKS = 4 };
extern const int shoald_card_chunk_ms[SHOALD_CARD_CHUNKS];

/* NAN: not known */
typedef struct shoald_card_cell {
    double per;                            /* of phones, decoded */
    double settled_p50_ms, settled_p90_ms; /* from a phone's end to its message, in audio */
} shoald_card_cell;

typedef struct shoald_card {
    shoald_card_cell *cells; /* [SHOALD_CARD_CHUNKS][depth] of the first program */
    float *priors;           /* [classes] shares of the training's frames; NULL: not known */
} shoald_card;

/* path: of the model, "" is the built-in one. What the model file says itself goes before. 0 or -1
 * (no memory, nothing to free). */
int shoald_card_read(shoald_card *c, const shoal_model_info *m, const char *path);
void shoald_card_free(shoald_card *c); /* a zeroed one is fine */

#endif

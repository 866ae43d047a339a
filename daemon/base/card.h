/* card.h - what the model card says of each depth: the phone error rate
 *
 * The card is the JSON file that training/evaluate.py writes beside the model (MODEL.json beside
 * MODEL.safetensors); that of the built-in model is built in too. It counts only if it names the
 * SHA-256 of the very model that is loaded; otherwise nothing is known.
 */
#ifndef SHOALD_CARD_H
#define SHOALD_CARD_H

#include "shoal.h"

/* per[depths]: phone error rate at depth i + 1, decoded, at chunk_ms; NAN where it is not known.
 * path: of the model, "" is the built-in one. */
void shoald_card_read(double *per, const shoal_model_info *m, const char *path, int chunk_ms);

#endif

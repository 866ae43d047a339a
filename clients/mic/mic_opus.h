/* mic_opus.h - samples as Opus packets of 20 ms, for a server that is far away
 *
 * A tenth of the bytes: 24 kbit/s for speech at 16 kHz, where 16 bits take 256. One thread.
 */
#ifndef MIC_OPUS_H
#define MIC_OPUS_H

#include <stddef.h>
#include <stdint.h>

typedef struct mic_opus mic_opus;

/* Takes one packet, which is its own for the call. 0, or -1: no more are given of this call. */
typedef int mic_opus_packet(void *user, const uint8_t *packet, size_t n);

/* rate: 8000, 12000, 16000, 24000 or 48000. NULL with cause in why: another rate, a build without
 * Opus, no memory. */
mic_opus *mic_opus_open(int rate, char *why, size_t why_size);
void mic_opus_free(mic_opus *o); /* NULL is fine */
/* Mono. What does not fill a packet waits for more. 0, or what take said. */
int mic_opus_add(mic_opus *o, const int16_t *samples, size_t n, mic_opus_packet *take, void *user);
/* What waits, filled up with silence. */
int mic_opus_flush(mic_opus *o, mic_opus_packet *take, void *user);
/* For another session, which knows nothing of this one. */
void mic_opus_reset(mic_opus *o);

#endif

/* mic_save.h - the last half minute: its sound and what was heard in it, for a WAV and a TextGrid
 *
 * Memory is taken once. Times are seconds since the first sample that was added.
 */
#ifndef MIC_SAVE_H
#define MIC_SAVE_H

#include <stddef.h>
#include <stdint.h>

enum { MIC_SAVE_SECONDS = 30, MIC_SAVE_PHONES = 1024 };

typedef struct mic_saved_phone {
    char label[16];
    double start, end;
    float confidence;
} mic_saved_phone;

typedef struct mic_save {
    int rate;
    int16_t *samples; /* [rate * MIC_SAVE_SECONDS], the sample n at n modulo that */
    uint64_t n;       /* samples added */
    mic_saved_phone phones[MIC_SAVE_PHONES];
    unsigned phone_count; /* added; the last MIC_SAVE_PHONES are there */
} mic_save;

/* 0, or -1: no memory. */
int mic_save_init(mic_save *s, int rate) __attribute__((warn_unused_result));
void mic_save_free(mic_save *s);
void mic_save_add(mic_save *s, const int16_t *samples, size_t n);
void mic_save_add_phone(mic_save *s, const char *label, double start, double end, float confidence);
/* STEM.wav and STEM.TextGrid in dir. Returns seconds written, or -1 with the cause in why. */
double mic_save_write(const mic_save *s, const char *dir, const char *stem, char *why,
                      size_t why_size);

#endif

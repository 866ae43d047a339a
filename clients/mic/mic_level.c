/* mic_level.c - see mic_level.h */
#include "mic/mic_level.h"

#include <math.h>
#include <stdio.h>

enum { HOLD_S = 1, CLIP_S = 2, MUTED_S = 2 };

static const double fall_db_s = 40; /* as fast as a needle that can be read */

void mic_level_init(mic_level *l, int rate)
{
    *l = (mic_level){ .rate = rate };
}

static uint64_t minus(uint64_t left, size_t n)
{
    return left > n ? left - n : 0;
}

static double loudest(mic_level *l, const int16_t *samples, size_t n)
{
    int most = 0;

    for (size_t i = 0; i < n; i++) {
        int v = samples[i] < 0 ? -samples[i] : samples[i];

        l->zeros = v ? 0 : l->zeros + 1;
        most = v > most ? v : most;
        if (v >= 32767) {
            l->clipped++;
            l->clip_left = (uint64_t)l->rate * CLIP_S;
        }
    }
    return most / 32768.0;
}

void mic_level_add(mic_level *l, const int16_t *samples, size_t n)
{
    double now;

    l->clip_left = minus(l->clip_left, n);
    now = loudest(l, samples, n);
    l->n += n;
    l->peak *= pow(10, -fall_db_s / 20 * (double)n / l->rate);
    l->peak = now > l->peak ? now : l->peak;
    l->hold_left = minus(l->hold_left, n);
    if (l->peak < l->hold && l->hold_left)
        return;
    l->hold = l->peak;
    l->hold_left = (uint64_t)l->rate * HOLD_S;
}

double mic_level_db(double peak)
{
    double db = peak > 0 ? 20 * log10(peak) : MIC_LEVEL_FLOOR_DB;

    return db < MIC_LEVEL_FLOOR_DB ? MIC_LEVEL_FLOOR_DB : db;
}

int mic_level_is_muted(const mic_level *l)
{
    return l->zeros >= (uint64_t)l->rate * MUTED_S;
}

void mic_level_print(const mic_level *l, int width, char *text, size_t size)
{
    double db = mic_level_db(l->peak), per = width / (double)-MIC_LEVEL_FLOOR_DB;
    int full = (int)lround((db - MIC_LEVEL_FLOOR_DB) * per);
    int hold = (int)lround((mic_level_db(l->hold) - MIC_LEVEL_FLOOR_DB) * per) - 1;
    int at = snprintf(text, size, "%3.0f dB [", db);

    for (int i = 0; i < width && at + 2 < (int)size; i++)
        text[at++] = i < full ? '#' : i == hold ? '|' : '-';
    snprintf(text + at, size - (size_t)at, "]");
}

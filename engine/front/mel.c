/* mel.c - what the log-mel kernel reads: tables and filters in its order
 *
 *   400 samples * window -> 512-point real FFT -> power [257]
 *     -> triangular filters [80] -> log(. + floor) -> (. - mean) / std
 *
 * Window, filters and statistics come from the model file, so the training front-end
 * (training/frontend.py) is reproduced by construction.
 */
#include <math.h>
#include <stdlib.h>

#include "model/model.h"

static void make_turns(shoal__mel *mel)
{
    for (int k = 0; k < 256; k++) {
        double square = 2.0 * M_PI * (k / 16) * (k % 16) / 256.0, half = 2.0 * M_PI * k / 512.0;
        mel->turn_cos[k] = (float)cos(square);
        mel->turn_sin[k] = (float)sin(square);
        mel->half_cos[k] = (float)cos(half);
        mel->half_sin[k] = (float)sin(half);
    }
}

/* Bins that any of a group's sixteen filters reads at most. */
static int group_steps(const shoal_model *m, int group)
{
    int most = 0;
    for (int i = 16 * group; i < 16 * group + 16 && i < m->config.mels; i++)
        most = m->mel_count[i] > most ? m->mel_count[i] : most;
    return most;
}

/* A filter's weights to its lane, from a first bin from which all of the group's steps are bins. */
static void place_filter(shoal_model *m, int i, float *weights)
{
    shoal__mel *mel = &m->mel;
    int steps = mel->steps[i / 16], first = m->mel_first[i];
    first = first + steps > SHOAL__BINS ? SHOAL__BINS - steps : first;
    mel->first[i] = first;
    for (int s = 0; s < steps; s++)
        weights[16 * s + i % 16] = m->mel_filters[i * SHOAL__BINS + first + s];
}

int shoal__mel_make(shoal_model *m)
{
    shoal__mel *mel = &m->mel;
    size_t steps = 0;
    int groups = (m->config.mels + 15) / 16;
    mel->mels = m->config.mels;
    mel->floor = m->config.mel_floor;
    make_turns(mel);
    for (int g = 0; g < groups; g++)
        steps += (size_t)(mel->steps[g] = group_steps(m, g));
    float *weights = mel->weights = calloc(16 * steps + 1, sizeof *weights);
    if (!weights)
        return SHOAL_ENOMEM;
    for (int g = 0; g < groups; weights += 16 * mel->steps[g++])
        for (int i = 16 * g; i < 16 * g + 16 && i < mel->mels; i++)
            place_filter(m, i, weights);
    return 0;
}

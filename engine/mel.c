/* mel.c - one log-mel row
 *
 *   400 samples * window -> 512-point real FFT -> power [257]
 *     -> triangular filters [80] -> log(. + floor) -> (. - mean) / std
 *
 * Window, filters and statistics come from the model file, so the training front-end
 * (training/frontend.py) is reproduced by construction. FFT by kissfft.
 */
#include <math.h>
#include <string.h>

#include "stream.h"

void shoal__mel_row(const shoal_model *m, kiss_fftr_cfg fft, const float *pcm, float *row)
{
    float frame[SHOAL__FFT];
    kiss_fft_cpx spectrum[SHOAL__BINS];
    float power[SHOAL__BINS];
    for (int i = 0; i < SHOAL__WINDOW; i++)
        frame[i] = pcm[i] * m->window[i];
    memset(frame + SHOAL__WINDOW, 0, sizeof frame - SHOAL__WINDOW * sizeof *frame);
    kiss_fftr(fft, frame, spectrum);
    m->kern->power(power, &spectrum[0].r, SHOAL__BINS);
    for (int i = 0; i < m->config.mels; i++) {
        const float *filter = m->mel_filters + i * SHOAL__BINS + m->mel_first[i];
        float e = m->kern->dot(power + m->mel_first[i], filter, m->mel_count[i]);
        row[i] = (logf(e + m->config.mel_floor) - m->mel_mean[i]) * m->mel_istd[i];
    }
}

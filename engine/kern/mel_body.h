/* mel_body.h - body of the log-mel kernel; see kern.h
 *
 * A part of kern_body.h, behind attend_body.h, whose vectors it uses. The 512-point transform of
 * a real row is one of 256 complex points z = x[2n] + i x[2n + 1], and that is a square of 16 x 16
 * (n = 16 a + b, k = c + 16 d): transforms down the columns, a turn of each point by b c/256 of a
 * circle, the square turned over, transforms down the columns again. Sixteen columns are a vector.
 */

/* Points 0, s, 2s, 3s: a transform of 4, forward. */
static inline __attribute__((always_inline)) void KERN(dft4)(KERN(v16) * re, KERN(v16) * im, int s)
{
    KERN(v16) ar = re[0] + re[2 * s], ai = im[0] + im[2 * s];
    KERN(v16) br = re[0] - re[2 * s], bi = im[0] - im[2 * s];
    KERN(v16) cr = re[s] + re[3 * s], ci = im[s] + im[3 * s];
    KERN(v16) dr = re[s] - re[3 * s], di = im[s] - im[3 * s];
    re[0] = ar + cr, im[0] = ai + ci;
    re[s] = br + di, im[s] = bi - dr;
    re[2 * s] = ar - cr, im[2 * s] = ai - ci;
    re[3 * s] = br - di, im[3 * s] = bi + dr;
}

/* Sixteen transforms of 16 points, one in each lane; in place. */
static inline __attribute__((always_inline)) void KERN(dft16)(KERN(v16) * re, KERN(v16) * im)
{
    enum { A = 0, B = 1 };
    static const float turn[10][2] = {
        /* cos, sin of 2 pi i/16 */
        { 1.0f, 0.0f },
        { 0.923879533f, 0.382683432f },
        { 0.707106781f, 0.707106781f },
        { 0.382683432f, 0.923879533f },
        { 0.0f, 1.0f },
        { -0.382683432f, 0.923879533f },
        { -0.707106781f, 0.707106781f },
        { -0.923879533f, 0.382683432f },
        { -1.0f, 0.0f },
        { -0.923879533f, -0.382683432f },
    };
    for (int b = 0; b < 4; b++)
        KERN(dft4)(re + b, im + b, 4);
    for (int c = 1; c < 4; c++)
        for (int b = 1; b < 4; b++) {
            float cs = turn[b * c][A], sn = turn[b * c][B];
            KERN(v16) r = re[4 * c + b], i = im[4 * c + b];
            re[4 * c + b] = r * cs + i * sn;
            im[4 * c + b] = i * cs - r * sn;
        }
    for (int c = 0; c < 4; c++)
        KERN(dft4)(re + 4 * c, im + 4 * c, 1);
    for (int c = 0; c < 4; c++) /* point 4c + d is X[c + 4d] */
        for (int d = c + 1; d < 4; d++) {
            KERN(v16) r = re[4 * c + d], i = im[4 * c + d];
            re[4 * c + d] = re[4 * d + c], im[4 * c + d] = im[4 * d + c];
            re[4 * d + c] = r, im[4 * d + c] = i;
        }
}

/* z[256] in place. */
static void KERN(dft256)(float *z_re, float *z_im, const shoal__mel *m)
{
    KERN(v16) re[16], im[16];
    for (int i = 0; i < 16; i++)
        re[i] = LOAD16(z_re + 16 * i), im[i] = LOAD16(z_im + 16 * i);
    KERN(dft16)(re, im);
    for (int i = 1; i < 16; i++) {
        KERN(v16) cs = LOAD16(m->turn_cos + 16 * i), sn = LOAD16(m->turn_sin + 16 * i), r = re[i];
        re[i] = r * cs + im[i] * sn;
        im[i] = im[i] * cs - r * sn;
    }
    KERN(transpose16)(re);
    KERN(transpose16)(im);
    KERN(dft16)(re, im);
    for (int i = 0; i < 16; i++) {
        STORE16(z_re + 16 * i, re[i]);
        STORE16(z_im + 16 * i, im[i]);
    }
}

/* Power of the real row whose halves z are the transform of: |E + W^k O|^2, E and O those of the
 * even and the odd samples. z has room for z[256] = z[0]. */
static void KERN(untangle)(float *restrict power, float *restrict re, float *restrict im,
                           const shoal__mel *m)
{
    re[256] = re[0], im[256] = im[0];
    for (int k = 0; k < 256; k++) {
        float er = re[k] + re[256 - k], ei = im[k] - im[256 - k];
        float or = im[k] + im[256 - k], oi = re[256 - k] - re[k];
        float xr = er + or *m->half_cos[k] + oi * m->half_sin[k];
        float xi = ei + oi * m->half_cos[k] - or *m->half_sin[k];
        power[k] = 0.25f * (xr * xr + xi * xi);
    }
    power[256] = (re[0] - im[0]) * (re[0] - im[0]);
}

/* ln x of a positive normal number: x = 2^e m, m in [sqrt 1/2, sqrt 2), and ln m = 2 artanh s with
 * s = (m - 1)/(m + 1), |s| < 0.172. Any other x (a filter bank of a foreign model may have negative
 * weights) gets some number or other, the same at every level: the bits wrap around. */
static inline float KERN(log)(float x)
{
    uint32_t u;
    float m;
    memcpy(&u, &x, sizeof u);
    int32_t e = (int32_t)(u - 0x3f3504f3) >> 23;
    u -= (uint32_t)e << 23;
    memcpy(&m, &u, sizeof m);
    float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    float p = ((q * (1.0f / 9) + 1.0f / 7) * q + 1.0f / 5) * q + 1.0f / 3;
    return (float)e * 0.693147181f + 2.0f * s * (1.0f + q * p);
}

static void KERN(log_mel)(float *restrict row, const float *restrict pcm,
                          const shoal__mel *restrict m)
{
    float re[272] = { 0 }, im[272] = { 0 }, power[SHOAL__BINS], energy[SHOAL__MAX_MELS];
    const float *w = m->weights;
    for (int n = 0; n < SHOAL__WINDOW / 2; n++) {
        re[n] = pcm[2 * n] * m->window[2 * n];
        im[n] = pcm[2 * n + 1] * m->window[2 * n + 1];
    }
    KERN(dft256)(re, im, m);
    KERN(untangle)(power, re, im, m);
    for (int g = 0; 16 * g < m->mels; g++) {
        float sum[16] = { 0 };
        const int *first = m->first + 16 * g;
        for (int s = 0; s < m->steps[g]; s++, w += 16)
            for (int k = 0; k < 16; k++)
                sum[k] += w[k] * power[first[k] + s];
        memcpy(energy + 16 * g, sum, sizeof sum);
    }
    for (int i = 0; i < m->mels; i++)
        row[i] = (KERN(log)(energy[i] + m->floor) - m->mean[i]) * m->istd[i];
}

/* fuzz_pcm.c - any bytes as audio of any format, cut anywhere
 *
 * The first four bytes choose format, rate, channels and the room for output; the rest is the
 * audio. It is converted at once and again in slices whose sizes come from the audio itself;
 * both must give the same floats, all of them finite. (A NaN in the input ends the first way
 * and the second alike, though not after the same number of samples; Opus packets are whole.)
 * Without libFuzzer (-DSHOAL_FUZZ_REPLAY) main replays the files it is given (replay.c).
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shoal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16, LONGEST = 1 << 14 };

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_pcm: %s\n", what);
    abort();
}

static shoal_pcm *open_pcm(const uint8_t *choice)
{
    static const int rates[] = { 16000, 8000, 44100, 48000, 11025, 32000, 15999, 22050 };
    shoal_pcm *c = NULL;
    int rc = shoal_pcm_new(&c, (shoal_pcm_format)(choice[0] % 5), rates[choice[1] % 8],
                           1 + choice[2] % 8);
    require(rc == 0 || rc == SHOAL_EUNSUPPORTED, "a good choice is refused");
    return c;
}

/* Convert; sliced: pieces of 1 + (next byte) bytes. Returns floats, or -1 on bad audio. */
static ptrdiff_t convert(const uint8_t *choice, const uint8_t *audio, size_t size, int sliced,
                         float *out)
{
    shoal_pcm *c = open_pcm(choice);
    size_t n = 0, room = sliced ? 1 + (size_t)choice[3] : MOST;
    ptrdiff_t got = 0;
    for (size_t at = 0, part; c && at < size && got >= 0; at += part) {
        size_t done = 0;
        part = sliced ? 1 + (size_t)audio[at] : size;
        part = part < size - at ? part : size - at;
        do {
            size_t used = 0, fits = room < MOST - n ? room : MOST - n;
            got = shoal_pcm_convert(c, audio + at + done, part - done, &used, out + n, fits);
            require(got <= (ptrdiff_t)fits && used <= part - done, "more than there was room for");
            done += used;
            n += got > 0 ? (size_t)got : 0;
        } while (got >= 0 && n < MOST && (done < part || (size_t)got == room));
    }
    while (c && got >= 0 &&
           (got = shoal_pcm_drain(c, out + n, room < MOST - n ? room : MOST - n)) > 0)
        n += (size_t)got;
    shoal_pcm_free(c);
    return got < 0 ? -1 : (ptrdiff_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float whole[MOST], cut[MOST];
    if (size < 4 || size > LONGEST)
        return 0;
    ptrdiff_t n = convert(data, data + 4, size - 4, 0, whole);
    for (ptrdiff_t i = 0; i < n; i++)
        require(isfinite(whole[i]) || data[0] % 5 == SHOAL_PCM_F32LE, "a value is not finite");
    ptrdiff_t m = convert(data, data + 4, size - 4, 1, cut);
    if (data[0] % 5 == SHOAL_PCM_OPUS)
        return 0;
    require(n == m, "slicing changes the number of samples");
    require(n < 0 || !memcmp(whole, cut, (size_t)n * sizeof *whole), "slicing changes samples");
    return 0;
}

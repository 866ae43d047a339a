/* tentative.c - the end of the best path that is not settled yet, as phones
 *
 * A phone has been shown since the first call that had one of its label with nearly its begin in
 * every call up to now. So how long it has stood depends on when the caller looks, which is once a
 * chunk.
 */
#include <math.h>
#include <stdlib.h>

#include "phones/decoder.h"

enum { NEARLY = 2 }; /* frames: what a begin may move by and still be the same phone's */

/* Frames heard when the phone was shown first. */
static int64_t shown_since(const shoal_decoder *d, const shoal_phone *p)
{
    for (int i = 0; i < d->shown_count; i++)
        if (d->shown[i].label == p->label &&
            llabs(d->shown[i].first_frame - p->first_frame) <= NEARLY)
            return d->shown[i].since;
    return d->heard;
}

/* Phones [begin, end) of the path: the open phone's frames before the settled part's end count. */
static shoal_phone make_phone(const shoal_decoder *d, int label, int64_t begin, int64_t end)
{
    double sum = begin < d->settled ? d->label_logp : 0.0;
    for (int64_t t = begin < d->settled ? d->settled : begin; t < end; t++)
        sum += (double)d->logp[t % SHOAL__LAG * d->classes + label];
    return (shoal_phone){ .label = label,
                          .first_frame = begin,
                          .end_frame = end,
                          .confidence = (float)exp(sum / (double)(end - begin)) };
}

static int phones_of(const shoal_decoder *d, shoal_phone *out)
{
    int labels[SHOAL__LAG], count = 0;
    int n = shoal__decoder_path(d, shoal__decoder_best(d), d->heard - 1, labels);
    int label = d->label;
    int64_t begin = d->label_start;
    for (int i = 0; i <= n; i++) {
        if (i < n && labels[i] == label)
            continue;
        if (label > 0)
            out[count++] = make_phone(d, label, begin, d->settled + i);
        label = i < n ? labels[i] : label;
        begin = d->settled + i;
    }
    return count;
}

int shoal_decoder_tentative(shoal_decoder *d, shoal_tentative *out)
{
    shoal_phone phones[SHOAL_DECODER_LAG + 1];
    int count = d->heard ? phones_of(d, phones) : 0;
    for (int i = 0; i < count; i++) {
        int64_t since = shown_since(d, &phones[i]);
        out[i] = (shoal_tentative){ .phone = phones[i], .stood_frames = (int)(d->heard - since) };
    }
    for (int i = 0; i < count; i++)
        d->shown[i] = (shoal__shown){ .label = out[i].phone.label,
                                      .first_frame = out[i].phone.first_frame,
                                      .since = d->heard - out[i].stood_frames };
    d->shown_count = count;
    return count;
}

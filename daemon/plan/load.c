/* load.c - see load.h */
#include "plan/load.h"

#include <math.h>
#include <stdbool.h>

#define SILENCE_S     2.0 /* shorter pauses change nothing */
#define RATE_MEMORY_S 1.5
#define IDLE_RATE     1e-3 /* below it a session that says nothing has none */

double shoald_price_layers(const double *layers, int depth)
{
    return layers ? layers[depth] : depth;
}

int shoald_price_depth(const double *layers, int ceiling, int depth_min, int depth_max)
{
    int depth = depth_max;
    while (ceiling < SHOAL_MAX_DEPTH && depth > depth_min &&
           fmax(shoald_price_layers(layers, depth), depth) > ceiling + 0.5)
        depth--;
    return depth;
}

int shoald_price_ceiling(double layers)
{
    return (int)fmax(1, fmin(ceil(layers - 0.5), SHOAL_MAX_DEPTH));
}

double shoald_price_share(const shoald_price *p, double layers, int chunk_frames)
{
    if (p->full_share > 0)
        return p->full_share * layers / p->full;
    return shoald_cost_share(&p->cost, layers, chunk_frames);
}

/* Share that the frames of a stream in real time take beside the runs, as calibrated. */
static double price_beside(const shoald_price *p)
{
    return p->cost.speed * p->cost.shape.other / (SHOAL_FRAME_MS * 1e6);
}

void shoald_demand_start(shoald_demand *d, int depth_min, int depth_max, int chunk_frames,
                         const double *layers, uint64_t now_ns)
{
    *d = (shoald_demand){ .depth_min = depth_min,
                          .depth_max = depth_max,
                          .chunk_frames = chunk_frames,
                          .layers = layers,
                          .sound_ns = now_ns,
                          .look_ns = now_ns };
}

void shoald_demand_speak(shoald_demand *d, uint64_t now_ns)
{
    d->rate = 1;
    d->sound_ns = d->look_ns = now_ns;
}

static void mix(double *rate, double towards, double seconds)
{
    *rate += (towards - *rate) * seconds / (seconds + RATE_MEMORY_S);
}

static void fall_silent(shoald_demand *d, double seconds)
{
    mix(&d->rate, 0, seconds);
    if (d->rate < IDLE_RATE)
        d->rate = 0;
}

static void look_beside(shoald_demand *d, uint64_t beside_ns, double seconds)
{
    bool opened = d->beside_ns == 0; /* opening is done once: no rate */
    if (seconds > 0 && !opened)
        mix(&d->beside, (double)(beside_ns - d->beside_ns) / 1e9 / seconds, seconds);
    d->beside_ns = beside_ns;
}

void shoald_demand_look(shoald_demand *d, double audio_s, uint64_t beside_ns, uint64_t now_ns)
{
    if (!isfinite(audio_s))
        audio_s = d->audio_s;
    double came_s = audio_s - d->audio_s;
    int first = d->audio_s <= 0;
    double quiet_s = (double)(now_ns - d->sound_ns) / 1e9; /* before this look */
    double look_s = (double)(now_ns - d->look_ns) / 1e9;
    d->look_ns = now_ns;
    d->audio_s = audio_s;
    look_beside(d, beside_ns, look_s);
    if (came_s <= 0) {
        if (!first && quiet_s > SILENCE_S)
            fall_silent(d, look_s);
        return;
    }
    d->sound_ns = now_ns;
    if (first || quiet_s > SILENCE_S)
        d->rate = 1;
    else if (quiet_s > 0)
        mix(&d->rate, came_s / quiet_s, quiet_s);
}

double shoald_demand_rate(const shoald_demand *d)
{
    return d->rate < 1 ? d->rate : 1;
}

/* The price of a frame has PCM and log-mel in it; what is measured has that and the rest. */
static double share(const shoald_demand *d, const shoald_price *p, double rate, int depth)
{
    double layers = shoald_price_layers(d->layers, depth);
    double frames = rate * shoald_price_share(p, layers, d->chunk_frames);
    double known = p->full_share > 0 ? INFINITY : rate * price_beside(p);
    double beside = d->rate > 1 ? d->beside * rate / d->rate : d->beside;
    return beside > known ? frames + beside - known : frames;
}

double shoald_demand_share(const shoald_demand *d, const shoald_price *p, int depth)
{
    return share(d, p, d->rate, depth);
}

static void add(shoald_load *l, const shoald_demand *d, const shoald_price *p, int sign)
{
    double rate = shoald_demand_rate(d), more = 0;
    int depth = 0; /* that `more` is for */
    for (int ceiling = 1; ceiling <= p->depths; ceiling++) {
        int under = shoald_price_depth(d->layers, ceiling, d->depth_min, d->depth_max);
        if (under != depth)
            more = share(d, p, rate, depth = under);
        l->at[ceiling] += sign * more;
    }
    l->sessions += sign;
}

void shoald_load_add(shoald_load *l, const shoald_demand *d, const shoald_price *p)
{
    add(l, d, p, 1);
}

void shoald_load_remove(shoald_load *l, const shoald_demand *d, const shoald_price *p)
{
    add(l, d, p, -1);
    if (l->sessions == 0)
        *l = (shoald_load){ 0 }; /* nor what rounding has left */
}

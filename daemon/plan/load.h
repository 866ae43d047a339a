/* load.h - what sessions will cost: projected load under every ceiling of depth
 *
 * A session in real time takes rate x share(depth) of a worker, and beside that what its worker
 * has measured that its messages, options and outputs take (opening, conversion, the search for
 * phones, encoding), if that is more than the price of its frames has in it already. Both are
 * measured: rate is 1 while it speaks as live clients do, less when less comes, and 0 before the
 * first sound and after some seconds of silence. So a session that is idle costs what it does, and
 * a thousand of them leave room for those that speak. The first sound counts as real time at once.
 * Pure; times are nanoseconds of any clock.
 */
#ifndef SHOALD_LOAD_H
#define SHOALD_LOAD_H

#include "plan/cost.h"
#include "shoal-protocol.h"

#include <stdint.h>

/* of a stream */
typedef struct shoald_price {
    shoald_cost cost;
    double full_share; /* not 0: what a stream of the first program at full depth takes of a
                        * worker, as the setting `capacity` says, whatever was measured */
    double full;       /* layers of that */
    int depths;        /* ceilings there are: the highest is none for the dearest program */
} shoald_price;

/* Layers (cost.h) of a program up to a depth. layers: [0..its depth]; NULL: one each. */
double shoald_price_layers(const double *layers, int depth);
/* The deepest of depth_min..depth_max that has no more than so many layers and costs no more than
 * so many, rounded to whole ones; depth_min if none does. SHOAL_MAX_DEPTH is no ceiling. */
int shoald_price_depth(const double *layers, int ceiling, int depth_min, int depth_max);
/* The least ceiling that is none for programs that have and cost so many layers. */
int shoald_price_ceiling(double layers);
/* Share of a worker that a stream in real time takes. */
double shoald_price_share(const shoald_price *p, double layers, int chunk_frames);

/* of a session; all 0: none yet */
typedef struct shoald_demand {
    int depth_min, depth_max, chunk_frames;
    const double *layers; /* of its program; NULL: one each */
    double rate;          /* seconds of audio a second; an upload has more than 1 */
    double beside;        /* share of a worker that it takes beside the runs */
    double audio_s;       /* as of the last look, as is the next */
    uint64_t beside_ns;
    uint64_t sound_ns; /* when audio was last seen to have come, or the beginning */
    uint64_t look_ns;
} shoald_demand;

void shoald_demand_start(shoald_demand *d, int depth_min, int depth_max, int chunk_frames,
                         const double *layers, uint64_t now_ns);
/* Its very first sound is coming. */
void shoald_demand_speak(shoald_demand *d, uint64_t now_ns);
/* audio_s: received so far; what is no number says nothing. beside_ns: what it took its worker so
 * far beside the runs. */
void shoald_demand_look(shoald_demand *d, double audio_s, uint64_t beside_ns, uint64_t now_ns);
/* What it takes at this depth, uploads as they come. */
double shoald_demand_share(const shoald_demand *d, const shoald_price *p, int depth);
/* What counts: uploads are promised no more than real time. */
double shoald_demand_rate(const shoald_demand *d);

typedef struct shoald_load {
    double at[SHOAL_MAX_DEPTH + 1]; /* [1..depths] share of a worker under this ceiling */
    int sessions;
} shoald_load;

void shoald_load_add(shoald_load *l, const shoald_demand *d, const shoald_price *p);
/* The same demand and price as when it was added. */
void shoald_load_remove(shoald_load *l, const shoald_demand *d, const shoald_price *p);

#endif

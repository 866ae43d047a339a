/* weigh.h - what a model costs, in layers of another one
 *
 * All prices, loads and lengths of runs are in one unit (plan/cost.h): layers of the model that the
 * workers were calibrated with. Another model's layers are turned into that unit once, before it is
 * shared: both models are calibrated here, one after the other in one thread, and the ratio of what
 * a chunk takes at full depth is what a layer of the new one counts. How fast the machine is drops
 * out.
 */
#ifndef SHOALD_WEIGH_H
#define SHOALD_WEIGH_H

#include "base/service.h"

/* s: new, and seen by no other thread. known: priced; may be at work meanwhile. Takes about a tenth
 * of a second. 0 or a negative SHOAL_E*; s is as it was. */
int shoald_weigh(shoald_service *s, const shoald_service *known);

#endif

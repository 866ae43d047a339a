/* experts.h - experts and routers: pools of the operation "experts", and what a batch keeps of them
 */
#ifndef SHOAL_EXPERTS_H
#define SHOAL_EXPERTS_H

#include "ops/conformer.h"

enum { SHOAL__MAX_TOP = 2 }; /* experts that a frame goes through */

/* A feed-forward module; down: scale 1/2, the half step. */
typedef struct shoal__expert {
    shoal__linear up, down; /* [ffn, D], [D, ffn] */
} shoal__expert;

/* Always fp32: what it says decides, so no precision and no library may move it. */
typedef struct shoal__router {
    const float *weight, *bias; /* [experts, D], [experts] */
} shoal__router;

/* At m->pools[SHOAL__EXPERTS]; NULL: the file has none. */
typedef struct shoal__expert_pools {
    shoal__expert *experts; /* [expert_banks, experts] */
    shoal__router *routers; /* [routers] */
} shoal__expert_pools;

/* Places in a layer's takes, behind the conformer's, and in its own. */
enum { SHOAL__TAKES_EXPERTS = SHOAL__TAKES_NORMS + 1, SHOAL__TAKES_ROUTER };
enum { SHOAL__OWN_TOP, SHOAL__OWN_RENORMALISED };

/* At b->scratch[SHOAL__EXPERTS]. What the last layer chose stays until the next one does. */
typedef struct shoal__expert_scratch {
    int (*route)[SHOAL__MAX_TOP];   /* [rows] experts, the likeliest first; of top 1 the first */
    float (*share)[SHOAL__MAX_TOP]; /* [rows] what each one's output weighs */
    int *index;                     /* [rows of one expert] which, */
    float *scale;                   /* and what its output weighs there */
} shoal__expert_scratch;

/* The `top` largest of n logits, the largest first; of equal ones, and of NaN, the lowest index. */
void shoal__experts_pick(const float *logits, int n, int top, int *route);

#endif

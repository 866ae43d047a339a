/* op.h - what an operation is to the rest of the engine
 *
 * A program is a list of virtual layers; each is an operation and what it takes from that
 * operation's pools. An operation is a file here with a row like the one below, a number, and a
 * line in the table (ops.c): nothing else in the engine asks which one it is.
 *
 * Functions that an operation does not need are NULL; ops.c calls them for everybody else.
 */
#ifndef SHOAL_OP_H
#define SHOAL_OP_H

#include "model/reader.h"
#include "ops/rows.h"
#include "shoal.h"

enum {
    SHOAL__CONFORMER,
    SHOAL__EXPERTS,
    SHOAL__IDENTITY,
    SHOAL__REUSE,
    SHOAL__MIMIC_LINEAR,
    SHOAL__MIMIC_TRANSFORMER,
    SHOAL__OPS /* how many */
};

enum {
    SHOAL__TAKES = 4, /* most pools that a layer takes something from */
    SHOAL__OWN = 2    /* most numbers that an operation keeps of an entry beside that */
};

struct shoal__binder;
struct shoal__config;
typedef struct shoal__op shoal__op;
typedef struct shoal__program shoal__program;

/* One step of a program. What streams remember of it is indexed by its place in the program,
 * never by what it takes: layers share weights, not history. */
typedef struct shoal__layer {
    const shoal__op *op;
    int takes[SHOAL__TAKES]; /* which of each of the operation's pools */
    int own[SHOAL__OWN];     /* what else its entry says, to the operation alone */
    int keeps_map;           /* its attention map stays for layers behind it, in this place from 1
                              * on; 0: nobody reads it */
    float exit;              /* share of its output in what leaves after it; the rest is
                              * what would have left before. 1: its output alone */
} shoal__layer;

struct shoal__op {
    const char *name;                /* as a program entry has it */
    const char *takes[SHOAL__TAKES]; /* the pools, as a program entry has them; NULL: no more */

    const char *keys; /* all members of an entry that are its own, a space between; NULL: none */
    const shoal__op *builds_on; /* another, whose pools and scratch it uses too; NULL: none */

    const char *config; /* all members of the configuration that are its own, likewise */

    /* ---- while a model opens ---- */
    /* These members, which a file of format 2 may have or not. */
    void (*configure)(shoal__reader *r, struct shoal__config *c, const json_t *root);
    /* The members of a program entry that are the operation's own: to l->takes and l->own. */
    void (*parse)(shoal__reader *r, const struct shoal__config *c, const json_t *entry,
                  shoal__layer *l);
    /* Tensors to pools, at m->pools[its number]; free them, in any state. */
    void (*bind)(struct shoal__binder *b);
    void (*unbind)(shoal_model *m);

    /* ---- what a stream keeps of a layer between chunks: bytes that may be copied ---- */
    size_t (*cache_bytes)(const shoal_model *m, const shoal_stream_params *p); /* NULL: none */
    /* As at a stream's start. Memory is zeroed when it comes, so empty is what zeros are. */
    void (*cache_empty)(const shoal_model *m, void *cache);
    /* The layer whose cache serves layer `place` as it wakes up, of [0, awake); -1: none does,
     * and it starts empty. NULL: always so. */
    int (*wake_from)(const shoal__program *p, int place, int awake);

    /* ---- in a batch ---- */
    /* Carve what all its layers need in a run (arena.h) and set b->scratch[its number]; runs
     * twice, fills the constants in when base is not NULL. */
    void (*scratch)(shoal_batch *b, unsigned char *base, size_t *at);
    /* The widest row that it makes in the scratch of what it builds on. NULL: none. */
    int (*width)(const struct shoal__config *c);
    /* Once a run, when all items are in their places. */
    void (*begin)(shoal_batch *b);
    /* b->x of these rows, one layer further; caches are those at `place`. */
    void (*run)(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows);

    /* Frames before a frame on which what it makes of it depends. NULL: none. */
    int (*reach)(const shoal_model *m, const shoal_stream_params *p);
    /* Products and sums (a multiply-add is two) of `frames` rows that each attend to `context`. */
    double (*flops)(const shoal_model *m, const shoal__layer *l, double frames, double context);
};

/* ops.c: the operation of that name, or NULL. */
const shoal__op *shoal__op_find(const char *name);
/* Two layers that do the same with the same weights: their rows may go together. */
int shoal__layer_same(const shoal__layer *a, const shoal__layer *b);

/* The functions above for all operations, or for a layer's. */
void shoal__ops_configure(shoal__reader *r, struct shoal__config *c, const json_t *root);
/* " key key ..": all that are some operation's. */
void shoal__ops_config_keys(char *text, size_t size);
/* Of all that build on `op`. */
int shoal__ops_width(const struct shoal__config *c, const shoal__op *op);
void shoal__ops_bind(struct shoal__binder *b);
void shoal__ops_unbind(shoal_model *m);
void shoal__ops_scratch(shoal_batch *b, unsigned char *base, size_t *at);
void shoal__ops_begin(shoal_batch *b);
size_t shoal__layer_cache_bytes(const shoal_model *m, const shoal__layer *l,
                                const shoal_stream_params *p);
void shoal__layer_cache_empty(const shoal_model *m, const shoal__layer *l, void *cache);
int shoal__layer_wake_from(const shoal__program *p, int place, int awake);
int shoal__layer_reach(const shoal_model *m, const shoal__layer *l, const shoal_stream_params *p);
double shoal__layer_flops(const shoal_model *m, const shoal__layer *l, double frames,
                          double context);

/* One row each, in files of their own. */
extern const shoal__op shoal__op_conformer, shoal__op_experts, shoal__op_identity, shoal__op_reuse;
extern const shoal__op shoal__op_mimic_linear, shoal__op_mimic_transformer;

#endif

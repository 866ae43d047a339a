/* bench_plan.c - the command line of bench_engine
 *
 *     bench_engine [OPTION]...
 *       --seconds S        CPU seconds a case                       (0.15)
 *       --backends LIST    of own, openblas, onednn, amx            (all)
 *       --precisions LIST  of fp32, bf16, int8                      (all)
 *       --cache C          auto, fp32, bf16, fp16 or int8           (auto)
 *       --depths LIST      12 or full, or 3+12: half of the streams each    (3,6,12,3+12,7+8)
 *       --chunks LIST      ms; but the first at the last single depth only   (160,80,320)
 *       --streams LIST     advanced together                        (1,8,32,64)
 *       --plain            streams per core alone: no stages, peaks, memory, independence
 *       --json FILE        the same numbers; -: to stdout, and no tables
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void usage(const char *what, const char *word)
{
    fprintf(stderr, "bench_engine: %s '%s': see the head of tests/bench/bench_plan.c\n", what,
            word);
    exit(2);
}

static int next_number(char **at, int least, int most)
{
    char *end;
    long n = strtol(*at, &end, 10);
    if (end == *at || n < least || n > most)
        usage("not a number in range:", *at);
    *at = end;
    return (int)n;
}

static int numbers(char *list, int *out, int least, int most)
{
    int n = 0;
    for (char *at = list;; at++) {
        if (n == BENCH_MAX_LIST)
            usage("too long:", list);
        out[n++] = next_number(&at, least, most);
        if (*at != ',')
            return *at ? (usage("not a list:", list), 0) : n;
    }
}

static int next_depth(char **at)
{
    if (strncmp(*at, "full", 4))
        return next_number(at, 1, SHOAL__MAX_DEPTH);
    *at += 4;
    return BENCH_FULL;
}

static int depth_pairs(char *list, bench_depths *out)
{
    int n = 0;
    for (char *at = list;; at++) {
        if (n == BENCH_MAX_LIST)
            usage("too long:", list);
        bench_depths *d = &out[n++];
        d->depth[0] = d->depth[1] = next_depth(&at);
        if (*at == '+' && at++)
            d->depth[1] = next_depth(&at);
        if (*at != ',')
            return *at ? (usage("not a list:", list), 0) : n;
    }
}

static const char *const caches[] = { "auto", "fp32", "bf16", "fp16", "int8", NULL };

static int index_of(const char *word, const char *const *known)
{
    int k = 0;
    while (known[k] && strcmp(known[k], word))
        k++;
    if (!known[k])
        usage("not known:", word);
    return k;
}

static int words(char *list, const char *const *known, int *out)
{
    int n = 0;
    for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
        if (n == BENCH_MAX_LIST)
            usage("too long:", word);
        out[n++] = index_of(word, known);
    }
    return n;
}

enum { SECONDS = 1, BACKENDS, PRECISIONS, CACHE, DEPTHS, CHUNKS, STREAMS, PLAIN, JSON };

static void take(bench_plan *p, int option, char *value)
{
    switch (option) {
    case SECONDS: p->seconds = atof(value); break;
    case BACKENDS: p->backends = words(value, bench_backends, p->backend); break;
    case PRECISIONS: p->precisions = words(value, bench_precisions, p->precision); break;
    case CACHE: p->cache = index_of(value, caches); break;
    case DEPTHS: p->depths = depth_pairs(value, p->depth); break;
    case CHUNKS: p->chunks = numbers(value, p->chunk_ms, 20, 20 * BENCH_MAX_CHUNK); break;
    case STREAMS: p->counts = numbers(value, p->streams, 1, BENCH_MAX_STREAMS); break;
    case PLAIN: p->plain = 1; break;
    case JSON: p->json = value; break;
    default: exit(2);
    }
}

bench_plan bench_plan_read(int argc, char **argv)
{
    static const struct option options[] = { { "seconds", required_argument, NULL, SECONDS },
                                             { "backends", required_argument, NULL, BACKENDS },
                                             { "precisions", required_argument, NULL, PRECISIONS },
                                             { "cache", required_argument, NULL, CACHE },
                                             { "depths", required_argument, NULL, DEPTHS },
                                             { "chunks", required_argument, NULL, CHUNKS },
                                             { "streams", required_argument, NULL, STREAMS },
                                             { "plain", no_argument, NULL, PLAIN },
                                             { "json", required_argument, NULL, JSON },
                                             { 0 } };
    bench_plan p = {
        .seconds = 0.15,
        .backend = { SHOAL_BACKEND_OWN, SHOAL_BACKEND_OPENBLAS, SHOAL_BACKEND_ONEDNN,
                     SHOAL_BACKEND_AMX },
        .backends = 4,
        .precision = { 0, 1, 2 },
        .precisions = 3,
        .depth = { { { 3, 3 } }, { { 6, 6 } }, { { 12, 12 } }, { { 3, 12 } }, { { 7, 8 } } },
        .depths = 5,
        .chunk_ms = { 160, 80, 320 },
        .chunks = 3,
        .streams = { 1, 8, 32, 64 },
        .counts = 4
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        take(&p, option, optarg);
    if (optind < argc)
        usage("not known:", argv[optind]);
    p.tables = p.json && !strcmp(p.json, "-") ? fopen("/dev/null", "w") : stdout;
    return p;
}

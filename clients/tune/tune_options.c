/* tune_options.c - the command line, and the manual that --help prints */
#include "config.h"

#include "tune/tune.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char manual[] =
    "Usage: shoal-tune [OPTION]... AUDIO...\n"
    "Find the depth and the chunk length that meet a goal on your own audio, with a\n"
    "running server. AUDIO: files, or folders of them.\n"
    "\n"
    "  --url URL           ws://HOST:PORT or wss:// (SHOAL_URL, ws://127.0.0.1:7350);\n"
    "                      options of the session go into its query\n"
    "  --token-file FILE   its first line is the token that the server wants\n"
    "  --ca-file FILE      wss: certificates to trust, too; --cert FILE, --key FILE:\n"
    "                      your own, where the server wants one (PEM)\n"
    "  --model NAME        which of the server's models (its first); --program NAME:\n"
    "                      which of the model's orders of layers (its first)\n"
    "  --list FILE         a path on each line, then a TAB and the phones that are\n"
    "                      said (ARPAbet); then error rates are told too\n"
    "  --chunks LIST       chunk lengths to try, ms (80,160,320,640)\n"
    "  --no-live           leave out the confirmation in real time (20 s)\n"
    "  --json FILE         all of it for a program; - is standard output\n"
    "  --svg FILE          a picture: errors against latency and against cost\n"
    "  -q, --quiet         no progress line;   -h, --help   -V, --version\n"
    "\n"
    "The goal (default: --max-latency 500 --within 5)\n"
    "  --max-latency MS    90 % of phones are final at most so long after their end\n"
    "  --within P          at most P errors more, of 100 phones, than the best\n"
    "                      setting makes; then the cheapest that does is chosen, else\n"
    "                      the truest\n"
    "  --max-cost MS       of a core for one second of audio\n"
    "\n"
    "Exit code: 0 the goal is met, 3 it cannot be met (the nearest setting is told),\n"
    "1 something failed, 2 the command line is wrong, 130 Ctrl-C.\n"
    "\n"
    "Example: shoal-tune --max-latency 400 --within 3 --svg tune.svg recordings/\n";

enum {
    OPT_MODEL = 256,
    OPT_PROGRAM,
    OPT_LIST,
    OPT_CHUNKS,
    OPT_LATENCY,
    OPT_WITHIN,
    OPT_COST,
    OPT_NO_LIVE,
    OPT_JSON,
    OPT_SVG
};

static const struct option long_options[] = { { "model", required_argument, NULL, OPT_MODEL },
                                              { "program", required_argument, NULL, OPT_PROGRAM },
                                              { "list", required_argument, NULL, OPT_LIST },
                                              { "chunks", required_argument, NULL, OPT_CHUNKS },
                                              { "max-latency", required_argument, NULL,
                                                OPT_LATENCY },
                                              { "within", required_argument, NULL, OPT_WITHIN },
                                              { "max-cost", required_argument, NULL, OPT_COST },
                                              { "no-live", no_argument, NULL, OPT_NO_LIVE },
                                              { "json", required_argument, NULL, OPT_JSON },
                                              { "svg", required_argument, NULL, OPT_SVG },
                                              { "quiet", no_argument, NULL, 'q' },
                                              { "help", no_argument, NULL, 'h' },
                                              { "version", no_argument, NULL, 'V' },
                                              TOOL_SERVER_OPTIONS,
                                              { 0 } };

static int complain(const char *option, const char *value, const char *allowed)
{
    fprintf(stderr, "shoal-tune: --%s %s: use %s\n", option, value, allowed);
    return TOOL_EXIT_USAGE;
}

/* A number above 0, a unit after it is fine. */
static int limit(double *x, const char *option, const char *value)
{
    char *end;

    *x = strtod(value, &end);
    if (end == value || !(*x > 0 && *x < 1e6) || (*end && strcmp(end, "%") && strcmp(end, "ms")))
        return complain(option, value, "a number above 0");
    return -1;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int chunks(tune_options *o, const char *value)
{
    const char *p = value;

    o->chunk_count = 0;
    while (*p && o->chunk_count < TUNE_MAX_CHUNKS) {
        char *end;
        long ms = strtol(p, &end, 10);

        if (end == p || (*end && *end != ',') || ms < SHOAL_MIN_CHUNK_MS ||
            ms > SHOAL_MAX_CHUNK_MS || ms % SHOAL_FRAME_MS)
            break;
        o->chunks[o->chunk_count++] = (int)ms;
        p = *end ? end + 1 : end;
    }
    if (*p || !o->chunk_count)
        return complain("chunks", value, "up to 8 of 20..1280 in steps of 20, with commas between");
    qsort(o->chunks, (size_t)o->chunk_count, sizeof *o->chunks, ascending);
    for (int i = 1; i < o->chunk_count; i++)
        if (o->chunks[i] == o->chunks[i - 1])
            return complain("chunks", value, "each length once");
    return -1;
}

static const char program[] = "shoal-tune";

static int take(tune_options *o, int option, const char *value)
{
    if (tool_take_server(&o->server, option, value))
        return -1;
    switch (option) {
    case OPT_MODEL: return tool_take_session(program, &o->session, "model", value);
    case OPT_PROGRAM: return tool_take_session(program, &o->session, "program", value);
    case OPT_LIST: o->list = value; return -1;
    case OPT_CHUNKS: return chunks(o, value);
    case OPT_LATENCY: return limit(&o->goal.latency_ms, "max-latency", value);
    case OPT_WITHIN: return limit(&o->goal.within, "within", value);
    case OPT_COST: return limit(&o->goal.cpu_ms, "max-cost", value);
    case OPT_NO_LIVE: o->live = 0; return -1;
    case OPT_JSON: o->json = value; return -1;
    case OPT_SVG: o->svg = value; return -1;
    case 'q': o->quiet = 1; return -1;
    case 'h': fputs(manual, stdout); return 0;
    case 'V': puts("shoal-tune " PACKAGE_VERSION); return 0;
    default: return tool_usage_error(program, "the command line is wrong", "");
    }
}

int tune_options_parse(tune_options *o, int argc, char *const *argv)
{
    int option, code = -1;

    *o = (tune_options){ .session = shoal_options_default(),
                         .chunks = { 80, 160, 320, 640 },
                         .chunk_count = 4,
                         .live = 1 };
    tool_server_init(&o->server);
    while (code < 0 && (option = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1)
        code = take(o, option, optarg);
    if (code >= 0 || (code = tool_read_token(program, &o->server)) >= 0)
        return code;
    o->paths = argv + optind;
    o->path_count = argc - optind;
    if (!o->path_count && !o->list)
        return tool_usage_error(program, "no audio: name files, a folder or a --list", "");
    if (o->goal.latency_ms == 0 && o->goal.within == 0 && o->goal.cpu_ms == 0)
        o->goal = (tune_goal){ .latency_ms = 500, .within = 5 };
    return -1;
}

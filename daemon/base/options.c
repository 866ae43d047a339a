/* options.c - command line -> list of settings, laid over the config file at each (re)load */
#include "base/options.h"

#include "base/explain.h"
#include "base/models.h"
#include "base/tokens.h"
#include "shoal.h"
#include "shoal-protocol.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: shoald [OPTION]...\n"
    "Stream speech features to many clients over WebSocket.\n"
    "\n"
    "  --config FILE        settings, one `key = value` a line (see shoald.conf)\n"
    "  --listen ADDRESS     HOST:PORT, [IPv6]:PORT, unix:/PATH; port 0 takes a free\n"
    "                       one; may be repeated (default 127.0.0.1:%d)\n"
    "  --insecure-listen    also on addresses that other machines reach, without TLS\n"
    "  --model [NAME=]FILE  model file (default: the built-in one); may be repeated:\n"
    "                       sessions pick one by its NAME, the first is the default\n"
    "  --backend NAME       matrix library: auto, own, openblas, onednn or amx\n"
    "  --precision P        of its products: fp32 (the default), bf16, int8, or auto:\n"
    "                       the fastest on this CPU\n"
    "  --cache C            what sessions remember in: fp32, bf16, fp16, int8 or auto\n"
    "  --workers N          threads that compute (default: one for each CPU)\n"
    "  --log-level LEVEL    error, warning, notice, info or debug\n"
    "  --set KEY=VALUE      any key of the config file; may be repeated\n"
    "  --ready-file FILE    write HOST:PORT here once listening, for scripts\n"
    "  --check              read the settings, try addresses and model as a start\n"
    "                       would, say whether they are good, and exit\n"
    "  --new-token NAME     make a secret token for a client: print it, and the line\n"
    "                       for the file that `tokens` names, which keeps its hash\n"
    "  --explain FILE       what this model ('': the built-in one) is made of, layer\n"
    "                       by layer: operation, weights, bytes of a stream, flops\n"
    "  -V, --version        versions of shoald, and of the model and matrix library\n"
    "                       that it would use with the other options given\n"
    "  -h, --help           this text\n"
    "\n"
    "SIGTERM finishes what was received and stops; SIGHUP reads the config file\n"
    "again; SIGUSR1 logs what each session is doing.\n";

static int complain(const char *what)
{
    fprintf(stderr, "shoald: %s; try shoald --help\n", what);
    return 2;
}

static int add_override(shoald_options *o, const char *key, const char *value)
{
    if (o->override_count == SHOALD_MAX_OVERRIDES)
        return complain("too many settings: put them into a file and use --config");
    o->overrides[o->override_count++] = (shoald_override){ key, value };
    return -1;
}

/* "key=value" */
static int add_pair(shoald_options *o, const char *pair)
{
    const char *equals = strchr(pair, '=');
    size_t n = equals ? (size_t)(equals - pair) : 0;
    if (n == 0)
        return complain("--set wants KEY=VALUE");
    if (o->keys_size + n + 1 > sizeof o->keys_copied)
        return complain("too many settings: put them into a file and use --config");
    char *key = o->keys_copied + o->keys_size;
    memcpy(key, pair, n);
    key[n] = '\0';
    o->keys_size += n + 1;
    return add_override(o, key, equals + 1);
}

/* 0, or -1 where it cannot be opened. */
static int print_model(const shoald_settings *c, const shoald_model_file *file)
{
    shoal_model *m;
    char why[512], which[sizeof file->name + 16];
    snprintf(which, sizeof which, "%s%s%s", *file->path ? "model" : "built-in model",
             *file->name ? " " : "", file->name);
    const shoal_model_params params = shoald_models_params(c);
    if (shoal_model_open_with(&m, *file->path ? file->path : NULL, &params, why, sizeof why) < 0) {
        printf("%s: %s\n", which, why);
        return -1;
    }
    const shoal_model_info *i = shoal_model_get_info(m);
    printf("%s: %s, depth %d, %zu parameters, sha256 %.16s\n", which, i->name, i->depth,
           i->parameters, i->sha256);
    printf("matrices: %s; precision: %s; kernels: %s; caches: %s\n", i->backend, i->precision,
           i->kernels, i->cache);
    printf("why: %s\n", i->why);
    shoal_model_close(m);
    return 0;
}

/* Of what the other options on the command line would start. */
static int print_version(const shoald_options *o)
{
    static shoald_settings c;
    char why[512];
    printf("shoald %s\n", shoal_version());
    if (shoald_options_load(o, &c, why, sizeof why) < 0)
        return complain(why);
    int wrong = 0;
    for (int i = 0; i < c.model_count; i++)
        wrong |= print_model(&c, &c.models[i]) < 0;
    return wrong;
}

static int print_explanation(const shoald_options *o)
{
    static shoald_settings c;
    char why[512];
    if (shoald_options_load(o, &c, why, sizeof why) < 0)
        return complain(why);
    if (shoald_explain_print(stdout, o->explain, &c, why, sizeof why) == 0)
        return 0;
    fprintf(stderr, "shoald: %s\n", why);
    return 1;
}

/* The token, and below it the line of the file. */
static int print_new_token(const char *name)
{
    char token[SHOALD_TOKEN_SIZE], line[160], why[160];
    if (shoald_token_make(name, token, line, sizeof line, why, sizeof why) < 0)
        return complain(why);
    printf("%s\n%s\n", token, line);
    return fflush(stdout) == 0 ? 0 : complain("the token could not be written");
}

static int print_help(void)
{
    printf(usage, SHOAL_DEFAULT_PORT);
    return 0;
}

enum {
    OPT_CONFIG = 256,
    OPT_LISTEN,
    OPT_INSECURE,
    OPT_MODEL,
    OPT_BACKEND,
    OPT_PRECISION,
    OPT_CACHE,
    OPT_WORKERS,
    OPT_LEVEL,
    OPT_SET,
    OPT_READY,
    OPT_CHECK,
    OPT_EXPLAIN,
    OPT_NEW_TOKEN,
    OPT_VERSION,
    OPT_HELP
};

static const struct option long_options[] = {
    { "config", required_argument, NULL, OPT_CONFIG },
    { "listen", required_argument, NULL, OPT_LISTEN },
    { "insecure-listen", no_argument, NULL, OPT_INSECURE },
    { "model", required_argument, NULL, OPT_MODEL },
    { "backend", required_argument, NULL, OPT_BACKEND },
    { "precision", required_argument, NULL, OPT_PRECISION },
    { "cache", required_argument, NULL, OPT_CACHE },
    { "workers", required_argument, NULL, OPT_WORKERS },
    { "log-level", required_argument, NULL, OPT_LEVEL },
    { "set", required_argument, NULL, OPT_SET },
    { "ready-file", required_argument, NULL, OPT_READY },
    { "check", no_argument, NULL, OPT_CHECK },
    { "new-token", required_argument, NULL, OPT_NEW_TOKEN },
    { "explain", required_argument, NULL, OPT_EXPLAIN },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

static int take(shoald_options *o, int option)
{
    switch (option) {
    case OPT_CONFIG: o->config_path = optarg; return -1;
    case OPT_READY: o->ready_file = optarg; return -1;
    case OPT_CHECK: o->check_only = 1; return -1;
    case OPT_LISTEN: return add_override(o, "listen", optarg);
    case OPT_INSECURE: return add_override(o, "insecure_listen", "on");
    case OPT_MODEL: return add_override(o, "model", optarg);
    case OPT_BACKEND: return add_override(o, "backend", optarg);
    case OPT_PRECISION: return add_override(o, "precision", optarg);
    case OPT_CACHE: return add_override(o, "cache", optarg);
    case OPT_WORKERS: return add_override(o, "workers", optarg);
    case OPT_LEVEL: return add_override(o, "log_level", optarg);
    case OPT_SET: return add_pair(o, optarg);
    case OPT_NEW_TOKEN: return print_new_token(optarg);
    case OPT_EXPLAIN: o->explain = optarg; return -1;
    case 'V':
    case OPT_VERSION: o->version_only = 1; return -1;
    case 'h':
    case OPT_HELP: return print_help();
    default: fprintf(stderr, "try shoald --help\n"); return 2;
    }
}

int shoald_options_parse(shoald_options *o, int argc, char **argv)
{
    memset(o, 0, sizeof *o);
    int option, status = -1;
    while (status < 0 && (option = getopt_long(argc, argv, "hV", long_options, NULL)) != -1)
        status = take(o, option);
    if (status < 0 && optind < argc)
        return complain("it takes options only, not names of files");
    if (status < 0 && o->explain)
        return print_explanation(o);
    return status < 0 && o->version_only ? print_version(o) : status;
}

int shoald_options_load(const shoald_options *o, shoald_settings *c, char *why, size_t why_size)
{
    shoald_settings_default(c);
    if (o->config_path && shoald_settings_read(c, o->config_path, why, why_size) < 0)
        return -1;
    for (int i = 0; i < o->override_count; i++)
        if (shoald_settings_set(c, o->overrides[i].key, o->overrides[i].value,
                                SHOALD_FROM_COMMAND_LINE, why, why_size) < 0)
            return -1;
    return 0;
}

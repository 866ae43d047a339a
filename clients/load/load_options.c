/* load_options.c - the command line, and the manual that --help prints
 *
 * What goes to the server is parsed and checked by the protocol's own option parser, so ranges
 * and complaints are the server's.
 */
#include "config.h"

#include "load/load.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_url.h"

static const char manual[] =
    "Usage: shoal-load [OPTION]...\n"
    "Load a shoal server with many live sessions and measure how late its results\n"
    "come.\n"
    "\n"
    "  --url URL            ws://HOST:PORT or wss:// (SHOAL_URL, ws://127.0.0.1:7350)\n"
    "                       other options of a session in its query: ?left_ms=640\n"
    "  --sessions N         at the same time (10)\n"
    "  --rush N@T+D         N more that speak from second T for D seconds: 100@20+10\n"
    "  --depths MIX         12, 3:0.5,12:0.5 or 3..12:1,12:3: depths or ranges, and\n"
    "                       their weights (the server's choice)\n"
    "  --chunk-ms MIX       audio computed at a time (160)\n"
    "  --duration S         seconds that are measured (10), after --ramp S (2)\n"
    "  --audio FILE         anything libsndfile reads (made-up speech)\n"
    "  --fast               as fast as the server takes it: throughput, no latencies\n"
    "  --find-knee          more and more sessions, until results come too late\n"
    "  --csv FILE           a row a second\n"
    "  --plot FILE.svg      latency, depth and sessions over time\n"
    "  --json FILE          the summary\n"
    "  --pid PID            of shoald on this machine: CPU and memory too\n"
    "  -q, --quiet          no progress line\n"
    "  -h, --help           this; --help all: all there is, as in shoal-load(1)\n"
    "  -V, --version        the version\n"
    "\n"
    "Exit code: 0 all results came, 1 some did not, 2 the command line is wrong,\n"
    "130 Ctrl-C.\n";

static const char manual_all[] =
    "Usage: shoal-load [OPTION]...\n"
    "Load a shoal server with many live sessions and measure how late its results\n"
    "come.\n"
    "\n"
    "  --url URL            ws://HOST:PORT or wss:// (SHOAL_URL, ws://127.0.0.1:7350)\n"
    "                       other options of a session in its query: ?left_ms=640\n"
    "  --token-file FILE    its first line is the token that the server wants\n"
    "                       (SHOAL_TOKEN)\n"
    "  --ca-file FILE       wss: certificates to trust besides the system's\n"
    "  --cert FILE          wss: the certificate that the server wants of you, PEM\n"
    "  --key FILE           its private key (in --cert's file)\n"
    "\n"
    "The load\n"
    "  --sessions N         at the same time, 1 to 20000 (10)\n"
    "  --idle N             more that are started and never speak (0)\n"
    "  --rush N@T+D         N more that speak from second T for D seconds: 100@20+10\n"
    "  --depths MIX         such as 12, 3:0.5,12:0.5 or 3..12:1,12:3: depths, or\n"
    "                       ranges that the server may choose from, and their\n"
    "                       weights (the server's choice)\n"
    "  --chunk-ms MIX       audio computed at a time (160)\n"
    "  --packet-ms MIX      audio in one message, 1 to 1000 (20)\n"
    "  --ramp S             seconds until all sessions have begun, not measured (2)\n"
    "  --duration S         seconds that are measured after that (10)\n"
    "  --audio FILE         anything libsndfile reads, its first 10 minutes (made-up\n"
    "                       speech)\n"
    "  --format F           s16le or f32le (s16le)\n"
    "  --output LIST        of phones, posteriors, embedding; one of the latter two\n"
    "                       is needed, for only they carry the server's clocks\n"
    "                       (posteriors)\n"
    "  --encoding E         f32 or f16 (f16)\n"
    "  --seed N             of phases, mixes and made-up speech (1)\n"
    "  --fast               send each session's --duration of audio as fast as the\n"
    "                       server takes it: throughput, no latencies\n"
    "\n"
    "The knee\n"
    "  --find-knee          double the sessions, then bisect, until p99 exceeds one\n"
    "                       chunk, or results go missing, or sessions are refused or\n"
    "                       fail\n"
    "  --knee-start N       first number of sessions (4)\n"
    "  --knee-max N         never more (2000)\n"
    "  --knee-tries N       a number is too many when it is so often, 1 to 5 (1)\n"
    "\n"
    "What is written (a table goes to stdout)\n"
    "  --csv FILE           a row a second\n"
    "  --plot FILE.svg      latency, depth and sessions over time, or p99 over\n"
    "                       sessions\n"
    "  --json FILE          the summary\n"
    "  --pid PID            of shoald on this machine: CPU, memory, audio per CPU\n"
    "                       second\n"
    "  -q, --quiet          no progress line (shown on a terminal)\n"
    "  -h, --help           the most important; --help all: this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Packets are due at times fixed in advance, and latency counts from then,\n"
    "whatever the server or this program does meanwhile: no coordinated omission.\n"
    "Ctrl-C ends the audio and reports; a second one gives up.\n"
    "\n"
    "Exit code: 0 all results came, 1 some did not, or sessions were refused or\n"
    "failed (the table says why), 2 the command line is wrong, 130 Ctrl-C.\n"
    "\n"
    "Examples:\n"
    "  shoal-load --sessions 100 --depths 3:0.5,12:0.5 --pid $(pidof shoald)\n"
    "  shoal-load --find-knee --depths 12 --plot knee.svg --json knee.json\n"
    "  shoal-load --sessions 40 --depths 3..12 --rush 100@20+10 --duration 60\n";

enum {
    OPT_SESSIONS = 256,
    OPT_DEPTHS,
    OPT_CHUNK,
    OPT_PACKET,
    OPT_RAMP,
    OPT_DURATION,
    OPT_AUDIO,
    OPT_FORMAT,
    OPT_OUTPUT,
    OPT_ENCODING,
    OPT_SEED,
    OPT_FAST,
    OPT_KNEE,
    OPT_KNEE_START,
    OPT_KNEE_MAX,
    OPT_KNEE_TRIES,
    OPT_IDLE,
    OPT_RUSH,
    OPT_CSV,
    OPT_PLOT,
    OPT_JSON,
    OPT_PID
};

static const struct option long_options[] = {
    { "sessions", required_argument, NULL, OPT_SESSIONS },
    { "idle", required_argument, NULL, OPT_IDLE },
    { "rush", required_argument, NULL, OPT_RUSH },
    { "depths", required_argument, NULL, OPT_DEPTHS },
    { "chunk-ms", required_argument, NULL, OPT_CHUNK },
    { "packet-ms", required_argument, NULL, OPT_PACKET },
    { "ramp", required_argument, NULL, OPT_RAMP },
    { "duration", required_argument, NULL, OPT_DURATION },
    { "audio", required_argument, NULL, OPT_AUDIO },
    { "format", required_argument, NULL, OPT_FORMAT },
    { "output", required_argument, NULL, OPT_OUTPUT },
    { "encoding", required_argument, NULL, OPT_ENCODING },
    { "seed", required_argument, NULL, OPT_SEED },
    { "fast", no_argument, NULL, OPT_FAST },
    { "find-knee", no_argument, NULL, OPT_KNEE },
    { "knee-start", required_argument, NULL, OPT_KNEE_START },
    { "knee-max", required_argument, NULL, OPT_KNEE_MAX },
    { "knee-tries", required_argument, NULL, OPT_KNEE_TRIES },
    { "csv", required_argument, NULL, OPT_CSV },
    { "plot", required_argument, NULL, OPT_PLOT },
    { "json", required_argument, NULL, OPT_JSON },
    { "pid", required_argument, NULL, OPT_PID },
    { "quiet", no_argument, NULL, 'q' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    TOOL_SERVER_OPTIONS,
    { 0 }
};

/* What was said, before it is checked together. */
typedef struct command {
    load_options *o;
    shoal_options asked; /* format, output, encoding */
} command;

static const char program[] = "shoal-load";

static int usage_error(const char *what, const char *detail)
{
    return tool_usage_error(program, what, detail);
}

/* What these take: to be told whatever is wrong. */
static const char depths_take[] =
    "--depths takes 1 to 255, ranges, or several with weights, such as 12, 3-12 or 3:0.5,12:0.5";
static const char chunks_take[] =
    "--chunk-ms takes multiples of 20 from 20 to 1280, or several with weights, such as 160 or "
    "80:0.5,160:0.5, no ranges";
static const char packets_take[] =
    "--packet-ms takes 1 to 1000, or several with weights, such as 20 or 20:0.5,100:0.5, no ranges";

static int take_mix(load_mix *m, const char *takes, const char *value)
{
    char why[256], what[200];

    if (load_mix_parse(m, value, why, sizeof why) == 0)
        return -1;
    snprintf(what, sizeof what, "%s; not ", takes);
    return usage_error(what, value);
}

static int take_rush(load_rush *r, const char *value)
{
    char why[256];

    return load_rush_parse(r, value, why, sizeof why) == 0 ? -1 : usage_error("--rush: ", why);
}

static int take_load(command *c, int opt, char *value)
{
    load_options *o = c->o;

    switch (opt) {
    case OPT_SESSIONS:
        return tool_take_number(program, &o->sessions, "--sessions", value, 1, LOAD_MAX_SESSIONS);
    case OPT_IDLE:
        return tool_take_number(program, &o->idle, "--idle", value, 0, LOAD_MAX_SESSIONS);
    case OPT_RUSH: return take_rush(&o->rush, value);
    case OPT_DEPTHS: return take_mix(&o->depths, depths_take, value);
    case OPT_CHUNK: return take_mix(&o->chunks, chunks_take, value);
    case OPT_PACKET: return take_mix(&o->packets, packets_take, value);
    case OPT_RAMP:
        return tool_take_number(program, &o->ramp_s, "--ramp", value, 0, LOAD_MAX_SECONDS);
    case OPT_DURATION:
        return tool_take_number(program, &o->duration_s, "--duration", value, 1, LOAD_MAX_SECONDS);
    case OPT_FORMAT: return tool_take_session(program, &c->asked, "format", value);
    case OPT_OUTPUT: return tool_take_session(program, &c->asked, "output", value);
    case OPT_ENCODING: return tool_take_session(program, &c->asked, "encoding", value);
    case OPT_KNEE_START:
        return tool_take_number(program, &o->knee_start, "--knee-start", value, 1,
                                LOAD_MAX_SESSIONS);
    case OPT_KNEE_MAX:
        return tool_take_number(program, &o->knee_max, "--knee-max", value, 1, LOAD_MAX_SESSIONS);
    case OPT_KNEE_TRIES:
        return tool_take_number(program, &o->knee_tries, "--knee-tries", value, 1, 5);
    case OPT_PID: return tool_take_number(program, &o->pid, "--pid", value, 1, 1 << 30);
    default: return usage_error("the command line is wrong", "");
    }
}

static int take_option(command *c, int opt, char *value)
{
    load_options *o = c->o;

    if (tool_take_server(&o->server, opt, value))
        return -1;
    switch (opt) {
    case OPT_AUDIO: o->audio_file = value; return -1;
    case OPT_SEED: o->seed = strtoull(value, NULL, 0); return -1;
    case OPT_FAST: o->fast = 1; return -1;
    case OPT_KNEE: o->find_knee = 1; return -1;
    case OPT_CSV: o->csv = value; return -1;
    case OPT_PLOT: o->plot = value; return -1;
    case OPT_JSON: o->json = value; return -1;
    case 'q': o->quiet = 1; return -1;
    case 'h': fputs(value && !strcmp(value, "all") ? manual_all : manual, stdout); return 0;
    case 'V': puts("shoal-load " PACKAGE_VERSION); return 0;
    default: return take_load(c, opt, value);
    }
}

/* ---- checked together ---- */

static int check_mixes(const load_options *o)
{
    for (int i = 0; i < o->packets.count; i++)
        if (o->packets.item[i].min != o->packets.item[i].max ||
            o->packets.item[i].max > LOAD_MAX_PACKET_MS)
            return usage_error(packets_take, "");
    for (int i = 0; i < o->chunks.count; i++) {
        int ms = o->chunks.item[i].min;

        if (ms != o->chunks.item[i].max || ms % SHOAL_FRAME_MS || ms > SHOAL_MAX_CHUNK_MS)
            return usage_error(chunks_take, "");
    }
    for (int i = 0; i < o->depths.count; i++)
        if (o->depths.item[i].max > SHOAL_MAX_DEPTH)
            return usage_error(depths_take, "");
    return -1;
}

static int check_session(const shoal_options *s)
{
    if (s->format != SHOAL_FORMAT_S16LE && s->format != SHOAL_FORMAT_F32LE)
        return usage_error("--format takes s16le or f32le", "");
    if (s->encoding == SHOAL_ENCODING_JSON)
        return usage_error("--encoding takes f32 or f16", "");
    if (!(s->outputs & (SHOAL_OUTPUT_POSTERIORS | SHOAL_OUTPUT_EMBEDDING)))
        return usage_error("--output needs posteriors or embedding: phones alone do not tell the "
                           "server's clocks",
                           "");
    if (s->tap_count)
        return usage_error("--output: outputs at the session's depth are measured: leave the @ out",
                           "");
    if (s->rate != LOAD_RATE || s->channels != 1)
        return usage_error("the audio is sent at 16000 Hz, mono: "
                           "leave rate and channels out of the URL",
                           "");
    return -1;
}

/* What is neither in the URL nor on the command line; the server is told everything. */
static void set_defaults(shoal_options *s)
{
    if (!(s->given & SHOAL_OPT_OUTPUT))
        s->outputs = SHOAL_OUTPUT_POSTERIORS;
    if (!(s->given & SHOAL_OPT_ENCODING))
        s->encoding = SHOAL_ENCODING_F16;
    s->given |= SHOAL_OPT_FORMAT | SHOAL_OPT_RATE | SHOAL_OPT_CHUNK_MS | SHOAL_OPT_OUTPUT |
                SHOAL_OPT_ENCODING;
}

static int take_url(command *c)
{
    load_options *o = c->o;
    shoal__url u;
    char why[512];

    if (shoal__url_parse(&u, o->server.url, why, sizeof why) < 0)
        return usage_error("--url ", why);
    if (u.options.given & SHOAL_OPT_CHUNK_MS)
        return usage_error("--url: say chunk_ms with --chunk-ms", "");
    if (shoal__options_merge(&u.options, &c->asked, why, sizeof why) < 0)
        return usage_error("", why);
    set_defaults(&u.options);
    snprintf(o->host, sizeof o->host, "%s", u.host);
    snprintf(o->path, sizeof o->path, "%s", u.path);
    o->port = u.port;
    o->wss = u.tls;
    o->session = u.options;
    return check_session(&o->session);
}

static int check_rest(const load_options *o)
{
    load_proc p;

    if (o->pid && load_proc_read(o->pid, &p) < 0)
        return usage_error("--pid: there is no such process on this machine", "");
    if (o->find_knee && o->fast)
        return usage_error("--find-knee needs paced sessions: leave out --fast", "");
    if (o->fast && (o->idle || o->rush.sessions))
        return usage_error("--idle and --rush need paced sessions: leave out --fast", "");
    if (o->find_knee && o->rush.sessions)
        return usage_error("--rush is one profile, --find-knee another: leave out one", "");
    if (o->rush.sessions && o->rush.at_s + o->rush.for_s > o->ramp_s + o->duration_s)
        return usage_error("--rush must be over before the run: shorten it or raise --duration",
                           "");
    if (o->knee_start > o->knee_max)
        return usage_error("--knee-start is above --knee-max", "");
    return -1;
}

int load_options_parse(load_options *o, int argc, char **argv)
{
    command c = { o, shoal_options_default() };
    int opt, code;

    *o = (load_options){ .sessions = 10,
                         .ramp_s = 2,
                         .duration_s = 10,
                         .knee_start = 4,
                         .knee_max = 2000,
                         .knee_tries = 1,
                         .seed = 1 };
    tool_server_init(&o->server);
    take_mix(&o->chunks, chunks_take, "160");
    take_mix(&o->packets, packets_take, "20");
    while ((opt = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1)
        if ((code = take_option(&c, opt, opt == 'h' ? argv[optind] : optarg)) >= 0)
            return code;
    if (optind < argc)
        return usage_error("not an option: ", argv[optind]);
    if ((code = take_url(&c)) >= 0 || (code = tool_read_token(program, &o->server)) >= 0 ||
        (code = check_mixes(o)) >= 0)
        return code;
    return check_rest(o);
}

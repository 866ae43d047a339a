/* mic_options.c - the command line of shoal-mic, and what --help prints */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mic/mic.h"

static const char manual[] =
    "Usage: shoal-mic [OPTION]...\n"
    "Speak, and see the phones that a shoal server hears.\n"
    "\n"
    "  --url URL          ws://HOST:PORT or wss:// (SHOAL_URL, ws://127.0.0.1:7350)\n"
    "  --token-file FILE  the token that the server wants (SHOAL_TOKEN)\n"
    "  --list             the microphones there are\n"
    "  --device NAME      a part of a name of that list\n"
    "  --channel N        which channel of it (1)\n"
    "  --rate HZ          8000 to 48000 (the device's own; of a command: 16000)\n"
    "  --input-command C  instead of a microphone: the stdout of a command, samples\n"
    "                     as s16le, mono, at --rate\n"
    "  --depth N|MIN-MAX  layers: more are better and dearer; a range lets a busy\n"
    "                     server choose (3-12)\n"
    "  --chunk-ms M       audio heard at once: longer is better and later (160)\n"
    "  --lm on|off        with the model of English phone sequences, or without (on)\n"
    "  --model NAME       which of the server's; --program NAME: which of the model's\n"
    "  --opus             a tenth of the bytes (narrow networks); --jsonl: JSON lines\n"
    "  --out-dir DIR      where the key s saves the last 30 s, WAV and TextGrid (.)\n"
    "  --utterances DIR   each as a WAV file; --exec CMD runs CMD FILE for each\n"
    "  --proxy URL        http://HOST:PORT; for wss --ca-file, --cert, --key FILE\n"
    "  -h, --help   -V, --version\n"
    "\n"
    "Keys: + - depth, r the range again, p pause, s save, ? help, q or Ctrl-C end.\n"
    "What may still change is dim. See shoal-mic(1).\n";

enum {
    OPT_LIST = 256,
    OPT_DEVICE,
    OPT_CHANNEL,
    OPT_RATE,
    OPT_COMMAND,
    OPT_DEPTH,
    OPT_CHUNK,
    OPT_LM,
    OPT_MODEL,
    OPT_PROGRAM,
    OPT_JSONL,
    OPT_OPUS,
    OPT_OUT_DIR,
    OPT_PROXY,
    OPT_UTTERANCES,
    OPT_EXEC
};

static const struct option long_options[] = {
    { "list", no_argument, NULL, OPT_LIST },
    { "device", required_argument, NULL, OPT_DEVICE },
    { "channel", required_argument, NULL, OPT_CHANNEL },
    { "rate", required_argument, NULL, OPT_RATE },
    { "input-command", required_argument, NULL, OPT_COMMAND },
    { "depth", required_argument, NULL, OPT_DEPTH },
    { "chunk-ms", required_argument, NULL, OPT_CHUNK },
    { "lm", required_argument, NULL, OPT_LM },
    { "model", required_argument, NULL, OPT_MODEL },
    { "program", required_argument, NULL, OPT_PROGRAM },
    { "jsonl", no_argument, NULL, OPT_JSONL },
    { "opus", no_argument, NULL, OPT_OPUS },
    { "out-dir", required_argument, NULL, OPT_OUT_DIR },
    { "proxy", required_argument, NULL, OPT_PROXY },
    { "utterances", required_argument, NULL, OPT_UTTERANCES },
    { "exec", required_argument, NULL, OPT_EXEC },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    TOOL_SERVER_OPTIONS,
    { 0 }
};

static const char program[] = "shoal-mic";

static int usage_error(const char *what, const char *detail)
{
    return tool_usage_error(program, what, detail);
}

static int take_option(mic_options *o, int c, char *value)
{
    if (tool_take_server(&o->server, c, value))
        return -1;
    switch (c) {
    case OPT_LIST: o->list = 1; return -1;
    case OPT_DEVICE: o->source.device = value; return -1;
    case OPT_CHANNEL:
        return tool_take_number(program, &o->source.channel, "--channel", value, 1, 64);
    case OPT_RATE:
        return tool_take_number(program, &o->source.rate, "--rate", value, SHOAL_MIN_RATE,
                                SHOAL_MAX_RATE);
    case OPT_COMMAND: o->source.command = value; return -1;
    case OPT_DEPTH: return tool_take_session(program, &o->session, "depth", value);
    case OPT_CHUNK: return tool_take_session(program, &o->session, "chunk_ms", value);
    case OPT_LM: return tool_take_session(program, &o->session, "lm", value);
    case OPT_MODEL: return tool_take_session(program, &o->session, "model", value);
    case OPT_PROGRAM: return tool_take_session(program, &o->session, "program", value);
    case OPT_JSONL: o->jsonl = 1; return -1;
    case OPT_OPUS: o->opus = 1; return -1;
    case OPT_OUT_DIR: o->out_dir = value; return -1;
    case OPT_PROXY: o->proxy = value; return -1;
    case OPT_UTTERANCES: o->utterances = value; return -1;
    case OPT_EXEC: o->exec = value; return -1;
    case 'h': fputs(manual, stdout); return 0;
    case 'V': puts("shoal-mic " PACKAGE_VERSION); return 0;
    default: return usage_error("the command line is wrong", "");
    }
}

/* Said on the command line, in the URL, or by nobody. A URL that is none is told when it is used.
 */
static void choose_depth(mic_options *o)
{
    const char *query = strchr(o->server.url, '?');
    shoal_options in_url;
    shoal_error err;

    if (o->session.given & SHOAL_OPT_DEPTH)
        return;
    o->any_depth = !query || shoal_options_parse_query(&in_url, query, strlen(query), &err) < 0 ||
                   !(in_url.given & SHOAL_OPT_DEPTH);
    o->session.depth_min = o->any_depth ? 3 : in_url.depth_min;
    o->session.depth_max = o->any_depth ? 12 : in_url.depth_max;
}

/* What a person in front of a microphone wants, unless it was said. */
static int finish(mic_options *o)
{
    int code = tool_read_token(program, &o->server);

    if (code >= 0)
        return code;
    choose_depth(o);
    o->session.outputs = SHOAL_OUTPUT_PHONES | SHOAL_OUTPUT_ACTIVITY;
    o->session.tentative = o->jsonl ? SHOAL_OFF : SHOAL_ON;
    o->session.given |= SHOAL_OPT_DEPTH | SHOAL_OPT_OUTPUT | SHOAL_OPT_TENTATIVE;
    if (o->source.command && o->source.device)
        return usage_error("--device and --input-command: choose one", "");
    if (o->exec && !o->utterances)
        return usage_error("--exec needs --utterances DIR, where the files go", "");
    if (o->source.command && !o->source.rate)
        o->source.rate = 16000;
    return -1;
}

int mic_options_parse(mic_options *o, int argc, char **argv)
{
    int c, code;

    *o = (mic_options){ .session = shoal_options_default(),
                        .source = { .channel = 1 },
                        .out_dir = "." };
    tool_server_init(&o->server);
    while ((c = getopt_long(argc, argv, "hV", long_options, NULL)) != -1)
        if ((code = take_option(o, c, optarg)) >= 0)
            return code;
    if (optind < argc)
        return usage_error("shoal-mic takes no files (shoal-file does)", "");
    return o->list ? mic_capture_list() : finish(o);
}

/* file_options.c - the command line, and the manual that --help prints
 *
 * What goes to the server (depth, chunk, ...) is parsed by the protocol's own option parser, so
 * ranges and complaints are the server's.
 */
#include "config.h"

#include "file/file_audio.h"
#include "file/file.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char manual[] =
    "Usage: shoal-file [OPTION]... FILE...\n"
    "Stream audio files to a shoal server; show the phones it hears, or keep its features.\n"
    "\n"
    "  --url URL            ws://HOST:PORT or wss://...     (SHOAL_URL, or ws://127.0.0.1:7350)\n"
    "  --token-file FILE    its first line is the token that the server wants (SHOAL_TOKEN)\n"
    "  --ca-file FILE       wss: certificates to trust besides the system's\n"
    "  --proxy URL          connect through http://HOST:PORT (none, whatever http_proxy says)\n"
    "  --reconnect S        a connection that breaks, or a server that restarts, is tried again "
    "for\n"
    "                       S seconds; results go on without a gap (30); 0: the file has failed\n"
    "\n"
    "What to compute (default: the server's choice)\n"
    "  --depth N|MIN-MAX    layers to use, or a range that the server may choose from while it\n"
    "                       is busy; more layers: better and dearer\n"
    "  --chunk-ms M         audio heard at once, a multiple of 20, 20 to 1280: longer is better\n"
    "                       and later\n"
    "  --left-ms L          how far back each chunk may look, a multiple of 20, 0 to 5120\n"
    "  --outputs LIST       of phones, posteriors, embedding, hidden, mel, activity (where speech\n"
    "                       begins and ends), with commas between (default: what --output needs). "
    "NAME@N is\n"
    "                       NAME after N layers: several depths from one pass\n"
    "  --activity-threshold P    percent that speech must be likely to begin, 30 to 99 (80)\n"
    "  --activity-hangover-ms M  silence that ends speech, a multiple of 20, 20 to 5000 (300)\n"
    "  --lm on|off          find the phones with or without the language model (on); off for\n"
    "                       other languages, names, made-up words\n"
    "  --durations on|off   with or without the model of how long phones last (off)\n"
    "  --program NAME       which of the model's orders of layers (the first)\n"
    "\n"
    "What to read\n"
    "  -                    as FILE: standard input\n"
    "  --raw FORMAT         no header: s16le, f32le, mulaw or alaw samples, at --rate HZ (16000),\n"
    "                       with --channels N (1)\n"
    "  --channel C          left, right, or the number of the channel to take; mix: their mean\n"
    "                       (the default); each: a session and results of its own for each\n"
    "  --jobs N             so many files at a time, up to 64 (1); goes with --fast\n"
    "\n"
    "How fast\n"
    "  --realtime           as fast as it was spoken, so that results come as they would live\n"
    "                       (default)\n"
    "  --fast               as fast as the server takes it; the results are the same\n"
    "\n"
    "Where results go\n"
    "  --output LIST        of text, jsonl, npy, kaldi, textgrid, labels, ctm, with commas\n"
    "                       between (text)\n"
    "      text             on stdout, a line a phone: start end phone confidence (seconds)\n"
    "      jsonl            on stdout, a JSON object a line: file, phone, start, end, confidence,\n"
    "                       depth; features: file, output, frame, start, end, depth, values;\n"
    "                       activity: file, activity (speech or silence), time, depth; of\n"
    "                       outputs with an @: tap, the depth asked for\n"
    "      npy              NAME.posteriors.npy, NAME.embedding@12.npy: float32 [frames, dim], a\n"
    "                       frame each 20 ms; posteriors are natural logarithms\n"
    "      textgrid         NAME.TextGrid for Praat: interval tiers \"phones\", \"phones@4\",\n"
    "                       \"activity\"; gaps are silence\n"
    "      kaldi            NAME.posteriors.ark and .scp: a float matrix, the key is NAME\n"
    "                       --priors server|FILE: NAME.loglikes.ark, log-likelihoods, the priors "
    "of\n"
    "                       the classes (of /v1/model, or numbers in a file) taken off\n"
    "      labels           NAME.phones.txt: start, end, phone with tabs between, for Audacity\n"
    "      ctm              NAME.phones.ctm: NAME 1 start duration phone confidence\n"
    "  --out-dir DIR        folder for files, NAME is the input's without its suffix (.)\n"
    "  --utterances DIR     speech as WAV files, cut by its activity: DIR/NAME.0001.wav\n"
    "  --latency            say at the end how late results are: of the server, and of phones "
    "until\n"
    "                       they settle and are first shown; counted in audio, whatever the load\n"
    "  --beside             each file's results in its own folder\n"
    "\n"
    "  -q, --quiet          no progress line (shown on a terminal for more than 10 s of audio)\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Any file that libsndfile reads will do: WAV, FLAC, Ogg, Opus, MP3, AIFF, ... at any rate.\n"
    "Ctrl-C ends the audio early and keeps what\n"
    "came; a second one gives up.\n"
    "\n"
    "Exit code: 0 all is well, 1 something failed (each failure has a line on stderr), 2 the\n"
    "command line is wrong, 3 the server was away or full and nothing else failed, 130 Ctrl-C.\n"
    "\n"
    "Examples:\n"
    "  shoal-file talk.flac\n"
    "  shoal-file --depth 12 --chunk-ms 320 --fast --output jsonl *.wav > phones.jsonl\n"
    "  sox talk.wav -t raw -r 16000 -e signed -b 16 -c 1 - | shoal-file --raw s16le -\n"
    "  shoal-file --fast --jobs 8 --output kaldi --out-dir feats corpus/*.flac\n"
    "  shoal-file --fast --output npy,textgrid --outputs phones,embedding --out-dir out a.flac\n"
    "  shoal-file --fast --output textgrid --outputs phones@4,phones@12,activity@4 a.flac\n";

enum {
    OPT_URL = 256,
    OPT_TOKEN_FILE,
    OPT_CA_FILE,
    OPT_PROXY,
    OPT_RECONNECT,
    OPT_DEPTH,
    OPT_CHUNK,
    OPT_LEFT,
    OPT_OUTPUTS,
    OPT_THRESHOLD,
    OPT_HANGOVER,
    OPT_LM,
    OPT_DURATIONS,
    OPT_PROGRAM,
    OPT_REALTIME,
    OPT_FAST,
    OPT_OUTPUT,
    OPT_OUT_DIR,
    OPT_BESIDE,
    OPT_LATENCY,
    OPT_PRIORS,
    OPT_UTTERANCES,
    OPT_RAW,
    OPT_RATE,
    OPT_CHANNELS,
    OPT_CHANNEL,
    OPT_JOBS
};

static const struct option long_options[] = {
    { "url", required_argument, NULL, OPT_URL },
    { "token-file", required_argument, NULL, OPT_TOKEN_FILE },
    { "ca-file", required_argument, NULL, OPT_CA_FILE },
    { "proxy", required_argument, NULL, OPT_PROXY },
    { "reconnect", required_argument, NULL, OPT_RECONNECT },
    { "depth", required_argument, NULL, OPT_DEPTH },
    { "chunk-ms", required_argument, NULL, OPT_CHUNK },
    { "left-ms", required_argument, NULL, OPT_LEFT },
    { "outputs", required_argument, NULL, OPT_OUTPUTS },
    { "activity-threshold", required_argument, NULL, OPT_THRESHOLD },
    { "activity-hangover-ms", required_argument, NULL, OPT_HANGOVER },
    { "lm", required_argument, NULL, OPT_LM },
    { "durations", required_argument, NULL, OPT_DURATIONS },
    { "program", required_argument, NULL, OPT_PROGRAM },
    { "realtime", no_argument, NULL, OPT_REALTIME },
    { "fast", no_argument, NULL, OPT_FAST },
    { "output", required_argument, NULL, OPT_OUTPUT },
    { "out-dir", required_argument, NULL, OPT_OUT_DIR },
    { "utterances", required_argument, NULL, OPT_UTTERANCES },
    { "priors", required_argument, NULL, OPT_PRIORS },
    { "latency", no_argument, NULL, OPT_LATENCY },
    { "beside", no_argument, NULL, OPT_BESIDE },
    { "raw", required_argument, NULL, OPT_RAW },
    { "rate", required_argument, NULL, OPT_RATE },
    { "channels", required_argument, NULL, OPT_CHANNELS },
    { "channel", required_argument, NULL, OPT_CHANNEL },
    { "jobs", required_argument, NULL, OPT_JOBS },
    { "quiet", no_argument, NULL, 'q' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { 0 }
};

enum {
    FEATURES =
        SHOAL_OUTPUT_POSTERIORS | SHOAL_OUTPUT_EMBEDDING | SHOAL_OUTPUT_HIDDEN | SHOAL_OUTPUT_MEL
};

/* A writer, what it can use, and what it asks for when --outputs does not say. */
static const struct writer {
    const char *name;
    out_open *open;
    unsigned uses, wants;
} writers[] = {
    { "text", out_text_open, SHOAL_OUTPUT_PHONES | SHOAL_OUTPUT_ACTIVITY, SHOAL_OUTPUT_PHONES },
    { "jsonl", out_jsonl_open, SHOAL_OUTPUT_ALL, SHOAL_OUTPUT_PHONES },
    { "npy", out_npy_open, FEATURES, SHOAL_OUTPUT_POSTERIORS },
    { "textgrid", out_textgrid_open, SHOAL_OUTPUT_PHONES | SHOAL_OUTPUT_ACTIVITY,
      SHOAL_OUTPUT_PHONES },
    { "labels", out_labels_open, SHOAL_OUTPUT_PHONES | SHOAL_OUTPUT_ACTIVITY, SHOAL_OUTPUT_PHONES },
    { "ctm", out_ctm_open, SHOAL_OUTPUT_PHONES, SHOAL_OUTPUT_PHONES },
    { "kaldi", out_kaldi_open, FEATURES, SHOAL_OUTPUT_POSTERIORS },
};

enum { WRITER_COUNT = sizeof writers / sizeof *writers };

static int usage_error(const char *what, const char *detail)
{
    fprintf(stderr, "shoal-file: %s%s; shoal-file --help tells more\n", what, detail);
    return EXIT_USAGE;
}

/* One option of the session, by its name on the wire. */
static int add_option(file_options *o, const char *name, const char *value)
{
    shoal_error err;

    if (shoal_options_add(&o->session, name, strlen(name), value, strlen(value), &err) == 0)
        return -1;
    return usage_error("", err.message);
}

static const struct writer *find_writer(const char *name, size_t n)
{
    for (int i = 0; i < WRITER_COUNT; i++)
        if (strlen(writers[i].name) == n && !memcmp(writers[i].name, name, n))
            return &writers[i];
    return NULL;
}

static int has_writer(const file_options *o, out_open *open)
{
    for (int i = 0; i < o->writer_count; i++)
        if (o->writers[i] == open)
            return 1;
    return 0;
}

static int add_writers(file_options *o, const char *list)
{
    o->writer_count = 0;
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        const struct writer *w = find_writer(p, n);

        if (!w)
            return usage_error("--output takes text, jsonl, npy, kaldi, textgrid, labels "
                               "or ctm, not ",
                               list);
        if (!has_writer(o, w->open))
            o->writers[o->writer_count++] = w->open;
        p += n;
        if (!*p)
            return -1;
    }
}

static int take_number(int *to, const char *value, int least, int most, const char *name)
{
    char text[80], *end;
    long n = strtol(value, &end, 10);

    if (end == value || *end || n < least || n > most) {
        snprintf(text, sizeof text, "%s takes %d to %d, not ", name, least, most);
        return usage_error(text, value);
    }
    *to = (int)n;
    return -1;
}

static int take_channel(file_options *o, const char *value)
{
    o->each_channel = !strcmp(value, "each");
    o->channel = !strcmp(value, "left") ? 1 : !strcmp(value, "right") ? 2 : 0;
    if (o->each_channel || o->channel || !strcmp(value, "mix"))
        return -1;
    return take_number(&o->channel, value, 1, 1024, "--channel takes left, right, mix, each;");
}

/* What is read and how it is written. */
static int take_file_option(file_options *o, int c, char *value)
{
    switch (c) {
    case OPT_UTTERANCES: o->utterances = value; return -1;
    case OPT_PRIORS: o->priors = value; return -1;
    case OPT_LATENCY: o->latency = 1; return -1;
    case OPT_BESIDE: o->out_dir = NULL; return -1;
    case OPT_RAW: o->raw = value; return -1;
    case OPT_RATE: return take_number(&o->raw_rate, value, 1000, 384000, "--rate");
    case OPT_CHANNELS: return take_number(&o->raw_channels, value, 1, 1024, "--channels");
    case OPT_CHANNEL: return take_channel(o, value);
    case OPT_JOBS: return take_number(&o->jobs, value, 1, FILE_MAX_JOBS, "--jobs");
    default: return usage_error("the command line is wrong", "");
    }
}

static int take_option(file_options *o, int c, char *value)
{
    switch (c) {
    case OPT_URL: o->url = value; return -1;
    case OPT_TOKEN_FILE: o->token_file = value; return -1;
    case OPT_CA_FILE: o->ca_file = value; return -1;
    case OPT_PROXY: o->proxy = value; return -1;
    case OPT_RECONNECT: return take_number(&o->reconnect_s, value, 0, 86400, "--reconnect");
    case OPT_DEPTH: return add_option(o, "depth", value);
    case OPT_CHUNK: return add_option(o, "chunk_ms", value);
    case OPT_LEFT: return add_option(o, "left_ms", value);
    case OPT_OUTPUTS: return add_option(o, "output", value);
    case OPT_THRESHOLD: return add_option(o, "activity_threshold", value);
    case OPT_HANGOVER: return add_option(o, "activity_hangover_ms", value);
    case OPT_LM: return add_option(o, "lm", value);
    case OPT_DURATIONS: return add_option(o, "durations", value);
    case OPT_PROGRAM: return add_option(o, "program", value);
    case OPT_REALTIME: o->realtime = 1; return -1;
    case OPT_FAST: o->realtime = 0; return -1;
    case OPT_OUTPUT: return add_writers(o, value);
    case OPT_OUT_DIR: o->out_dir = value; return -1;
    case 'q': o->quiet = 1; return -1;
    case 'h': fputs(manual, stdout); return 0;
    case 'V': puts("shoal-file " PACKAGE_VERSION); return 0;
    default: return take_file_option(o, c, value);
    }
}

/* Both text and JSON lines go to stdout; every writer needs something to write. */
static int check_writers(file_options *o)
{
    unsigned wanted = 0;

    if (has_writer(o, out_text_open) && has_writer(o, out_jsonl_open))
        return usage_error("--output text and jsonl both write to stdout: choose one", "");
    for (int i = 0; i < WRITER_COUNT; i++) {
        const struct writer *w = &writers[i];

        if (!has_writer(o, w->open))
            continue;
        wanted |= w->wants;
        if ((o->session.given & SHOAL_OPT_OUTPUT) &&
            !(w->uses & shoal_options_all_outputs(&o->session)))
            return usage_error("--outputs names nothing that can be written as ", w->name);
    }
    if (!(o->session.given & SHOAL_OPT_OUTPUT))
        o->session.outputs = wanted;
    if (o->utterances && !(shoal_options_all_outputs(&o->session) & SHOAL_OUTPUT_ACTIVITY))
        o->session.outputs |= SHOAL_OUTPUT_ACTIVITY;
    if (o->priors && !has_writer(o, out_kaldi_open))
        return usage_error("--priors is for --output kaldi", "");
    if (o->latency) {
        o->session.outputs |= SHOAL_OUTPUT_PHONES;
        o->session.tentative = SHOAL_ON;
        o->session.given |= SHOAL_OPT_TENTATIVE;
    }
    o->session.given |= SHOAL_OPT_OUTPUT;
    return -1;
}

static int check_input(file_options *o)
{
    int from_stdin = 0;

    if (o->raw && !file_audio_is_raw_format(o->raw))
        return usage_error("--raw takes s16le, f32le, mulaw or alaw, not ", o->raw);
    if (!o->raw && (o->raw_rate || o->raw_channels))
        return usage_error("--rate and --channels describe samples without a header: add --raw",
                           "");
    o->raw_rate = o->raw_rate ? o->raw_rate : 16000;
    o->raw_channels = o->raw_channels ? o->raw_channels : 1;
    for (int i = 0; i < o->file_count; i++)
        from_stdin += !strcmp(o->files[i], "-");
    if (from_stdin > 1)
        return usage_error("standard input (-) can be read only once", "");
    if (from_stdin && o->each_channel && !o->raw)
        return usage_error("--channel each reads the header first, which a pipe gives only once: "
                           "say --raw, or use a file",
                           "");
    if (from_stdin && isatty(STDIN_FILENO))
        return usage_error("standard input is a terminal: nothing to hear", "");
    o->batch_progress = o->jobs > 1 && !o->quiet && isatty(STDERR_FILENO);
    return -1;
}

static int read_token(file_options *o)
{
    char why[512];

    return shoal_client_read_token(o->token, sizeof o->token, o->token_file, why, sizeof why) < 0
               ? usage_error("no token: ", why)
               : -1;
}

int file_options_parse(file_options *o, int argc, char **argv)
{
    int c, code;

    *o = (file_options){ .url = shoal_client_default_url(),
                         .session = shoal_options_default(),
                         .realtime = 1,
                         .reconnect_s = 30,
                         .jobs = 1,
                         .out_dir = ".",
                         .writers = { out_text_open },
                         .writer_count = 1 };
    while ((c = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1)
        if ((code = take_option(o, c, optarg)) >= 0)
            return code;
    if (optind == argc)
        return usage_error("no FILE given", "");
    o->files = argv + optind;
    o->file_count = argc - optind;
    if ((code = read_token(o)) >= 0 || (code = check_input(o)) >= 0)
        return code;
    return check_writers(o);
}

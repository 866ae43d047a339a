/* file_options.c - the command line; what --help prints is in file_manual.c
 *
 * What goes to the server (depth, chunk, ...) is parsed by the protocol's own option parser, so
 * ranges and complaints are the server's, and a new one is a row of long_options.
 */
#include "config.h"

#include "file/file_audio.h"
#include "file/file.h"
#include "file/file_pipe.h"
#include "out/out_screen.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_PROXY = 256,
    OPT_RECONNECT,
    OPT_SESSION, /* the session's own: named as on the wire, with - for _ */
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
    { "proxy", required_argument, NULL, OPT_PROXY },
    { "reconnect", required_argument, NULL, OPT_RECONNECT },
    { "depth", required_argument, NULL, OPT_SESSION },
    { "chunk-ms", required_argument, NULL, OPT_SESSION },
    { "left-ms", required_argument, NULL, OPT_SESSION },
    { "outputs", required_argument, NULL, OPT_SESSION },
    { "every", required_argument, NULL, OPT_SESSION },
    { "pool", required_argument, NULL, OPT_SESSION },
    { "program", required_argument, NULL, OPT_SESSION },
    { "model", required_argument, NULL, OPT_SESSION },
    { "precision", required_argument, NULL, OPT_SESSION },
    { "lm", required_argument, NULL, OPT_SESSION },
    { "durations", required_argument, NULL, OPT_SESSION },
    { "smooth", required_argument, NULL, OPT_SESSION },
    { "settle-ms", required_argument, NULL, OPT_SESSION },
    { "settle-silence-ms", required_argument, NULL, OPT_SESSION },
    { "tentative", required_argument, NULL, OPT_SESSION },
    { "activity-threshold", required_argument, NULL, OPT_SESSION },
    { "activity-hangover-ms", required_argument, NULL, OPT_SESSION },
    { "activity-min-ms", required_argument, NULL, OPT_SESSION },
    { "activity-max-ms", required_argument, NULL, OPT_SESSION },
    { "activity-pad-ms", required_argument, NULL, OPT_SESSION },
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
    TOOL_SERVER_OPTIONS,
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

static const char program[] = "shoal-file";

static int usage_error(const char *what, const char *detail)
{
    return tool_usage_error(program, what, detail);
}

/* One option of the session, by its name here. */
static int add_option(file_options *o, const char *option, const char *value)
{
    char name[40];

    snprintf(name, sizeof name, "%s", strcmp(option, "outputs") ? option : "output");
    for (char *p = name; *p; p++)
        *p = *p == '-' ? '_' : *p;
    return tool_take_session(program, &o->session, name, value);
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

static int take_channel(file_options *o, const char *value)
{
    o->each_channel = !strcmp(value, "each");
    o->channel = !strcmp(value, "left") ? 1 : !strcmp(value, "right") ? 2 : 0;
    if (o->each_channel || o->channel || !strcmp(value, "mix"))
        return -1;
    if (strspn(value, "0123456789") < strlen(value) || !*value)
        return usage_error("--channel takes left, right, mix, each or a number, not ", value);
    return tool_take_number(program, &o->channel, "--channel", value, 1, 1024);
}

/* What is read and how it is written. */
static int take_file_option(file_options *o, int c, char *value)
{
    switch (c) {
    case OPT_UTTERANCES: o->utterances = value; return -1;
    case OPT_PRIORS: o->priors = value; return -1;
    case OPT_LATENCY: o->latency = 1; return -1;
    case OPT_BESIDE: o->beside = 1; return -1;
    case OPT_RAW: o->raw = value; return -1;
    case OPT_RATE: return tool_take_number(program, &o->raw_rate, "--rate", value, 1000, 384000);
    case OPT_CHANNELS:
        return tool_take_number(program, &o->raw_channels, "--channels", value, 1, 1024);
    case OPT_CHANNEL: return take_channel(o, value);
    case OPT_JOBS: return tool_take_number(program, &o->jobs, "--jobs", value, 1, FILE_MAX_JOBS);
    default: return usage_error("the command line is wrong", "");
    }
}

static int take_option(file_options *o, int c, int index, char *value)
{
    if (tool_take_server(&o->server, c, value))
        return -1;
    switch (c) {
    case OPT_PROXY: o->proxy = value; return -1;
    case OPT_RECONNECT:
        return tool_take_number(program, &o->reconnect_s, "--reconnect", value, 0, 86400);
    case OPT_SESSION: return add_option(o, long_options[index].name, value);
    case OPT_REALTIME: o->realtime = 1; return -1;
    case OPT_FAST: o->realtime = 0; return -1;
    case OPT_OUTPUT: return add_writers(o, value);
    case OPT_OUT_DIR: o->out_dir = value; return -1;
    case 'q': o->quiet = 1; return -1;
    case 'h':
        fputs(value && !strcmp(value, "all") ? file_manual_all : file_manual, stdout);
        return 0;
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
    if (o->priors && o->session.smooth == SHOAL_ON)
        return usage_error(
            "--priors makes likelihoods, which are of frames by themselves: leave out "
            "--smooth on",
            "");
    if (o->latency)
        o->session.outputs |= SHOAL_OUTPUT_PHONES;
    o->session.given |= SHOAL_OPT_OUTPUT;
    return -1;
}

/* Phones that are not settled are for people who watch, and for --latency, which counts them. */
static void choose_tentative(file_options *o)
{
    int refused = (o->session.given & SHOAL_OPT_TENTATIVE) && o->session.tentative == SHOAL_OFF;

    o->live = o->realtime && o->jobs == 1 && has_writer(o, out_text_open) &&
              out_screen_is_live(STDOUT_FILENO) && !refused;
    if (!o->live && !o->latency)
        return;
    o->session.tentative = SHOAL_ON;
    o->session.given |= SHOAL_OPT_TENTATIVE;
}

static int check_input(file_options *o)
{
    int from_stdin = 0, pipes = 0;

    if (o->raw && !file_audio_is_raw_format(o->raw))
        return usage_error("--raw takes s16le, f32le, mulaw or alaw, not ", o->raw);
    if (!o->raw && (o->raw_rate || o->raw_channels))
        return usage_error("--rate and --channels describe samples without a header: add --raw",
                           "");
    if (o->beside && o->out_dir)
        return usage_error("--beside and --out-dir: choose one", "");
    if (!o->beside && !o->out_dir)
        o->out_dir = ".";
    o->raw_rate = o->raw_rate ? o->raw_rate : 16000;
    o->raw_channels = o->raw_channels ? o->raw_channels : 1;
    for (int i = 0; i < o->file_count; i++) {
        from_stdin += !strcmp(o->files[i], "-");
        pipes += file_pipe_is(o->files[i]);
    }
    if (from_stdin > 1)
        return usage_error("standard input (-) can be read only once", "");
    if ((from_stdin || pipes) && o->each_channel && !o->raw)
        return usage_error("--channel each reads the header first, which a pipe gives only once: "
                           "say --raw, or use a file",
                           "");
    if (from_stdin && isatty(STDIN_FILENO))
        return usage_error("standard input is a terminal: nothing to hear", "");
    o->batch_progress = o->jobs > 1 && !o->quiet && out_screen_is_live(STDERR_FILENO);
    return -1;
}

int file_options_parse(file_options *o, int argc, char **argv)
{
    int c, code, index = 0;

    *o = (file_options){ .session = shoal_options_default(),
                         .realtime = 1,
                         .reconnect_s = 30,
                         .jobs = 1,
                         .writers = { out_text_open },
                         .writer_count = 1 };
    tool_server_init(&o->server);
    while ((c = getopt_long(argc, argv, "qhV", long_options, &index)) != -1)
        if ((code = take_option(o, c, index, c == 'h' ? argv[optind] : optarg)) >= 0)
            return code;
    if (optind == argc)
        return usage_error("no FILE given", "");
    o->files = argv + optind;
    o->file_count = argc - optind;
    if ((code = tool_read_token(program, &o->server)) >= 0 || (code = check_input(o)) >= 0)
        return code;
    code = check_writers(o);
    choose_tentative(o);
    return code;
}

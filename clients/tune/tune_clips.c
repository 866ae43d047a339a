/* tune_clips.c - files, folders, a list with transcripts -> clips
 *
 * A folder gives the audio files in it, by name, not those of folders below. A list is a text
 * file: a path on each line, and after a TAB, if wanted, the phones that are said, ARPAbet with or
 * without stress digits: "talk.wav<TAB>HH AH0 L OW1". Paths are relative to the list's folder.
 */
#include "tune/tune.h"
#include "out/out_screen.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Those of the last two rows cannot be read, and are told. */
static const char *const suffixes[] = { ".wav",  ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff",
                                        ".aif",  ".aifc", ".au",  ".snd", ".caf",  ".w64", ".rf64",
                                        ".m4a",  ".m4b",  ".mp4", ".aac", ".wma",  ".amr", ".3gp",
                                        ".webm", ".mka",  ".mkv", ".mov", ".ac3",  ".wv",  ".ape" };

static int add(tune_clips *c, char *path)
{
    if (path && c->count == c->room) {
        int room = c->room ? 2 * c->room : 16;
        tune_clip *at = realloc(c->at, (size_t)room * sizeof *at);

        if (at) {
            c->at = at;
            c->room = room;
        }
    }
    if (!path || c->count == c->room) {
        fprintf(stderr, "shoal-tune: out of memory\n");
        free(path);
        return -1;
    }
    c->at[c->count++] = (tune_clip){ .path = path };
    return 0;
}

static char *joined(const char *folder, size_t n, const char *name)
{
    char *path = NULL;

    if (n == 0 || name[0] == '/')
        return strdup(name);
    return asprintf(&path, "%.*s/%s", (int)n, folder, name) < 0 ? NULL : path;
}

/* One file that is no sound does not spoil a folder. */
static int add_if_readable(tune_clips *c, char *path)
{
    char why[512], line[1024];

    if (!path || tune_stream_can_read(path, why, sizeof why))
        return add(c, path);
    out_screen_plain(line, sizeof line, path);
    fprintf(stderr, "shoal-tune: left out: %s: ", line);
    out_screen_plain(line, sizeof line, why);
    fprintf(stderr, "%s\n", line);
    free(path);
    return 0;
}

/* ---- folders ---- */

static int is_audio(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');

    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcasecmp(dot, suffixes[i]))
            return 1;
    return 0;
}

static int add_folder(tune_clips *c, const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, is_audio, alphasort), r = 0, before = c->count;

    for (int i = 0; i < n; i++) {
        r |= r ? 0 : add_if_readable(c, joined(path, strlen(path), names[i]->d_name));
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    if (r == 0 && c->count == before) {
        fprintf(stderr, "shoal-tune: %s: %s\n", path,
                n < 0 ? strerror(errno) : "no audio files in this folder (.wav, .flac, ...)");
        r = -1;
    }
    return r;
}

/* ---- a list ---- */

typedef int take_line(tune_clips *c, const tune_options *o, char *path, char *said, void *user);

/* Some editors begin a text with it. */
static const char bom[] = "\xef\xbb\xbf";

/* Each path of the list, with what is said or NULL. 0, or what the first that is not 0 returned. */
static int each_line(tune_clips *c, const tune_options *o, take_line *take, void *user)
{
    FILE *f = fopen(o->list, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int r = 0, first = 1;

    if (!f) {
        fprintf(stderr, "shoal-tune: %s: %s\n", o->list, strerror(errno));
        return -1;
    }
    while (r == 0 && (n = getline(&line, &room, f)) >= 0) {
        char *tab;

        while (n > 0 && isspace((unsigned char)line[n - 1]))
            line[--n] = '\0';
        char *path = line + (first && !strncmp(line, bom, strlen(bom)) ? strlen(bom) : 0);
        first = 0;
        if ((tab = strchr(path, '\t')))
            *tab = '\0';
        if (path[0] && path[0] != '#')
            r = take(c, o, path, tab ? tab + 1 : NULL, user);
    }
    free(line);
    fclose(f);
    return r;
}

static int add_listed(tune_clips *c, const tune_options *o, char *path, char *said, void *user)
{
    const char *slash = strrchr(o->list, '/');
    char *whole = joined(o->list, slash ? (size_t)(slash - o->list) : 0, path), plain[1024];

    (void)user;
    if (said || !whole || !strchr(path, ' ') || access(whole, F_OK) == 0)
        return add(c, whole);
    out_screen_plain(plain, sizeof plain, whole);
    fprintf(stderr,
            "shoal-tune: %s: there is no file %s; if phones follow the path, put a TAB between "
            "them, not a blank\n",
            o->list, plain);
    free(whole);
    return -1;
}

/* "AH0" is AH. */
static int label_of(const tune_model *m, char *word)
{
    size_t n = strlen(word);

    while (n > 1 && isdigit((unsigned char)word[n - 1]))
        word[--n] = '\0';
    return tune_model_label(m, word);
}

typedef struct listing {
    const tune_model *model;
    int next; /* clip of the line */
} listing;

static int add_said(tune_clips *c, const tune_options *o, char *path, char *said, void *user)
{
    listing *l = user;
    tune_clip *clip = &c->at[l->next++];
    char *rest;

    if (!said)
        return 0;
    clip->has_said = 1;
    for (char *word = strtok_r(said, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        int label = label_of(l->model, word);

        if (label < 0) {
            fprintf(stderr,
                    "shoal-tune: %s: %s: the model has no phone \"%s\"; its phones are those of "
                    "/v1/model (ARPAbet: AA AE ... ZH)\n",
                    o->list, path, word);
            return -1;
        }
        if (label > 0 && tune_labels_add(&clip->said, label) < 0) /* 0 is silence */
            return -1;
    }
    return 0;
}

/* ---- all ---- */

int tune_clips_find(tune_clips *c, const tune_options *o)
{
    struct stat st;
    int r = o->list ? each_line(c, o, add_listed, NULL) : 0;

    for (int i = 0; i < o->path_count && r == 0; i++) {
        if (stat(o->paths[i], &st) < 0) {
            fprintf(stderr, "shoal-tune: %s: %s\n", o->paths[i], strerror(errno));
            return -1;
        }
        r = S_ISDIR(st.st_mode) ? add_folder(c, o->paths[i]) : add(c, strdup(o->paths[i]));
    }
    return r;
}

int tune_clips_transcribe(tune_clips *c, const tune_options *o, const tune_model *model)
{
    listing l = { .model = model };

    return o->list ? each_line(c, o, add_said, &l) : 0;
}

void tune_clips_free(tune_clips *c)
{
    for (int i = 0; i < c->count; i++) {
        free(c->at[i].path);
        free(c->at[i].said.at);
    }
    free(c->at);
}

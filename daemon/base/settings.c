/* settings.c - one table of keys; the file parser and the reload walk along it */
#include "base/settings.h"

#include "base/lines.h"
#include "base/log.h"
#include "shoal-protocol.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    KEY_INT,
    KEY_PATH,
    KEY_LEVEL,
    KEY_WORD,
    KEY_LISTEN,
    KEY_MODEL,
    KEY_TRUST, /* this and the next two are lists */
    KEY_ORIGINS,
    KEY_HOSTS
} key_type;

typedef struct settings_key {
    const char *name;
    key_type type;
    size_t offset; /* of its field in shoald_settings */
    int initial;   /* KEY_INT, KEY_LEVEL, KEY_WORD */
    int min, max;  /* KEY_INT */
    bool reloadable;
    const char *const *words; /* KEY_WORD: the value is the index of one of these */
} settings_key;

enum { LIST_LENGTH = SHOALD_TRUST_LENGTH };
_Static_assert((int)SHOALD_SITES_LENGTH == LIST_LENGTH, "all lists have the same room");

#define FIELD(name) offsetof(shoald_settings, name)

static const char *const switch_words[] = { "off", "on", NULL };
/* indices: shoal_backend, shoal_precision, shoal_cache */
static const char *const backend_words[] = { "auto", "openblas", "onednn", "amx", "own", NULL };
static const char *const precision_words[] = { "fp32", "bf16", "int8", "auto", NULL };
static const char *const cache_words[] = { "auto", "fp32", "bf16", "fp16", "int8", NULL };

static const settings_key keys[] = {
    { "listen", KEY_LISTEN, FIELD(listen), 0, 0, 0, false, NULL },
    { "insecure_listen", KEY_WORD, FIELD(insecure_listen), 0, 0, 0, false, switch_words },
    { "model", KEY_MODEL, FIELD(models), 0, 0, 0, true, NULL },
    { "backend", KEY_WORD, FIELD(backend), 0, 0, 0, false, backend_words },
    { "precision", KEY_WORD, FIELD(precision), 0, 0, 0, false, precision_words },
    { "cache", KEY_WORD, FIELD(cache), 0, 0, 0, false, cache_words },
    { "workers", KEY_INT, FIELD(workers), 0, 0, 256, false, NULL },
    { "log_level", KEY_LEVEL, FIELD(log_level), SHOALD_LOG_INFO, 0, 0, true, NULL },
    { "max_sessions", KEY_INT, FIELD(max_sessions), 1000, 1, 100000, false, NULL },
    { "max_sessions_per_ip", KEY_INT, FIELD(max_sessions_per_ip), 0, 0, 100000, true, NULL },
    { "max_http_connections", KEY_INT, FIELD(max_http_connections), 128, 8, 100000, true, NULL },
    { "max_http_connections_per_ip", KEY_INT, FIELD(max_http_connections_per_ip), 32, 0, 100000,
      true, NULL },
    { "proxy_from", KEY_TRUST, FIELD(proxy_from), 0, 0, 0, false, NULL },
    { "tokens", KEY_PATH, FIELD(tokens), 0, 0, 0, true, NULL },
    { "origins", KEY_ORIGINS, FIELD(origins), 0, 0, 0, true, NULL },
    { "hosts", KEY_HOSTS, FIELD(hosts), 0, 0, 0, true, NULL },
    { "max_uploads", KEY_INT, FIELD(max_uploads), 64, 0, 10000, true, NULL },
    { "upload_percent_per_ip", KEY_INT, FIELD(upload_percent_per_ip), 75, 1, 100, true, NULL },
    { "max_message_bytes", KEY_INT, FIELD(max_message_bytes), SHOAL_MAX_AUDIO_BYTES, 1024, 16 << 20,
      true, NULL },
    { "backlog_ms", KEY_INT, FIELD(backlog_ms), SHOAL_DEFAULT_MAX_BACKLOG_MS, 100, 60000, true,
      NULL },
    { "output_buffer_bytes", KEY_INT, FIELD(output_buffer_bytes), 128 << 10, 16 << 10, 64 << 20,
      true, NULL },
    { "park_ms", KEY_INT, FIELD(park_ms), 30000, 0, 600000, true, NULL },
    { "park_sessions", KEY_INT, FIELD(park_sessions), 256, 0, 100000, true, NULL },
    { "park_bytes", KEY_INT, FIELD(park_bytes), 256 << 20, 1 << 20, 2000000000, true, NULL },
    { "park_percent_per_ip", KEY_INT, FIELD(park_percent_per_ip), 25, 1, 100, true, NULL },
    { "park_keep_bytes", KEY_INT, FIELD(park_keep_bytes), 256 << 10, 8 << 10, 64 << 20, true,
      NULL },
    { "batch_frames", KEY_INT, FIELD(batch_frames), 512, 128, 8192, false, NULL },
    { "default_depth", KEY_INT, FIELD(default_depth), 0, 0, SHOAL_MAX_DEPTH, true, NULL },
    { "elastic", KEY_WORD, FIELD(elastic), 1, 0, 0, true, switch_words },
    { "elastic_high_percent", KEY_INT, FIELD(elastic_high_percent), 85, 1, 1000, true, NULL },
    { "elastic_low_percent", KEY_INT, FIELD(elastic_low_percent), 75, 1, 1000, true, NULL },
    { "admission", KEY_WORD, FIELD(admission), 1, 0, 0, true, switch_words },
    { "admission_percent", KEY_INT, FIELD(admission_percent), 95, 1, 1000, true, NULL },
    { "capacity", KEY_INT, FIELD(capacity), 0, 0, 100000, true, NULL },
    { "late_limit_ms", KEY_INT, FIELD(late_limit_ms), 4000, 0, 600000, true, NULL },
    { "rebalance_percent", KEY_INT, FIELD(rebalance_percent), 10, 0, 1000, true, NULL },
    { "handshake_timeout_s", KEY_INT, FIELD(handshake_timeout_s), 10, 1, 600, true, NULL },
    { "start_timeout_s", KEY_INT, FIELD(start_timeout_s), SHOAL_DEFAULT_START_TIMEOUT_S, 1, 3600,
      true, NULL },
    { "idle_timeout_s", KEY_INT, FIELD(idle_timeout_s), SHOAL_DEFAULT_IDLE_TIMEOUT_S, 0, 86400,
      true, NULL },
    { "ping_interval_s", KEY_INT, FIELD(ping_interval_s), 20, 0, 3600, true, NULL },
    { "slow_reader_timeout_s", KEY_INT, FIELD(slow_reader_timeout_s), 15, 1, 3600, true, NULL },
    { "drain_timeout_s", KEY_INT, FIELD(drain_timeout_s), 20, 0, 3600, true, NULL },
    { "stall_timeout_s", KEY_INT, FIELD(stall_timeout_s), 10, 1, 600, true, NULL },
    { "retry_after_s", KEY_INT, FIELD(retry_after_s), 5, 1, 3600, true, NULL },
};

#define KEY_COUNT (sizeof keys / sizeof keys[0])

static void *field(shoald_settings *c, const settings_key *k)
{
    return (char *)c + k->offset;
}

void shoald_settings_default(shoald_settings *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].type == KEY_INT || keys[i].type == KEY_LEVEL || keys[i].type == KEY_WORD)
            *(int *)field(c, &keys[i]) = keys[i].initial;
    snprintf(c->listen[0], sizeof c->listen[0], "127.0.0.1:%d", SHOAL_DEFAULT_PORT);
    c->listen_count = 1;
    c->model_count = 1;
}

size_t shoald_settings_descriptors(const shoald_settings *c)
{
    enum { OWN = 64 };
    return (size_t)c->max_sessions + 2 * (size_t)c->max_http_connections +
           3 * (size_t)c->max_uploads + OWN;
}

/* ---- one setting --------------------------------------------------------------------- */

static int edit_distance(const char *a, const char *b)
{
    int row[64];
    size_t n = strlen(b) < 63 ? strlen(b) : 63;
    for (size_t j = 0; j <= n; j++)
        row[j] = (int)j;
    for (size_t i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = (int)i + 1;
        for (size_t j = 1; j <= n; j++) {
            int best = diagonal + (a[i] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

/* What is only begun is nearer than what has a slip. NULL: none is like it. */
static const char *nearest_key(const char *name)
{
    const char *nearest = NULL;
    size_t n = strlen(name);
    int least = 1 + (int)n / 2;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        bool begun = n > 2 && strncmp(name, keys[i].name, n) == 0;
        int distance = begun ? 0 : edit_distance(name, keys[i].name);
        if (distance < least) {
            least = distance;
            nearest = keys[i].name;
        }
    }
    return nearest;
}

static const settings_key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static int set_int(const settings_key *k, int *to, const char *value, char *why, size_t why_size)
{
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (errno || end == value || *end || n < k->min || n > k->max) {
        snprintf(why, why_size, "%s: \"%s\" is not a whole number from %d to %d", k->name, value,
                 k->min, k->max);
        return -1;
    }
    *to = (int)n;
    return 0;
}

static int set_level(int *to, const char *value, char *why, size_t why_size)
{
    int level = shoald_log_level_from_name(value);
    if (level < 0) {
        snprintf(why, why_size,
                 "log_level: \"%s\" is unknown, use error, warning, notice, info or debug", value);
        return -1;
    }
    *to = level;
    return 0;
}

static int set_word(const settings_key *k, int *to, const char *value, char *why, size_t why_size)
{
    size_t n = 0;
    for (int i = 0; k->words[i]; i++)
        if (strcmp(k->words[i], value) == 0) {
            *to = i;
            return 0;
        }
    n += (size_t)snprintf(why, why_size, "%s: \"%.40s\" is unknown, use", k->name, value);
    for (int i = 0; k->words[i] && n < why_size; i++)
        n += (size_t)snprintf(why + n, why_size - n, "%s%s", i ? ", " : " ", k->words[i]);
    return -1;
}

static int set_path(const settings_key *k, char *to, const char *value, char *why, size_t why_size)
{
    if (strlen(value) >= PATH_MAX) {
        snprintf(why, why_size, "%s: the path is longer than %d bytes", k->name, PATH_MAX - 1);
        return -1;
    }
    strcpy(to, value);
    return 0;
}

static bool is_list(const settings_key *k)
{
    return k->type == KEY_TRUST || k->type == KEY_ORIGINS || k->type == KEY_HOSTS;
}

static int check_list(const settings_key *k, const char *value, char *why, size_t why_size)
{
    return k->type == KEY_TRUST     ? shoald_trust_check(value, why, why_size)
           : k->type == KEY_ORIGINS ? shoald_sites_check_origins(value, why, why_size)
                                    : shoald_sites_check_hosts(value, why, why_size);
}

static int set_list(const settings_key *k, char *to, const char *value, char *why, size_t why_size)
{
    char cause[160];
    if (strlen(value) >= LIST_LENGTH)
        snprintf(cause, sizeof cause, "the list is longer than %d bytes", LIST_LENGTH - 1);
    else if (check_list(k, value, cause, sizeof cause) == 0) {
        strcpy(to, value);
        return 0;
    }
    snprintf(why, why_size, "%s: %s", k->name, cause);
    return -1;
}

static int add_listen(shoald_settings *c, const char *value, shoald_source source, char *why,
                      size_t why_size)
{
    if (c->listen_source != source)
        c->listen_count = 0;
    c->listen_source = source;
    if (c->listen_count == SHOALD_MAX_LISTEN || strlen(value) >= SHOALD_LISTEN_LENGTH) {
        snprintf(why, why_size, "listen: at most %d addresses of %d bytes", SHOALD_MAX_LISTEN,
                 SHOALD_LISTEN_LENGTH - 1);
        return -1;
    }
    strcpy(c->listen[c->listen_count++], value);
    return 0;
}

/* "FILE", or "NAME=FILE" where what comes before the first '=' can be a name. */
static int read_model(shoald_model_file *m, const char *value, char *why, size_t why_size)
{
    const char *equals = strchr(value, '='), *path = value;
    char name[SHOAL_MAX_MODEL_NAME + 2];
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - value) : 0, value);
    *m = (shoald_model_file){ .name = "" };
    if (equals && (size_t)(equals - value) < sizeof name && shoal_model_name_allowed(name)) {
        strcpy(m->name, name);
        path = equals + 1;
    }
    if (strlen(path) >= sizeof m->path) {
        snprintf(why, why_size, "model: the path is longer than %d bytes", PATH_MAX - 1);
        return -1;
    }
    strcpy(m->path, path);
    return 0;
}

static shoald_model_file *model_named(shoald_settings *c, const char *name)
{
    for (int i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, name) == 0)
            return &c->models[i];
    return NULL;
}

/* A file without a name takes the place of the one said before, as any setting does. */
static int add_model(shoald_settings *c, const char *value, shoald_source source, char *why,
                     size_t why_size)
{
    shoald_model_file m;
    if (c->model_source != source)
        c->model_count = 0;
    c->model_source = source;
    if (read_model(&m, value, why, why_size) < 0)
        return -1;
    shoald_model_file *same = model_named(c, m.name);
    if (same && *m.name) {
        snprintf(why, why_size, "model: %s is named twice", m.name);
        return -1;
    }
    if (!same && c->model_count == SHOALD_MAX_MODELS) {
        snprintf(why, why_size, "model: at most %d of them", SHOALD_MAX_MODELS);
        return -1;
    }
    *(same ? same : &c->models[c->model_count++]) = m;
    return 0;
}

int shoald_settings_set(shoald_settings *c, const char *key, const char *value,
                        shoald_source source, char *why, size_t why_size)
{
    const settings_key *k = find_key(key);
    if (!k) {
        const char *nearest = nearest_key(key);
        if (nearest)
            snprintf(why, why_size, "unknown key \"%.40s\", did you mean \"%s\"?", key, nearest);
        else
            snprintf(why, why_size, "unknown key \"%.40s\": shoald.conf lists all there are", key);
        return -1;
    }
    switch (k->type) {
    case KEY_INT: return set_int(k, field(c, k), value, why, why_size);
    case KEY_LEVEL: return set_level(field(c, k), value, why, why_size);
    case KEY_WORD: return set_word(k, field(c, k), value, why, why_size);
    case KEY_TRUST:
    case KEY_ORIGINS:
    case KEY_HOSTS: return set_list(k, field(c, k), value, why, why_size);
    case KEY_PATH: return set_path(k, field(c, k), value, why, why_size);
    case KEY_LISTEN: return add_listen(c, value, source, why, why_size);
    case KEY_MODEL: return add_model(c, value, source, why, why_size);
    }
    return -1;
}

/* ---- the file ------------------------------------------------------------------------ */

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    char *end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return s;
}

/* What other programs' files allow, and people write. Taken for a part of the value it would make
 * for a strange address or path. */
static bool is_plain(const char *value, char *why, size_t why_size)
{
    const char *comment = strstr(value, " #") ? strstr(value, " #") : strstr(value, "\t#");
    if (*value == '"' || *value == '\'')
        snprintf(why, why_size, "%.40s: leave the quotes out, a value is all up to the line's end",
                 value);
    else if (comment)
        snprintf(why, why_size,
                 "%.40s: put the comment into a line of its own, a value is all up "
                 "to the line's end",
                 comment + 1);
    else
        return true;
    return false;
}

static int read_line(shoald_settings *c, char *line, char *why, size_t why_size)
{
    char *text = trim(line);
    if (*text == '\0' || *text == '#')
        return 0;
    char *equals = strchr(text, '=');
    if (!equals) {
        snprintf(why, why_size, "\"%.40s\" is not of the form key = value", text);
        return -1;
    }
    *equals = '\0';
    const char *value = trim(equals + 1);
    if (!is_plain(value, why, why_size))
        return -1;
    return shoald_settings_set(c, trim(text), value, SHOALD_FROM_FILE, why, why_size);
}

int shoald_settings_read(shoald_settings *c, const char *path, char *why, size_t why_size)
{
    char line[PATH_MAX + 128], cause[320];
    FILE *f = shoald_lines_open(path, cause, sizeof cause);
    if (!f) {
        snprintf(why, why_size, "%s: %s: name a readable file with --config", path, cause);
        return -1;
    }
    int number = 0, result, found;
    do {
        result = found = shoald_lines_next(f, &number, line, sizeof line, cause, sizeof cause);
        if (found > 0)
            result = read_line(c, line, cause, sizeof cause);
    } while (found > 0 && result == 0);
    int broken = ferror(f) ? errno : 0; /* a directory can be opened, but not read */
    fclose(f);
    if (broken && result == 0) {
        snprintf(why, why_size, "%s: %s: name a readable file with --config", path,
                 strerror(broken));
        return -1;
    }
    if (result < 0)
        snprintf(why, why_size, "%s, line %d: %s", path, number, cause);
    return result;
}

/* ---- reload -------------------------------------------------------------------------- */

static size_t size_of(const settings_key *k)
{
    return k->type == KEY_PATH    ? PATH_MAX
           : k->type == KEY_MODEL ? sizeof((shoald_settings *)0)->models
           : is_list(k)           ? LIST_LENGTH
                                  : sizeof(int);
}

static bool same(const shoald_settings *a, const shoald_settings *b, const settings_key *k)
{
    const char *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
    if (k->type == KEY_PATH || is_list(k))
        return strcmp(x, y) == 0;
    if (k->type == KEY_LISTEN)
        return a->listen_count == b->listen_count && memcmp(x, y, sizeof a->listen) == 0;
    if (k->type == KEY_MODEL)
        return a->model_count == b->model_count && memcmp(x, y, sizeof a->models) == 0;
    return *(const int *)x == *(const int *)y;
}

void shoald_settings_reload(shoald_settings *c, const shoald_settings *fresh, char *pending,
                            size_t pending_size)
{
    size_t n = 0;
    *pending = '\0';
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const settings_key *k = &keys[i];
        if (same(c, fresh, k))
            continue;
        if (k->type == KEY_MODEL)
            c->model_count = fresh->model_count;
        if (k->reloadable)
            memcpy(field(c, k), (const char *)fresh + k->offset, size_of(k));
        else if (n < pending_size)
            n += (size_t)snprintf(pending + n, pending_size - n, "%s%s", n ? "," : "", k->name);
    }
}

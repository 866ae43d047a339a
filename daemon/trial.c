/* trial.c - see trial.h */
#include "trial.h"

#include "base/process.h"
#include "base/models.h"
#include "base/tokens.h"
#include "net/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int shoald_trial_compare_addresses(const shoald_settings *c, char *why, size_t why_size)
{
    for (int i = 0; i < c->listen_count; i++)
        for (int j = 0; j < i; j++)
            if (shoald_listen_compare(c->listen[j], c->listen[i], why, why_size) < 0)
                return -1;
    return 0;
}

static int check_addresses(const shoald_settings *c, char *why, size_t why_size)
{
    for (int i = 0; i < c->listen_count; i++)
        if (shoald_listen_check(c->listen[i], c->insecure_listen, why, why_size) < 0)
            return -1;
    return shoald_trial_compare_addresses(c, why, why_size);
}

static int check_tokens(const shoald_settings *c, char *why, size_t why_size)
{
    shoald_tokens tokens;
    if (shoald_tokens_read(&tokens, c->tokens, why, why_size) < 0)
        return -1;
    shoald_tokens_free(&tokens);
    return 0;
}

static int check_models(const shoald_settings *c, char *why, size_t why_size)
{
    static shoald_models models; /* large */
    if (shoald_models_open(&models, c, NULL, NULL, why, why_size) < 0)
        return -1;
    shoald_models_close(&models);
    return 0;
}

static int check_ready_file(const char *path, char *why, size_t why_size)
{
    if (!path || shoald_process_try_file(path) == 0)
        return 0;
    snprintf(why, why_size, "cannot write --ready-file %.200s: %s", path, strerror(errno));
    return -1;
}

int shoald_trial_run(const shoald_options *o, const shoald_settings *c, char *why, size_t why_size)
{
    size_t descriptors = shoald_settings_descriptors(c);
    if (shoald_process_want_descriptors(descriptors, why, why_size) < 0 ||
        check_tokens(c, why, why_size) < 0 || check_addresses(c, why, why_size) < 0 ||
        check_models(c, why, why_size) < 0)
        return -1;
    return check_ready_file(o->ready_file, why, why_size);
}

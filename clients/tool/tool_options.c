/* tool_options.c - see tool_options.h */
#include "tool/tool_options.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_url.h"

void tool_server_init(tool_server *s)
{
    *s = (tool_server){ .url = shoal_client_default_url() };
}

int tool_take_server(tool_server *s, int option, const char *value)
{
    switch (option) {
    case TOOL_URL: s->url = value; return 1;
    case TOOL_TOKEN_FILE: s->token_file = value; return 1;
    case TOOL_CA_FILE: s->tls.ca = value; return 1;
    case TOOL_CERT: s->tls.cert = value; return 1;
    case TOOL_KEY: s->tls.key = value; return 1;
    default: return 0;
    }
}

int tool_read_token(const char *program, tool_server *s)
{
    char why[512];

    if (shoal_client_read_token(s->token, sizeof s->token, s->token_file, why, sizeof why) == 0)
        return -1;
    return tool_usage_error(program, "no token: ", why);
}

int tool_check_server(const char *program, const tool_server *s, const char *proxy)
{
    char why[512];

    if (shoal__where_check(s->url, proxy, why, sizeof why) == 0)
        return -1;
    return tool_usage_error(program, "", why);
}

int tool_take_number(const char *program, int *to, const char *name, const char *value, int least,
                     int most)
{
    char what[160], *end;
    long n = strtol(value, &end, 10);

    if (end != value && !*end && n >= least && n <= most) {
        *to = (int)n;
        return -1;
    }
    snprintf(what, sizeof what, "%s takes a whole number from %d to %d, not ", name, least, most);
    return tool_usage_error(program, what, value);
}

int tool_take_session(const char *program, shoal_options *o, const char *name, const char *value)
{
    shoal_error err;

    if (shoal_options_add(o, name, strlen(name), value, strlen(value), &err) == 0)
        return -1;
    return tool_usage_error(program, "", err.message);
}

int tool_usage_error(const char *program, const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s%s; %s --help tells more\n", program, what, detail, program);
    return TOOL_EXIT_USAGE;
}

void tool_catch_signals(void (*handler)(int number))
{
    struct sigaction a = { .sa_handler = handler };

    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

/* tool_options.h - what the command lines of all our programs have in common
 *
 * Where the server is and who asks; numbers, options of the session, complaints. `program` is the
 * name for people. What takes something returns -1 to go on, or the exit code after a complaint.
 */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include "lib/client_tls.h"
#include "shoal-client.h"

enum { TOOL_EXIT_USAGE = 2 };

typedef struct tool_server {
    const char *url;
    const char *token_file; /* NULL: none */
    shoal__tls_files tls;
    char token[SHOAL_CLIENT_TOKEN_SIZE]; /* "": none */
} tool_server;

/* Rows of a table for getopt_long: values from 1000 on are ours. */
enum { TOOL_URL = 1000, TOOL_TOKEN_FILE, TOOL_CA_FILE, TOOL_CERT, TOOL_KEY };
#define TOOL_ROW(name, value)                                                                      \
    {                                                                                              \
        name, required_argument, NULL, value                                                       \
    }
#define TOOL_SERVER_OPTIONS                                                                        \
    TOOL_ROW("url", TOOL_URL), TOOL_ROW("token-file", TOOL_TOKEN_FILE),                            \
        TOOL_ROW("ca-file", TOOL_CA_FILE), TOOL_ROW("cert", TOOL_CERT), TOOL_ROW("key", TOOL_KEY)

/* The server of SHOAL_URL, or the usual one. */
void tool_server_init(tool_server *s);
/* 1: the option was one of TOOL_SERVER_OPTIONS. value is kept. */
int tool_take_server(tool_server *s, int option, const char *value);
/* After the last option: the token, of its file or of SHOAL_TOKEN. */
int tool_read_token(const char *program, tool_server *s);
/* Are its URL and the proxy's (NULL: none) addresses at all? */
int tool_check_server(const char *program, const tool_server *s, const char *proxy);

int tool_take_number(const char *program, int *to, const char *name, const char *value, int least,
                     int most);
/* One option of the session, by its name on the wire. */
int tool_take_session(const char *program, shoal_options *o, const char *name, const char *value);
/* Returns TOOL_EXIT_USAGE. */
int tool_usage_error(const char *program, const char *what, const char *detail);

/* SIGINT and SIGTERM. */
void tool_catch_signals(void (*handler)(int number));

#endif

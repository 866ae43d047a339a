/* tool_paths.h - where results go, looked at before there are any
 *
 * Who has spoken or measured for an hour shall not learn then that there is no such folder. Both
 * return -1 to go on, or the exit code after a complaint, which names the option. NULL: none given.
 */
#ifndef TOOL_PATHS_H
#define TOOL_PATHS_H

enum { TOOL_EXIT_FAILED = 1 };

/* A folder that is not there is made, with those above it. */
int tool_make_folder(const char *program, const char *option, const char *path);
/* Could a file be written there? "-" is standard output. Nothing is made, nothing written over. */
int tool_check_file(const char *program, const char *option, const char *path);

#endif

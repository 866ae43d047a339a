/* shoal_file.h - running the program shoal-file: a folder of its own, files in it, what it prints
 */
#ifndef SHOAL_FILE_UTIL_H
#define SHOAL_FILE_UTIL_H

#include "integration.h"

enum { SECOND = 16000, ROOM = 1 << 20 };

/* The folder of a test, and what the last program printed. */
extern char dir[64], out[ROOM], err[ROOM];

/* Fixture */
void make_dir(void);
void remove_dir(void);

/* A path in dir; good until four calls later. */
const char *in_dir(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* samples of each channel, s16, the same in all. */
void write_wav(const char *path, size_t samples, unsigned rate, unsigned channels);
size_t read_bytes(const char *path, void *bytes, size_t room);
/* Frames of an NPY file of [frames, dim] float32; the file is checked against them. */
long check_npy(const char *path, int dim);

/* shoal-file with the shared daemon, --fast and --out-dir; the rest is given, ended by NULL. */
int shoal_file(const char *first, ...);
#define RUN(...) ck_assert_msg(shoal_file(__VA_ARGS__, NULL) == 0, "%s", err)
/* Through the shell, in dir: redirections and signals. $P is the program with url and --out-dir, to
 * be used as `eval $P ...`. */
int shell(const char *command);
int shell_with(int port, const char *command);

#endif

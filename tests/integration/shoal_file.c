/* shoal_file.c - running the program shoal-file: see shoal_file.h */
#include "shoal_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char dir[64], out[ROOM], err[ROOM];

void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/shoal-test.XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
}

void remove_dir(void)
{
    const char *argv[] = { "/bin/rm", "-r", dir, NULL };

    ck_assert_int_eq(run_program(argv, out, ROOM, err, ROOM), 0);
}

const char *in_dir(const char *fmt, ...)
{
    static char paths[4][128];
    static int turn;
    char *path = paths[turn++ % 4];
    int n = snprintf(path, sizeof paths[0], "%s/", dir);
    va_list args;

    va_start(args, fmt);
    vsnprintf(path + n, sizeof paths[0] - (size_t)n, fmt, args);
    va_end(args);
    return path;
}

void write_wav(const char *path, size_t samples, unsigned rate, unsigned channels)
{
    int16_t *audio = make_audio(samples, 40);
    uint32_t bytes = (uint32_t)(samples * channels * 2);
    uint32_t words[] = {
        36 + bytes, 16, 1 | channels << 16, rate, rate * channels * 2, channels * 2 | 16u << 16,
        bytes
    };
    FILE *f = fopen(path, "wb");

    ck_assert(f != NULL);
    fwrite("RIFF", 4, 1, f);
    fwrite(&words[0], 4, 1, f);
    fwrite("WAVEfmt ", 8, 1, f);
    fwrite(&words[1], 4, 5, f);
    fwrite("data", 4, 1, f);
    fwrite(&words[6], 4, 1, f);
    for (size_t i = 0; i < samples; i++)
        for (unsigned k = 0; k < channels; k++)
            fwrite(&audio[i], 2, 1, f);
    ck_assert(!fclose(f));
    free(audio);
}

int shoal_file(const char *first, ...)
{
    char url[64];
    const char *argv[24] = { shoal_file_path(), "--url", url, "--fast", "--out-dir", dir };
    int n = 6;
    va_list args;

    snprintf(url, sizeof url, "ws://127.0.0.1:%d", shared.port);
    va_start(args, first);
    for (const char *a = first; a && n < 23; a = va_arg(args, const char *))
        argv[n++] = a;
    va_end(args);
    return run_program(argv, out, ROOM, err, ROOM);
}

size_t read_bytes(const char *path, void *bytes, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    ck_assert_msg(f != NULL, "no %s", path);
    n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

long check_npy(const char *path, int dim)
{
    static char bytes[ROOM];
    size_t n = read_bytes(path, bytes, sizeof bytes);
    long frames = -1;
    int found_dim = 0;

    ck_assert_uint_ge(n, 128);
    ck_assert(!memcmp(bytes, "\x93NUMPY\x01\x00\x76\x00", 10));
    ck_assert_int_eq(bytes[127], '\n');
    ck_assert_int_eq(sscanf(bytes + 10,
                            "{'descr': '<f4', 'fortran_order': False, 'shape': "
                            "(%ld, %d), }",
                            &frames, &found_dim),
                     2);
    ck_assert_int_eq(found_dim, dim);
    ck_assert_uint_eq(n, 128 + (size_t)frames * (size_t)dim * 4);
    return frames;
}

int shell_with(int port, const char *command)
{
    char line[1024], program[512];
    const char *argv[] = { "/bin/sh", "-c", line, NULL };

    snprintf(program, sizeof program, "'%s' --url ws://127.0.0.1:%d --out-dir %s",
             shoal_file_path(), port, dir);
    snprintf(line, sizeof line, "cd %s && P=\"%s\" && %s", dir, program, command);
    return run_program(argv, out, ROOM, err, ROOM);
}

int shell(const char *command)
{
    return shell_with(shared.port, command);
}

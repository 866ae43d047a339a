/* post.c - see post.h */
#include "post.h"

#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* s16 mono in that format of libsndfile. */
bytes post_make_file(int format, int rate, const int16_t *audio, size_t samples)
{
    char path[] = "/tmp/shoal-test-post.XXXXXX";
    SF_INFO info = { .samplerate = rate, .channels = 1, .format = format };
    SNDFILE *f;
    bytes b = { 0 };
    int fd = mkstemp(path);

    ck_assert(fd >= 0 && (f = sf_open(path, SFM_WRITE, &info)));
    ck_assert_int_eq(sf_writef_short(f, audio, (sf_count_t)samples), (sf_count_t)samples);
    sf_close(f);
    b.size = (size_t)lseek(fd, 0, SEEK_END);
    b.at = malloc(b.size);
    ck_assert_int_eq(pread(fd, b.at, b.size, 0), (ssize_t)b.size);
    close(fd);
    unlink(path);
    return b;
}

bytes post_make_wav(size_t samples)
{
    int16_t *audio = make_audio(samples, 50);
    bytes b = post_make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, SECOND, audio, samples);

    free(audio);
    return b;
}

/* The last message of an answer of lines. */
shoal_server_msg *post_last(const http_answer *a)
{
    static shoal_server_msg m;
    shoal_error err;
    const char *end = a->body + a->size - 1, *line = end;

    ck_assert_msg(a->size > 1 && *end == '\n', "%s%s", a->head, a->body);
    while (line > a->body && line[-1] != '\n')
        line--;
    ck_assert_msg(shoal_server_msg_decode(&m, line, (size_t)(end - line), &err) == 0, "%s: %s",
                  err.message, line);
    return &m;
}

void post_expect_done(const http_answer *a, size_t samples)
{
    ck_assert_msg(a->status == 200 && a->whole, "%s%s", a->head, a->body);
    ck_assert_int_eq(strncmp(a->body, "{\"type\":\"ready\"", 15), 0);
    const shoal_server_msg *m = post_last(a);
    ck_assert_int_eq(m->type, SHOAL_MSG_DONE);
    ck_assert_uint_eq(m->u.done.received, samples);
    ck_assert_uint_eq(m->u.done.processed, samples);
}

void post_expect_refusal(const http_answer *a, int status, const char *code, const char *remedy)
{
    char member[64];

    snprintf(member, sizeof member, "\"code\":\"%s\"", code);
    ck_assert_msg(a->status == status && a->whole && strstr(a->body, member) &&
                      strstr(a->body, remedy),
                  "not %d %s with '%s' but\n%s%s", status, code, remedy, a->head, a->body);
}

/* post.h - what the tests of POST share: files to send, answers to look at */
#ifndef POST_UTIL_H
#define POST_UTIL_H

#include "http.h"
#include "integration.h"

enum { SECOND = 16000 };

#define PACKETS "Accept: application/octet-stream\r\n"
#define NPY     "Accept: application/x-npy\r\n"
#define RAW     "?format=s16le&rate=16000&depth=2"

typedef struct bytes {
    char *at; /* free() */
    size_t size;
} bytes;

/* s16 mono in that format of libsndfile. */
bytes post_make_file(int format, int rate, const int16_t *audio, size_t samples);
bytes post_make_wav(size_t samples); /* at 16 kHz; 44 bytes, and the samples */

/* The last message of an answer of lines; good until the next call. */
shoal_server_msg *post_last(const http_answer *a);
/* Fail the test unless all that many samples were answered; unless it was refused so. */
void post_expect_done(const http_answer *a, size_t samples);
void post_expect_refusal(const http_answer *a, int status, const char *code, const char *remedy);

#endif

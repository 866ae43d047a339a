/* leap.c - see leap.h */
#include "net/leap.h"

#include <string.h>

enum {
    ID3_HEADER = 10,
    CHUNK_NAME = 4,
    LONGEST_CHUNK_HEAD = 32, /* name, size and what libsndfile reads with them */
    MOST_LEAP = 64 << 20
};

/* 0: there is none. */
static int64_t end_of_id3(const unsigned char *head)
{
    int64_t size = 0;
    for (int i = 6; i < ID3_HEADER; i++)
        size = size << 7 | (head[i] & 0x7f);
    return memcmp(head, "ID3", 3) == 0 ? ID3_HEADER + size : 0;
}

static bool is_one_of(const unsigned char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(name, names[i], CHUNK_NAME) == 0)
            return true;
    return false;
}

static bool is_of_chunks(const unsigned char *head)
{
    static const char *const kinds[] = { "RIFF", "RIFX", "RF64", "riff", "FORM", "caff" };
    return is_one_of(head, kinds, sizeof kinds / sizeof kinds[0]);
}

static bool is_at_sound(const shoald_leap *l)
{
    static const char *const names[] = { "data", "SSND", "BODY" };
    for (size_t i = CHUNK_NAME; i <= l->last_size && i <= LONGEST_CHUNK_HEAD; i++)
        if (is_one_of(l->last + l->last_size - i, names, sizeof names / sizeof names[0]))
            return true;
    return false;
}

bool shoald_leap_is_beside_sound(const shoald_leap *l)
{
    if (l->from < ID3_HEADER || l->to - l->from > MOST_LEAP)
        return false;
    return l->to <= end_of_id3(l->head) || (is_of_chunks(l->head) && !is_at_sound(l));
}

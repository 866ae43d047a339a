/* seen.c - see seen.h */
#include "net/seen.h"

#include <string.h>

void shoald_seen_keep(shoald_seen *s, const unsigned char *bytes, size_t n)
{
    if (s->got < SHOALD_SEEN_HEAD_BYTES) {
        size_t room = (size_t)(SHOALD_SEEN_HEAD_BYTES - s->got);
        memcpy(s->head + s->got, bytes, n < room ? n : room);
    }
    shoal_tail_keep(&s->tail, bytes, n);
    shoal_ogg_look(&s->pages, bytes, n);
    s->got += (sf_count_t)n;
}

size_t shoald_seen_head(const shoald_seen *s)
{
    return (size_t)(s->got < SHOALD_SEEN_HEAD_BYTES ? s->got : SHOALD_SEEN_HEAD_BYTES);
}

/* An Ogg file does not say how long it is, but has an end; others say it in bytes. */
bool shoald_seen_has_no_end(const shoald_seen *s, int kind)
{
    if (kind == SF_FORMAT_OGG)
        return !shoal_tail_is_whole_ogg(&s->tail);
    return (uint64_t)s->got < shoal_file_promise(s->head, shoald_seen_head(s));
}

bool shoald_seen_has_more(const shoald_seen *s, int kind, sf_count_t end)
{
    switch (kind) {
    case SF_FORMAT_OGG: return s->pages.later;
    case SF_FORMAT_FLAC: return shoal_tail_has_flac_head(&s->tail, (uint64_t)s->got);
    case SF_FORMAT_MPEG:
        return shoal_tail_has_mp3(&s->tail, (uint64_t)s->got, s->head, shoald_seen_head(s));
    case SF_FORMAT_WAV:
    case SF_FORMAT_WAVEX:
        return shoal_tail_is_more_sound(&s->tail, (uint64_t)s->got, (uint64_t)end);
    default: return false;
    }
}

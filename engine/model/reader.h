/* reader.h - read JSON with a sticky error: after the first failure nothing more is believed
 *
 * Each read checks type and range and gives a harmless value where it fails, so that callers
 * need no error paths; who began the reading looks at `failed` once, at the end.
 */
#ifndef SHOAL_READER_H
#define SHOAL_READER_H

#include <jansson.h>
#include <stddef.h>

typedef struct shoal__reader {
    char *why; /* receives the first failure's reason */
    size_t size;
    char where[64]; /* what is being read, for reasons */
    int failed;     /* sticky */
    int no_memory;  /* and that is why */
} shoal__reader;

__attribute__((format(printf, 2, 3))) void shoal__reader_fail(shoal__reader *r, const char *format,
                                                              ...);
void shoal__reader_fail_memory(shoal__reader *r);
/* 0, SHOAL_EMODEL or SHOAL_ENOMEM. */
int shoal__reader_result(const shoal__reader *r);

/* Member `key` of an object: an integer from low to high; low where it fails. */
int shoal__reader_int(shoal__reader *r, const json_t *object, const char *key, int low, int high);
/* A number above low, at most high; high where it fails. */
double shoal__reader_number(shoal__reader *r, const json_t *object, const char *key, double low,
                            double high);
/* No member but those named in keys, apart by one space. `where` goes into the message. */
void shoal__reader_only(shoal__reader *r, const json_t *object, const char *where,
                        const char *keys);
/* A string of 1 to `most` bytes; "" where it fails. A view into the object. */
const char *shoal__reader_string(shoal__reader *r, const json_t *object, const char *key,
                                 size_t most);

#endif

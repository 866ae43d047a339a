/* file_check.h - what a file is and whether all of it is there, by its own bytes
 *
 * libsndfile gives the samples that it finds and says neither that more were promised nor what a
 * file is that it cannot read. Pipes cannot be looked at twice: nothing is known of them here.
 */
#ifndef FILE_CHECK_H
#define FILE_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* shoal_file_kind of a file; NULL also when it cannot be looked at. */
const char *file_check_kind_of(const char *path);

/* A name as a shell takes it, in quotes; more than fits ends in nothing that a shell would run. */
const char *file_check_quote(char *to, size_t size, const char *name);
/* 1: these are the first bytes of a file with a header, not of samples; why: which, and what to do.
 */
int file_check_is_container(const void *head, size_t n, char *why, size_t why_size);
/* The same of a file; 0 also when it cannot be looked at. */
int file_check_has_header(const char *path, char *why, size_t why_size);

typedef struct file_promise {
    int cut;        /* the file ends before its end, or some of it is damaged */
    double seconds; /* how long it says it is; 0: it does not say */
    int exact;      /* that is to the sample */
    int unended;    /* its header says that there is no sound, but so much is there */
    int damaged;    /* some is missing in the middle: what follows is told too early */
    int more;       /* sound follows that its header knows nothing of, and that was not read */
} file_promise;

/* Compare what was read to its end, in seconds, with what the file says of itself. by_header:
 * seconds by libsndfile, 0 if unknown. */
file_promise file_check_whole(const char *path, double decoded, double by_header);

#endif

/* file_priors.h - how often each class is: what turns posteriors into likelihoods */
#ifndef FILE_PRIORS_H
#define FILE_PRIORS_H

#include <stddef.h>

#include "lib/client_get.h"

/* from: "server", whose /v1/model is asked, or a file of numbers with blanks between. Returns how
 * many there are, in *out, which the caller frees; -1 with the cause in why. All are above 0; their
 * sum, which may be of counts, is made 1. */
int file_priors_read(double **out, const char *from, const shoal__server *server, char *why,
                     size_t size);
/* The same of JSON that /v1/model gave. */
int file_priors_of_model(double **out, const char *page, char *why, size_t size);

#endif

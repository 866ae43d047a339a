/* ticket.h - 128 random bits that `ready` tells: whoever has them may go on with the session */
#ifndef SHOALD_TICKET_H
#define SHOALD_TICKET_H

#include "shoal-protocol.h"

#include <stdbool.h>

enum { SHOALD_TICKET_BYTES = SHOAL_TICKET_DIGITS / 2 };

/* A new one, and its digits. False: there is no randomness, digits are "". */
bool shoald_ticket_draw(unsigned char ticket[SHOALD_TICKET_BYTES],
                        char digits[SHOAL_TICKET_DIGITS + 1]);
/* Of digits that shoal_resume has. */
void shoald_ticket_read(unsigned char ticket[SHOALD_TICKET_BYTES], const char *digits);
/* In a time that does not tell where they differ. */
bool shoald_ticket_is(const unsigned char a[SHOALD_TICKET_BYTES],
                      const unsigned char b[SHOALD_TICKET_BYTES]);

#endif

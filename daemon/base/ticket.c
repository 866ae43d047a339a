/* ticket.c - see ticket.h */
#include "base/ticket.h"

#include <stdio.h>
#include <sys/random.h>

bool shoald_ticket_draw(unsigned char ticket[SHOALD_TICKET_BYTES],
                        char digits[SHOAL_TICKET_DIGITS + 1])
{
    *digits = '\0';
    if (getrandom(ticket, SHOALD_TICKET_BYTES, 0) != SHOALD_TICKET_BYTES)
        return false;
    for (int i = 0; i < SHOALD_TICKET_BYTES; i++)
        snprintf(digits + 2 * i, 3, "%02x", ticket[i]);
    return true;
}

void shoald_ticket_read(unsigned char ticket[SHOALD_TICKET_BYTES], const char *digits)
{
    unsigned byte;
    for (int i = 0; i < SHOALD_TICKET_BYTES; i++)
        ticket[i] = sscanf(digits + 2 * i, "%2x", &byte) == 1 ? (unsigned char)byte : 0;
}

bool shoald_ticket_is(const unsigned char a[SHOALD_TICKET_BYTES],
                      const unsigned char b[SHOALD_TICKET_BYTES])
{
    volatile unsigned char differ = 0; /* or a compiler may stop where it knows enough */
    for (int i = 0; i < SHOALD_TICKET_BYTES; i++)
        differ = differ | (a[i] ^ b[i]);
    return differ == 0;
}

/* journal.h - log lines as journald takes them natively: a datagram each, with fields
 *
 *     session_open session=6f1c peer="[::1]:40112"
 *   ->
 *     MESSAGE=session_open session=6f1c peer="[::1]:40112"
 *     PRIORITY=6
 *     SYSLOG_IDENTIFIER=shoald
 *     SHOAL_EVENT=session_open
 *     SHOAL_SESSION=6f1c
 *     SHOAL_PEER=[::1]:40112
 *
 * Every key of a line is a field, so `journalctl SHOAL_SESSION=6f1c` finds what a session did. By
 * hand rather than by sd_journal_send, which waits for a journald that is busy. (The protocol:
 * https://systemd.io/JOURNAL_NATIVE_PROTOCOL)
 */
#ifndef SHOALD_JOURNAL_H
#define SHOALD_JOURNAL_H

#include <stddef.h>

#define SHOALD_JOURNAL_SOCKET "/run/systemd/journal/socket"

enum { SHOALD_JOURNAL_BYTES = 8192 }; /* room for any line of log.c and its fields */

typedef enum shoald_journal_result {
    SHOALD_JOURNAL_TAKEN,
    SHOALD_JOURNAL_BUSY,  /* it takes nothing at the moment */
    SHOALD_JOURNAL_ABSENT /* nobody is there */
} shoald_journal_result;

/* The fields of line[0..n), which has no newline. Returns their bytes; what has no room is left
 * out, MESSAGE, which is the first, cut short. Pure. */
size_t shoald_journal_encode(char to[SHOALD_JOURNAL_BYTES], int level, const char *line, size_t n);

/* From now on send to the socket at path, which must live as long. Once, before there are threads.
 */
void shoald_journal_open(const char *path);
/* Any thread; never waits. */
shoald_journal_result shoald_journal_send(int level, const char *line, size_t n);

#endif

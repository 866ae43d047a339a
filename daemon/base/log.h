/* log.h - one line an event: key=value pairs, to stderr
 *
 *     shoald_log(SHOALD_LOG_INFO, "session_open", "session=%s peer=%s", id, peer);
 *   ->
 *     2026-11-22T01:20:00.123Z info session_open session=6f1c peer=[::1]:40112
 *
 * Under systemd (JOURNAL_STREAM names the very thing that stderr is) journald gets the line with
 * its priority and each key as a field of its own (journal.h); where its socket is not to be had,
 * it goes to stderr without the time and begins with <6>. Values that come from outside go through
 * shoald_log_quote. Any thread may log; a line is one write(). Nothing in the frame path logs.
 *
 * Nor does a line ever wait for its reader: where journald, or a pipe, terminal or socket that is
 * stderr, takes nothing at the moment, the line is lost and counted, and the next one that gets
 * through is preceded by `log_lost lines=N`.
 */
#ifndef SHOALD_LOG_H
#define SHOALD_LOG_H

#include <stddef.h>
#include <stdint.h>

/* syslog priorities */
typedef enum shoald_log_level {
    SHOALD_LOG_ERROR = 3,
    SHOALD_LOG_WARNING = 4,
    SHOALD_LOG_NOTICE = 5,
    SHOALD_LOG_INFO = 6,
    SHOALD_LOG_DEBUG = 7
} shoald_log_level;

/* See what stderr is; before that, and where it cannot be known, lines are just written.
 * journal_socket: where journald listens if stderr leads to it (SHOALD_JOURNAL_SOCKET); must live
 * as long as the process. */
void shoald_log_open(const char *journal_socket);
void shoald_log_set_level(int level);
int shoald_log_level_from_name(const char *name); /* -1: no such level */
void shoald_log(int level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A line as it is, without time and level, for what is said before there is a log to speak of. */
void shoald_log_say(const char *line);
uint64_t shoald_log_lost(void); /* lines that nobody took */
/* A value fit for a line: as it is, or "quoted" with control characters as \xHH. Returns to. */
const char *shoald_log_quote(char *to, size_t size, const char *value);

#endif

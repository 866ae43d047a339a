/* confine.h - the only system calls that a decoder of files may make from now on */
#ifndef SHOALD_CONFINE_H
#define SHOALD_CONFINE_H

/* For this process and for good: it may read and write what is open, have memory in which nothing
 * runs, and end. It finds no file, and whatever else it asks for ends it (SIGSYS). 0; or -1 and
 * errno, and nothing has changed. Nothing happens in builds with a sanitizer, which needs more, and
 * on processors other than x86-64 and 64-bit ARM. */
int shoald_confine(void);

#endif

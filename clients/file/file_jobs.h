/* file_jobs.h - many files at once: a session each, several at a time */
#ifndef FILE_JOBS_H
#define FILE_JOBS_H

#include "file/file.h"

/* All of o->files, with run's printer and names. Returns the program's exit code. */
int file_jobs_run(const file_options *o, out_run *run, file_signals *signals);

#endif

/* mic_pipe.h - sound of a command's stdout, s16le mono: see mic_source.h */
#ifndef MIC_PIPE_H
#define MIC_PIPE_H

#include <uv.h>

#include "mic/mic_source.h"

typedef struct mic_pipe mic_pipe;

/* NULL: no memory. The command runs in /bin/sh; that it cannot is told by look. */
mic_pipe *mic_pipe_start(const mic_source_params *params, mic_ring *ring, uv_loop_t *loop);
mic_news mic_pipe_look(const mic_pipe *p);
/* The command is stopped; memory goes when the loop has closed the handles. NULL is fine. */
void mic_pipe_stop(mic_pipe *p);

#endif

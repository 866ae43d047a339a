/* mic_capture.h - a microphone by PortAudio, kept running: see mic_source.h */
#ifndef MIC_CAPTURE_H
#define MIC_CAPTURE_H

#include "mic/mic_source.h"

typedef struct mic_capture mic_capture;

/* Print the devices, a line each, to stdout. Exit code. */
int mic_capture_list(void);
/* Begin to open it; look tells how that went. NULL: no memory. params and ring must outlive it. */
mic_capture *mic_capture_start(const mic_source_params *params, mic_ring *ring);
mic_news mic_capture_look(mic_capture *c);
/* Nothing but zeros comes, and a sound came before: PortAudio shall begin anew. */
void mic_capture_restart(mic_capture *c);
/* 1: it is closed and freed. 0: PortAudio hangs, and has to be left to the process' end; ring must
 * stay then. NULL is fine. */
int mic_capture_stop(mic_capture *c);

#endif

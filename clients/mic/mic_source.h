/* mic_source.h - where sound comes from: a microphone (mic_capture.c) or a command (mic_pipe.c)
 *
 * Both fill a ring that they are given; the loop empties it and looks at the state now and then.
 * Neither is ever waited for.
 */
#ifndef MIC_SOURCE_H
#define MIC_SOURCE_H

#include "mic/mic_ring.h"

typedef enum mic_state {
    MIC_OPENING, /* not there yet */
    MIC_RUNNING,
    MIC_AWAY,  /* was there, is tried again and again; why says what happened, "" after a
                * restart that was asked for */
    MIC_ENDED, /* a command has ended; the ring may still hold sound */
    MIC_FAILED /* will not be there; why says what to do */
} mic_state;

typedef struct mic_news {
    mic_state state;
    int opened;     /* times it began to run */
    int rate;       /* Hz, once it ran; the same ever after */
    int overruns;   /* times that the system lost sound before we saw it */
    char name[128]; /* for people */
    char why[512];
} mic_news;

typedef struct mic_source_params {
    const char *device; /* number or part of a name; NULL: the default */
    int channel;        /* 1.. */
    const char *command;
    int rate; /* of a command's sound; of a device: 0: its own */
} mic_source_params;

enum { MIC_RING_SAMPLES = 1 << 17 }; /* 2.7 s at 48 kHz: more than a loop ever sleeps */

#endif

/* mic.h - what the files of shoal-mic share
 *
 *     shoal-mic.c     main: options, the loop, signals, the end
 *     mic_options.c   command line -> mic_options; the manual
 *     mic_app.c       the clock of 20 ms: sound -> session, level, half minute; what is drawn
 *     mic_session.c   the session: opens it, opens it again, its events -> mic_show
 *     mic_show.c      results -> lines, or JSON
 *     mic_utter.c     utterances -> WAV files -> a command
 *     mic_input.c     keys
 *     mic_common.c    the time, the picture, the end
 *   below them, knowing nothing of them:
 *     mic_capture.c   PortAudio        mic_pipe.c    a command instead
 *     mic_ring.c      between threads  mic_keys.c    the terminal's modes
 *     mic_load.c      how busy the server is   mic_opus.c   samples -> packets
 *     mic_level.c  mic_line.c  mic_status.c  mic_save.c     pure
 *
 * Threads: PortAudio's callback fills the ring; mic_capture's opens and watches the device; the
 * loop's does everything else; the one that writes stdout (../out/out_print.h) may wait for a
 * terminal that is stopped. None waits for another.
 */
#ifndef MIC_H
#define MIC_H

#include <uv.h>

#include "lib/client_tls.h"
#include "mic/mic_capture.h"
#include "mic/mic_level.h"
#include "mic/mic_line.h"
#include "mic/mic_load.h"
#include "mic/mic_opus.h"
#include "mic/mic_pipe.h"
#include "mic/mic_save.h"
#include "mic/mic_status.h"
#include "out/out_cut.h"
#include "out/out_print.h"
#include "shoal-client.h"
#include "tool/tool_options.h"

enum { EXIT_FAILED = 1 };

typedef struct mic_options {
    tool_server server;
    const char *proxy;     /* NULL: none */
    shoal_options session; /* what was said, and our defaults */
    mic_source_params source;
    int jsonl, list, opus;
    int any_depth; /* nobody said which: a model with fewer layers than ours will do */
    const char *out_dir;
    const char *utterances; /* folder; NULL: they are not written */
    const char *exec;       /* command for each; NULL: none */
} mic_options;

typedef struct mic_child mic_child;

/* -1 to go on, or the exit code. */
int mic_options_parse(mic_options *o, int argc, char **argv);

/* Everything is the loop's thread's. */
typedef struct mic_app {
    const mic_options *o;
    uv_loop_t *loop;
    uv_timer_t clock;
    /* sound */
    mic_ring ring;
    mic_capture *capture; /* one of the two */
    mic_pipe *pipe;
    mic_news news;    /* as last looked at */
    int heard;        /* the device has run */
    int64_t away_ms;  /* since when there is no sound; 0: there is */
    int away_opened;  /* news.opened then: what the ring still holds was heard before */
    uint64_t samples; /* taken from the ring, without those of a pause */
    mic_level level;
    mic_save save;
    out_cut *cut; /* utterances; NULL: none are written */
    int children; /* commands that run for them */
    int away_told, zeros_told, restarted, paused;
    /* the session */
    shoal_client *client;
    mic_opus *opus; /* NULL: samples go as they are */
    uv_timer_t retry;
    int ready;               /* the one that runs */
    int was_ready;           /* any was */
    int64_t gone_ms;         /* since when there is none; 0: there is */
    int retry_ms;            /* wait before the next attempt */
    uint64_t base;           /* `samples` when this session began */
    uint64_t dropped;        /* samples that a session had no room for */
    uint64_t dropped_before; /* of which before its connection broke */
    shoal_options wanted;    /* with the depth that keys have set */
    int depth, model_depth, lag_ms;
    double
        speech_end; /* seconds; of the utterance that has ended and may still settle; < 0: none */
    mic_waits waits;
    mic_load *load; /* how busy the server is; NULL: nobody looks */
    /* the screen */
    mic_line line;
    out_print *printer;
    int terminal;   /* stdout is one */
    uv_poll_t keys; /* if stdin is one too */
    int has_keys;
    int64_t next_draw_ms;
    /* the end */
    int64_t stop_ms; /* when to give up waiting for the last results; 0: not stopping */
    int code;
    int interrupted; /* by a signal or a key: nothing is waited for */
} mic_app;

/* mic_app.c */
int mic_app_start(mic_app *a); /* -1 after a line on stderr */
void mic_app_free(mic_app *a);

/* mic_common.c */
int64_t mic_app_now_ms(const mic_app *a);
void mic_app_draw(mic_app *a);
mic_opus_packet mic_app_send_packet;                  /* user: the mic_app */
void mic_app_stop(mic_app *a, int wait_ms, int code); /* end the audio; the loop ends soon */
void mic_app_miss_end(mic_app *a);                    /* ... without the last results */

/* mic_session.c */
void mic_session_open(mic_app *a);
/* 0: no session takes them, now. */
int mic_session_send(mic_app *a, const int16_t *samples, size_t n);
int mic_session_is_full(const mic_app *a);
void mic_session_flush(mic_app *a); /* what was said shall settle: nothing follows soon */
void mic_session_set_depth(mic_app *a, int depth_min, int depth_max);
void mic_session_set_range(mic_app *a); /* what was asked for, as far as the model goes */
void mic_session_close(mic_app *a);

/* mic_show.c */
void mic_show_event(mic_app *a, const shoal_client_event *e);
void mic_show_silence(mic_app *a); /* an utterance has ended and all of it has settled */
/* A line for people; in JSON an object with these members. seconds < 0: none. */
void mic_show_note(mic_app *a, const char *kind, double seconds, const char *text);

/* mic_utter.c */
void mic_utter_start(mic_app *a); /* once the rate is known */
void mic_utter_sound(mic_app *a, const int16_t *samples, size_t n);
void mic_utter_turn(mic_app *a, const shoal_wire_activity *m);
void mic_utter_processed(mic_app *a, uint64_t processed); /* samples of this session */
void mic_utter_finish(mic_app *a);

/* mic_input.c */
void mic_input_start(mic_app *a);
void mic_input_stop(mic_app *a);

#endif

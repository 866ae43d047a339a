/* mic_load.h - how busy the server is, asked for now and then by a thread of its own
 *
 * GET /v1/depths blocks, and results and keys must not wait for it. The thread sleeps nearly all
 * the time; one that waits for a server that does not answer is left behind at the end.
 */
#ifndef MIC_LOAD_H
#define MIC_LOAD_H

typedef struct mic_load mic_load;

/* Both are copied; token: as in shoal_client_params, or "". NULL: out of memory, or wss: nobody
 * asks. */
mic_load *mic_load_start(const char *url, const char *token);
/* Share of the server's workers that its sessions need, percent; -1: not known (yet). NULL: -1. */
int mic_load_percent(const mic_load *l);
void mic_load_stop(mic_load *l); /* NULL is fine */

/* The number of the page, percent; -1: it has none. */
int mic_load_of_page(const char *page);

#endif

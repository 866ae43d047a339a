#include <stdio.h>

#include <shoal-client.h>

/* Phones of raw audio (s16le, mono, 16 kHz) on stdin: example ws://HOST:PORT < audio */
int main(int argc, char **argv)
{
    shoal_client_params params = shoal_client_default_params();
    shoal_client *c;
    shoal_client_event e;
    char why[512], audio[3200]; /* 100 ms */
    size_t have = 0, sent = 0;
    int ended = 0, failed = 0, r;

    params.options.rate = 16000;
    params.options.given |= SHOAL_OPT_RATE;
    if (shoal_client_open(&c, argc > 1 ? argv[1] : "", &params, why, sizeof why) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    /* < 0: closed, nothing more comes. It waits only when nothing can be sent. */
    while ((r = shoal_client_poll(c, ended || sent < have ? -1 : 0, &e)) >= 0) {
        if (r == 1 && e.type == SHOAL_CLIENT_PHONES)
            for (int i = 0; i < e.phones->count; i++)
                printf("%.2f %.2f %s\n", e.phones->phones[i].start, e.phones->phones[i].end,
                       e.phones->phones[i].phone);
        if (r == 1 && e.type == SHOAL_CLIENT_ERROR)
            fprintf(stderr, "%s\n", e.error->message); /* cause and remedy */
        if (r == 1 && e.type == SHOAL_CLIENT_CLOSED)
            failed = e.failure != NULL;
        if (sent == have && !ended) {
            sent = 0;
            have = fread(audio, 1, sizeof audio, stdin);
            ended = have == 0 && shoal_client_end(c) == 0; /* DONE follows all results */
        }
        sent += shoal_client_send(c, audio + sent, have - sent); /* takes what fits */
    }
    shoal_client_free(c);
    return failed;
}

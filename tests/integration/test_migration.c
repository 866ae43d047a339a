/* test_migration.c - sessions move between workers and nobody sees it */
#include "integration.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { SECOND = 16000 };

/* rebalance_percent=0: somebody moves at every tick of the clock. */
static const char *const restless[] = { "--set", "rebalance_percent=0", NULL };

START_TEST(moving_between_workers_changes_no_byte)
{
    size_t samples = 3 * SECOND;
    int16_t *audio = make_audio(samples, 40);
    stream_plan p = { .query = "depth=3&output=posteriors,embedding,phones",
                      .audio = audio,
                      .size = samples * 2 };
    daemon_process d;
    stream_result still, moved;

    daemon_start(&d, restless);
    stream_run(&still, d.port, &p); /* too short to move */
    p.realtime = 1;
    stream_run(&moved, d.port, &p);
    stream_check_complete(&moved, samples, 16000);
    stream_check_same(&still.posteriors, &moved.posteriors);
    stream_check_same(&still.embedding, &moved.embedding);
    ck_assert_uint_eq(still.phone_count, moved.phone_count);
    ck_assert_double_ge(daemon_metric(&d, "shoal_migrations_total"), 2);
    stream_free(&still);
    stream_free(&moved);
    free(audio);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

enum { CROWD = 6 };

typedef struct member {
    stream_plan plan;
    stream_result result;
    pthread_t thread;
    int port;
} member;

static void *run_member(void *opaque)
{
    member *m = opaque;

    stream_run(&m->result, m->port, &m->plan);
    return NULL;
}

/* Uploads and live streams, moved about and flushed, while others hang up in mid-stream. */
START_TEST(a_moving_crowd_loses_nothing)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 41);
    static member crowd[CROWD];
    daemon_process d;
    raw_ws w;

    daemon_start(&d, restless);
    for (int i = 0; i < CROWD; i++) {
        crowd[i].port = d.port;
        crowd[i].plan = (stream_plan){ .query = "depth=2&output=posteriors,phones",
                                       .audio = audio,
                                       .size = samples * 2,
                                       .realtime = i % 3 > 0,
                                       .control_at = samples,
                                       .flushes = i % 2 };
        ck_assert(!pthread_create(&crowd[i].thread, NULL, run_member, &crowd[i]));
    }
    for (int i = 0; i < 40; i++) {
        struct timespec pause = { 0, 50000000L };

        ck_assert_int_eq(raw_ws_open(&w, d.port, SHOAL_PATH "?depth=1", SHOAL_SUBPROTOCOL), 101);
        raw_ws_send(&w, RAW_BINARY, audio, 6400);
        nanosleep(&pause, NULL);
        raw_ws_reset(&w);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        stream_check_complete(&crowd[i].result, samples, 16000);
        if (crowd[i].plan.flushes == crowd[0].plan.flushes)
            stream_check_close(&crowd[0].result.posteriors, &crowd[i].result.posteriors, 1e-4f);
    }
    for (int i = 0; i < CROWD; i++)
        stream_free(&crowd[i].result);
    daemon_wait_empty(&d);
    free(audio);
    ck_assert_double_ge(daemon_metric(&d, "shoal_migrations_total"), 2);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

TCase *migration_case(void)
{
    TCase *t = tcase_create("migration");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, moving_between_workers_changes_no_byte);
    tcase_add_test(t, a_moving_crowd_loses_nothing);
    return t;
}

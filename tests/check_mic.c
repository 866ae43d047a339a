/* check_mic.c - the pure parts of shoal-mic: ring, level, lines, status, the last half minute */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mic/mic_level.h"
#include "mic/mic_line.h"
#include "mic/mic_load.h"
#include "mic/mic_opus.h"
#include "mic/mic_ring.h"
#include "mic/mic_save.h"
#include "mic/mic_status.h"
#include "suite.h"

/* ---- ring ---- */

START_TEST(ring_keeps_order_and_counts_what_is_lost)
{
    mic_ring r;
    int16_t in[24], out[24];

    for (int i = 0; i < 24; i++)
        in[i] = (int16_t)i;
    ck_assert_int_eq(mic_ring_init(&r, 5), 0);
    ck_assert_uint_eq(r.cap, 8);
    for (int turn = 0; turn < 20; turn++) {                     /* around the end many times */
        ck_assert_uint_eq(mic_ring_write(&r, in + 1, 5, 2), 5); /* every second: 1 3 5 7 9 */
        ck_assert_uint_eq(mic_ring_read(&r, out, 3), 3);
        ck_assert_uint_eq(mic_ring_read(&r, out + 3, 24), 2);
        for (int i = 0; i < 5; i++)
            ck_assert_int_eq(out[i], 1 + 2 * i);
    }
    ck_assert_uint_eq(mic_ring_write(&r, in, 24, 1), 8);
    ck_assert_uint_eq(atomic_load(&r.lost), 16);
    ck_assert_uint_eq(mic_ring_read(&r, out, 24), 8);
    ck_assert_int_eq(out[7], 7);
    mic_ring_free(&r);
}
END_TEST

enum { STREAM = 1 << 17 };

static void *count_up(void *user)
{
    mic_ring *r = user;
    int16_t block[37];

    for (int n = 0; n < STREAM;) {
        size_t want = (size_t)(STREAM - n < 37 ? STREAM - n : 37);
        size_t room = r->cap - (atomic_load(&r->written) - atomic_load(&r->read));

        want = want < room ? want : room;
        for (size_t i = 0; i < want; i++)
            block[i] = (int16_t)(n + (int)i);
        n += (int)mic_ring_write(r, block, want, 1);
        if (!want)
            sched_yield();
    }
    return NULL;
}

START_TEST(ring_between_two_threads)
{
    mic_ring r;
    pthread_t writer;
    int16_t block[64];
    int n = 0, wrong = 0;

    ck_assert_int_eq(mic_ring_init(&r, 256), 0);
    ck_assert_int_eq(pthread_create(&writer, NULL, count_up, &r), 0);
    while (n < STREAM) {
        size_t got = mic_ring_read(&r, block, 64);

        for (size_t i = 0; i < got; i++, n++)
            wrong += block[i] != (int16_t)n;
        if (!got)
            sched_yield();
    }
    pthread_join(writer, NULL);
    ck_assert_int_eq(wrong, 0);
    ck_assert_uint_eq(atomic_load(&r.lost), 0);
    mic_ring_free(&r);
}
END_TEST

/* ---- level ---- */

static void add_tone(mic_level *l, int amplitude, int n)
{
    int16_t v[2] = { (int16_t)amplitude, (int16_t)-amplitude };

    for (int i = 0; i < n; i += 2)
        mic_level_add(l, v, 2);
}

START_TEST(level_falls_and_holds)
{
    mic_level l;
    char text[64];

    mic_level_init(&l, 1000);
    add_tone(&l, 16384, 100);
    ck_assert_double_eq_tol(mic_level_db(l.peak), -6.02, 0.01);
    mic_level_print(&l, 10, text, sizeof text);
    ck_assert_str_eq(text, " -6 dB [#########-]");
    add_tone(&l, 0, 500); /* half a second: 20 dB */
    ck_assert_double_eq_tol(mic_level_db(l.peak), -26.02, 0.1);
    ck_assert_double_eq_tol(mic_level_db(l.hold), -6.02, 0.01);
    mic_level_print(&l, 10, text, sizeof text);
    ck_assert_str_eq(text, "-26 dB [######--|-]");
    add_tone(&l, 0, 600);
    ck_assert_double_lt(l.hold, 0.1);
}
END_TEST

START_TEST(level_tells_clipping_and_zeros)
{
    mic_level l;

    mic_level_init(&l, 1000);
    add_tone(&l, 32766, 10);
    ck_assert_uint_eq(l.clip_left, 0);
    add_tone(&l, 32767, 10);
    ck_assert_uint_eq(l.clipped, 10);
    ck_assert_uint_gt(l.clip_left, 1900);
    add_tone(&l, 0, 1998);
    ck_assert(!mic_level_is_muted(&l));
    add_tone(&l, 0, 2);
    ck_assert(mic_level_is_muted(&l));
    ck_assert_uint_eq(l.clip_left, 0);
    add_tone(&l, 1, 2);
    ck_assert(!mic_level_is_muted(&l));
}
END_TEST

/* ---- lines ---- */

static mic_line line;
static char bytes[MIC_LINE_ROOM + 8192];

static const char *taken(void)
{
    ck_assert_uint_gt(mic_line_take(&line, bytes, sizeof bytes), 0);
    return bytes;
}

START_TEST(plain_lines_are_utterances)
{
    mic_line_init(&line, 0, 0, 80);
    mic_line_phone(&line, "HH", 1.0, 1.1);
    mic_line_phone(&line, "AH", 1.1, 1.2);
    mic_line_phone(&line, "L", 1.4, 1.5); /* after a pause */
    mic_line_add_tentative(&line, "OW", 1.5);
    mic_line_status(&line, "never seen here");
    mic_line_take(&line, bytes, sizeof bytes);
    ck_assert_str_eq(bytes, "");
    mic_line_finish(&line);
    mic_line_phone(&line, "S", 2.0, 2.1);
    mic_line_phone(&line, "T", 4.0, 4.1); /* long after: a line of its own */
    ck_assert_str_eq(taken(), "    1.0  HH AH  L\n    2.0  S\n");
    mic_line_leave(&line, bytes, sizeof bytes);
    ck_assert_str_eq(bytes, "    4.0  T\n");
}
END_TEST

START_TEST(only_the_current_line_is_redrawn)
{
    mic_line_init(&line, 1, 1, 80);
    mic_line_phone(&line, "HH", 1.0, 1.1);
    mic_line_add_tentative(&line, "AH", 1.1);
    mic_line_status(&line, "-6 dB");
    ck_assert_str_eq(taken(), "\r\033[J    1.0  HH\033[2m AH\033[0m\n\033[2m-6 dB\033[0m");
    mic_line_clear_tentative(&line);
    mic_line_phone(&line, "EH", 1.1, 1.2);
    ck_assert_str_eq(taken(), "\r\033[1A\033[J    1.0  HH EH\n\033[2m-6 dB\033[0m");
    mic_line_note(&line, "# %s", "a note");
    mic_line_finish(&line);
    ck_assert_str_eq(taken(), "\r\033[1A\033[J# a note\n    1.0  HH EH\n\n\033[2m-6 dB\033[0m");
    mic_line_leave(&line, bytes, sizeof bytes);
    ck_assert_str_eq(bytes, "\r\033[1A\033[J");
}
END_TEST

START_TEST(without_colour_what_may_change_is_small)
{
    mic_line_init(&line, 1, 0, 80);
    mic_line_phone(&line, "HH", 1.0, 1.1);
    mic_line_add_tentative(&line, "AH", 1.1);
    ck_assert_str_eq(taken(), "\r\033[J    1.0  HH ah");
}
END_TEST

/* The first phone is seen before it has settled, where the line will begin. */
START_TEST(a_line_may_begin_with_what_may_change)
{
    mic_line_init(&line, 1, 1, 80);
    mic_line_add_tentative(&line, "HH", 1.0);
    mic_line_add_tentative(&line, "AH", 1.1);
    ck_assert_str_eq(taken(), "\r\033[J\033[2m    1.0  HH AH\033[0m");
    mic_line_clear_tentative(&line);
    mic_line_phone(&line, "HH", 1.0, 1.1);
    mic_line_add_tentative(&line, "AH", 1.1);
    ck_assert_str_eq(taken(), "\r\033[J    1.0  HH\033[2m AH\033[0m");
}
END_TEST

/* No row reaches the last column, whatever is said, at any width. */
START_TEST(rows_never_wrap)
{
    int columns = 0, widest = 0;

    for (int width = 1; width < 100; width += 7) {
        mic_line_init(&line, 1, 0, width);
        for (int i = 0; i < 60; i++)
            mic_line_phone(&line, "ZH", i * 0.1, i * 0.1 + 0.1);
        for (int i = 0; i < 60; i++)
            mic_line_add_tentative(&line, "\xc3\xa9\xc3\xa9", 6.0);
        mic_line_status(&line, "0123456789012345678901234567890123456789012345678901234567890123456"
                               "789012345678901234567890123456789012345678901234567890123456789");
        widest = columns = 0;
        for (const char *p = taken() + 4; *p; p++) { /* after \r ESC [ J */
            columns = *p == '\n' ? 0 : columns + ((*p & 0xc0) != 0x80);
            widest = columns > widest ? columns : widest;
        }
        ck_assert_int_lt(widest, width < 20 ? 20 : width);
    }
}
END_TEST

/* ---- status ---- */

START_TEST(status_says_the_worst_first)
{
    mic_level l;
    mic_waits w = { 0 };
    mic_status s = { .level = &l,
                     .waits = &w,
                     .lag_ms = 120,
                     .depth = 6,
                     .depth_min = 3,
                     .depth_max = 12,
                     .load = -1 };
    char text[256];

    mic_level_init(&l, 1000);
    add_tone(&l, 3277, 10);
    for (int i = 1; i <= 300; i++)
        mic_waits_add(&w, i * 10);
    ck_assert_int_eq(mic_waits_percentile(&w, 50), (44 + 1 + 127) * 10);
    mic_status_print(&s, text, sizeof text);
    ck_assert_str_eq(text, "-20 dB [#######---]  depth 6 of 3-12  lag 0.12 s  "
                           "phones 1.72/2.74 s  ? help");
    s.load = 43;
    mic_status_print(&s, text, sizeof text);
    text[78] = 0; /* a terminal of 80 columns cuts the rest, and never fills its last column */
    ck_assert_str_eq(text, "-20 dB [#######---]  depth 6 of 3-12  lag 0.12 s  "
                           "phones 1.72/2.74 s  load 43%");
    s.trouble = "the microphone is away";
    mic_status_print(&s, text, sizeof text);
    ck_assert_str_eq(text, "-20 dB [#######---]  the microphone is away");
    s.trouble = NULL;
    add_tone(&l, 0, 2000);
    mic_status_print(&s, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "muted?"));
}
END_TEST

START_TEST(load_of_the_page)
{
    ck_assert_int_eq(mic_load_of_page("{\"model\":\"x\",\"load\":0.426,\"depths\":[]}"), 43);
    ck_assert_int_eq(mic_load_of_page("{\"load\":1.2}"), 120);
    ck_assert_int_eq(mic_load_of_page("{\"load\":null}"), -1);
    ck_assert_int_eq(mic_load_of_page("{\"load\":-1}"), -1);
    ck_assert_int_eq(mic_load_of_page("[]"), -1);
    ck_assert_int_eq(mic_load_of_page("no JSON"), -1);
    ck_assert_int_eq(mic_load_percent(NULL), -1);
    mic_load_stop(NULL);
    ck_assert_ptr_null(mic_load_start("wss://127.0.0.1:1", ""));
}
END_TEST

static int count_packet(void *user, const uint8_t *packet, size_t n)
{
    size_t *seen = user; /* packets, bytes */

    ck_assert_ptr_nonnull(packet);
    seen[0]++;
    seen[1] += n;
    return 0;
}

/* Packets of 20 ms whatever the cut, at about 24 kbit/s; what is left waits for the flush. */
START_TEST(opus_packets)
{
    size_t seen[2] = { 0, 0 }, n = 16000 + 100;
    int16_t *sound = calloc(n, sizeof *sound);
    char why[200] = "";
    mic_opus *o = mic_opus_open(16000, why, sizeof why);

    for (size_t i = 0; i < n; i++)
        sound[i] = (int16_t)(8000 * sin((double)i * i / 9e5));
    ck_assert_ptr_null(mic_opus_open(44100, why, sizeof why));
    if (o) {
        ck_assert_ptr_nonnull(strstr(why, "--rate 48000"));
        for (size_t at = 0, step = 1; at < n; at += step, step = n - at < 777 ? n - at : 777)
            ck_assert_int_eq(mic_opus_add(o, sound + at, step, count_packet, seen), 0);
        ck_assert_uint_eq(seen[0], 50);
        ck_assert_uint_gt(seen[1], 1500);
        ck_assert_uint_lt(seen[1], 4500);
        ck_assert_int_eq(mic_opus_flush(o, count_packet, seen), 0);
        ck_assert_uint_eq(seen[0], 51);
        mic_opus_reset(o);
        ck_assert_int_eq(mic_opus_flush(o, count_packet, seen), 0);
        ck_assert_uint_eq(seen[0], 51);
    } else {
        ck_assert_ptr_nonnull(strstr(why, "without Opus"));
    }
    mic_opus_free(o);
    free(sound);
}
END_TEST

/* Nobody is there: it is not known, and the end waits for nobody. */
START_TEST(load_of_nobody)
{
    mic_load *l = mic_load_start("ws://127.0.0.1:1", "");

    ck_assert_ptr_nonnull(l);
    usleep(20000);
    ck_assert_int_eq(mic_load_percent(l), -1);
    mic_load_stop(l);
    usleep(20000); /* so that a thread that was left is seen to free what is its own */
}
END_TEST

/* ---- the last half minute ---- */

static size_t read_file(const char *path, char *to, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    ck_assert_msg(f != NULL, "no %s", path);
    n = fread(to, 1, room, f);
    fclose(f);
    unlink(path);
    return n;
}

START_TEST(the_last_half_minute_is_saved)
{
    static char text[600000];
    char dir[] = "/tmp/shoal-mic.XXXXXX", path[64], why[256];
    mic_save s;
    int16_t v;
    size_t n;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(mic_save_init(&s, 8000), 0);
    for (int i = 0; i < 32 * 8000; i++) {
        v = (int16_t)(i / 8);
        mic_save_add(&s, &v, 1);
    }
    mic_save_add_phone(&s, "AA", 1.0, 1.5, 1); /* two seconds have been forgotten */
    mic_save_add_phone(&s, "IY", 3.0, 3.5, 1);
    ck_assert_double_eq(mic_save_write(&s, dir, "x", why, sizeof why), 30);
    snprintf(path, sizeof path, "%s/x.wav", dir);
    n = read_file(path, text, sizeof text);
    ck_assert_uint_eq(n, 44 + 30 * 8000 * 2);
    memcpy(&v, text + 44, 2);
    ck_assert_int_eq(v, 2000);
    memcpy(&v, text + n - 2, 2);
    ck_assert_int_eq(v, 31999);
    snprintf(path, sizeof path, "%s/x.TextGrid", dir);
    text[read_file(path, text, sizeof text - 1)] = 0;
    ck_assert_ptr_nonnull(strstr(text, "\"IY\""));
    ck_assert_ptr_null(strstr(text, "\"AA\""));
    ck_assert_double_eq(mic_save_write(&s, "/nowhere", "x", why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/nowhere/x.wav"));
    rmdir(dir);
    mic_save_free(&s);
}
END_TEST

/* A full disk: it is told, and half a recording is not kept. */
START_TEST(what_cannot_be_saved_is_told)
{
    char dir[] = "/tmp/shoal-mic.XXXXXX", why[256] = "";
    struct rlimit before, little;
    mic_save s;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(mic_save_init(&s, 8000), 0);
    for (int16_t v = 0; v < 8000; v++)
        mic_save_add(&s, &v, 1);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    little = before;
    little.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &little);
    ck_assert_double_eq(mic_save_write(&s, dir, "x", why, sizeof why), -1);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_ptr_nonnull(strstr(why, "x.wav: "));
    ck_assert_msg(rmdir(dir) == 0, "something is left in %s", dir);
    mic_save_free(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mic");
    TCase *t = tcase_create("pure");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, ring_keeps_order_and_counts_what_is_lost);
    tcase_add_test(t, ring_between_two_threads);
    tcase_add_test(t, level_falls_and_holds);
    tcase_add_test(t, level_tells_clipping_and_zeros);
    tcase_add_test(t, plain_lines_are_utterances);
    tcase_add_test(t, only_the_current_line_is_redrawn);
    tcase_add_test(t, without_colour_what_may_change_is_small);
    tcase_add_test(t, a_line_may_begin_with_what_may_change);
    tcase_add_test(t, rows_never_wrap);
    tcase_add_test(t, status_says_the_worst_first);
    tcase_add_test(t, load_of_the_page);
    tcase_add_test(t, load_of_nobody);
    tcase_add_test(t, opus_packets);
    tcase_add_test(t, the_last_half_minute_is_saved);
    tcase_add_test(t, what_cannot_be_saved_is_told);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

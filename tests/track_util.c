/* track_util.c - see track_util.h */
#include "track_util.h"

#include "plan/grant.h"
#include "work/track.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

track_state track;

void track_begin(const char *query)
{
    char why[256];
    shoal_error err;
    shoal_options o;
    memset(&track, 0, sizeof track);
    const shoal_model_params params = { .backend = SHOAL_BACKEND_AUTO };
    ck_assert_msg(shoald_service_open(&track.service, SRCDIR "/tests/data/tiny.safetensors",
                                      &params, why, sizeof why) == 0,
                  "%s", why);
    ck_assert_int_eq(shoald_port_init(&track.port, 0, track.service.depth, NULL, 4), 0);
    ck_assert_int_eq(shoald_bench_init(&track.bench, &track.service, &track.port, 4, 512), 0);
    ck_assert_msg(shoal_options_parse_query(&o, query, strlen(query), &err) == 0, "%s",
                  err.message);
    ck_assert_msg(
        shoald_grant_options(&o, track.service.model, &(shoald_grant_limits){ 0 }, &err) == 0, "%s",
        err.message);
    track.lane.service = &track.service;
    track.lane.options = o;
    ck_assert_int_eq(shoald_lane_init(&track.lane, 10000, 0), 0);
}

void track_put(int kind, const void *bytes, size_t n)
{
    const shoald_record r = { (uint32_t)n, (uint16_t)kind, 0, 1 };
    ck_assert(shoald_queue_put(&track.lane.in, &r, bytes));
    atomic_fetch_add(&track.lane.received_bytes, kind == SHOALD_IN_AUDIO ? n : 0);
    track_work();
}

void track_set(const shoal_options *effective)
{
    shoald_change change;
    size_t n = shoald_change_of(&change, effective);
    track_put(SHOALD_IN_SET, &change, n);
}

/* Vowels and noise, and a pause of a third: the small model finds speech in it, and silence. */
int16_t track_sample(size_t i)
{
    double t = (double)i / 16000, loud = 0.5 + 0.5 * sin(2 * M_PI * 3.1 * t);
    double voice = sin(2 * M_PI * 140 * t) + sin(2 * M_PI * (700 + 300 * sin(5 * t)) * t) / 2;
    double noise = (double)((uint32_t)i * 2654435761u >> 8) / (1 << 24) - 0.5;
    return (int16_t)(i % 24000 < 8000 ? 0 : 6000 * loud * voice + 3000 * noise);
}

void track_audio(size_t samples)
{
    enum { PART = 1600 };
    static int16_t audio[PART * SHOAL_MAX_CHANNELS];
    size_t channels = (size_t)track.lane.options.channels;
    while (samples > 0) {
        size_t n = samples < PART ? samples : PART;
        for (size_t i = 0; i < n * channels; i++)
            audio[i] = track_sample(track.sent + i / channels);
        track.sent += n;
        samples -= n;
        track_put(SHOALD_IN_AUDIO, audio, n * channels * 2);
    }
}

static void take_packet(const void *bytes, size_t n)
{
    shoal_error err;
    track_packet *t = &track.packets[track.packet_count++];
    ck_assert_int_le(track.packet_count, TRACK_MOST);
    ck_assert_msg(shoal_packet_decode(&t->p, bytes, n, &err) == 0, "%s", err.message);
    t->values = malloc(((size_t)t->p.frames * (size_t)t->p.dim + 1) * sizeof *t->values);
    ck_assert_ptr_nonnull(t->values);
    shoal_packet_values(&t->p, t->values);
    t->p.payload = NULL;
    t->place = track.place++;
}

static void take_text(const char *bytes, size_t n, int close_code)
{
    track_text *t = &track.texts[track.text_count++];
    ck_assert_int_le(track.text_count, TRACK_MOST);
    t->text = strndup(bytes, n);
    t->close_code = close_code;
    t->place = track.place++;
}

static void collect(void)
{
    static char bytes[1 << 20];
    shoald_record r;
    while (shoald_queue_peek(&track.lane.out, &r)) {
        ck_assert_uint_lt(r.size, sizeof bytes);
        shoald_queue_copy(&track.lane.out, SHOALD_RECORD_BYTES, bytes, r.size);
        shoald_queue_drop(&track.lane.out, SHOALD_RECORD_BYTES + r.size);
        if (r.kind == SHOALD_OUT_BINARY)
            take_packet(bytes, r.size);
        else
            take_text(bytes, r.size, r.code);
    }
}

void track_work(void)
{
    shoald_lane *l = &track.lane;
    shoald_track_state state;
    if (!l->track)
        ck_assert_int_eq(shoald_track_make(l, &track.bench), 0);
    while ((state = shoald_track_advance(l, &track.bench)) != SHOALD_IDLE) {
        if (state == SHOALD_READY) {
            ck_assert_int_eq(
                shoal_batch_run(track.bench.batch, &l->track->stream, 1, track.bench.results), 0);
            shoald_track_deliver(l, &track.bench, &track.bench.results[0], 1, 2);
        }
        collect();
    }
    collect();
}

void track_end(void)
{
    track_put(SHOALD_IN_END, NULL, 0);
    ck_assert_int_gt(track.text_count, 0);
    const track_text *last = &track.texts[track.text_count - 1];
    ck_assert_msg(strstr(last->text, "\"type\":\"done\"") != NULL, "%s", last->text);
    ck_assert_int_eq(last->close_code, SHOAL_CLOSE_NORMAL);
}

void track_free(void)
{
    for (int i = 0; i < track.packet_count; i++)
        free(track.packets[i].values);
    for (int i = 0; i < track.text_count; i++)
        free(track.texts[i].text);
    shoald_track_close(&track.lane);
    shoald_lane_free(&track.lane);
    shoald_bench_free(&track.bench);
    shoald_port_free(&track.port);
    shoald_service_close(&track.service);
}

float *track_rows(shoal_kind kind, int tap, int depth, size_t *rows, int *dim)
{
    float *all = NULL;
    *rows = 0;
    *dim = 0;
    for (int i = 0; i < track.packet_count; i++) {
        const shoal_packet *p = &track.packets[i].p;
        if (p->kind != kind || p->tap != tap || (depth >= 0 && p->depth != depth))
            continue;
        *dim = p->dim;
        ck_assert_uint_eq(p->first_frame * SHOAL_FRAME_MS, *rows * p->row_ms);
        size_t n = (size_t)p->frames * (size_t)p->dim, at = *rows * (size_t)p->dim;
        all = realloc(all, (at + n + 1) * sizeof *all);
        ck_assert_ptr_nonnull(all);
        memcpy(all + at, track.packets[i].values, n * sizeof *all);
        *rows += (size_t)p->frames;
    }
    return all;
}

const char *track_find(const char *what, int n)
{
    for (int i = 0; i < track.text_count; i++)
        if (strstr(track.texts[i].text, what) && n-- == 0)
            return track.texts[i].text;
    return NULL;
}

double track_number(const char *text, const char *name)
{
    char key[64];
    ck_assert_ptr_nonnull(text);
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    ck_assert_msg(at != NULL, "no %s in %s", name, text);
    return strtod(at + strlen(key), NULL);
}

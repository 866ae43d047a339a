/* check_lane.c - room for the largest message, and mail between loop and worker that finds none */
#include "session/session.h"
#include "suite.h"

#include "base/log.h"
#include "session/house.h"

#include <stdlib.h>
#include <string.h>

static shoald_service service;

static void open_tiny(void)
{
    const shoal_model_params params = shoal_model_default_params();
    char why[256] = "";
    ck_assert_msg(shoald_service_open(&service, SRCDIR "/tests/data/tiny.safetensors", &params, why,
                                      sizeof why) == 0,
                  "%s", why);
}

static void close_tiny(void)
{
    shoald_service_close(&service);
}

/* Bytes of this packet in JSON where no number could be longer. */
static size_t json_bytes(int kind, int rows, int dim)
{
    shoal_packet p = { .kind = (uint8_t)kind,
                       .encoding = SHOAL_ENCODING_JSON,
                       .depth = 12,
                       .seq = UINT32_MAX,
                       .frames = rows,
                       .dim = dim };
    size_t n = (size_t)rows * (size_t)dim;
    float *values = malloc(n * sizeof *values);
    shoal_buf b = { 0 };
    for (size_t i = 0; i < n; i++)
        values[i] = -1.17549435e-38f;
    ck_assert_int_eq(shoal_packet_encode_json(&b, &p, values), 0);
    n = b.size;
    shoal_buf_free(&b);
    free(values);
    return n;
}

/* Two rows of mel a frame, 80 wide, are more than all that a session gives by default. */
START_TEST(a_message_of_any_output_has_room)
{
    const shoal_model_info *m = service.info;
    int frames = m->max_chunk_frames + m->delay_frames;
    size_t room = shoald_lane_largest_bytes(m);
    ck_assert_uint_ge(room, json_bytes(SHOAL_KIND_MEL, 2 * frames, m->mels));
    ck_assert_uint_ge(room, json_bytes(SHOAL_KIND_HIDDEN, frames, m->dim));
    ck_assert_uint_ge(room, json_bytes(SHOAL_KIND_EMBEDDING, frames, m->dim));
    ck_assert_uint_ge(room, json_bytes(SHOAL_KIND_POSTERIORS, frames, m->classes));
    ck_assert_uint_ge(room, SHOAL_PHONES_BYTES(frames + SHOAL_MAX_TENTATIVE));
    for (unsigned outputs = 1; outputs <= SHOAL_OUTPUT_ALL; outputs++) {
        shoal_options o = shoal_options_default();
        o.chunk_ms = m->max_chunk_frames * SHOAL_FRAME_MS;
        o.encoding = SHOAL_ENCODING_JSON;
        o.tentative = SHOAL_ON;
        o.outputs = outputs & SHOAL_OUTPUT_ALL;
        ck_assert_uint_ge(room, shoald_lane_step_bytes(m, &o));
    }
}
END_TEST

/* ---- what the loop sends ------------------------------------------------------------------- */

enum { ROOM = 700, BEYOND = 64 };

static size_t written;
static int writes;

static int take(shoald_link *l, shoald_link_kind kind, size_t n)
{
    (void)l;
    (void)kind;
    written = n;
    writes++;
    return 0;
}

static void nothing(shoald_link *l)
{
    (void)l;
}

static const shoald_link_ops ops = { .write = take, .want_write = nothing };

/* A record of that size, and what comes of it. */
static shoald_phase send_record(size_t size)
{
    static unsigned char payload[ROOM + BEYOND], tx[ROOM + BEYOND];
    static shoald_house house;
    static shoald_session s;
    shoald_link link = { .ops = &ops };
    const shoald_record r = { (uint32_t)size, SHOALD_OUT_TEXT, 0, 1 };
    memset(&house, 0, sizeof house);
    memset(&s, 0, sizeof s);
    memset(payload, 'x', sizeof payload);
    memset(tx, '.', sizeof tx);
    house.tx = tx;
    house.tx_size = ROOM;
    s.house = &house;
    s.link = &link;
    s.phase = SHOALD_STREAMING;
    writes = 0;
    ck_assert_int_eq(shoald_queue_init(&s.replies, 4096), 0);
    ck_assert(shoald_queue_put(&s.replies, &r, payload));
    ck_assert_int_eq(shoald_session_on_writable(&s), 0);
    ck_assert_uint_eq(shoald_queue_fill(&s.replies), 0);
    for (int i = ROOM; i < ROOM + BEYOND; i++)
        ck_assert_int_eq(tx[i], '.');
    if (s.phase == SHOALD_CLOSING) { /* its client is told */
        ck_assert_int_eq(writes, 0);
        ck_assert_int_eq(shoald_session_on_writable(&s), 0);
        ck_assert_ptr_nonnull(memmem(tx, written, "\"internal\"", 10));
    }
    ck_assert_int_eq(writes, 1);
    shoald_queue_free(&s.replies);
    return s.phase;
}

START_TEST(what_has_no_room_is_not_sent)
{
    shoald_log_set_level(SHOALD_LOG_ERROR);
    ck_assert_int_eq(send_record(1), SHOALD_STREAMING);
    ck_assert_int_eq(send_record(ROOM), SHOALD_STREAMING);
    ck_assert_uint_eq(written, ROOM);
    ck_assert_int_eq(send_record(ROOM + 1), SHOALD_CLOSING);
    ck_assert_int_eq(send_record(ROOM + BEYOND), SHOALD_CLOSING);
}
END_TEST

/* ---- mail ---------------------------------------------------------------------------------- */

static void fill(shoald_mailbox *box, void *mail)
{
    while (shoald_mailbox_put(box, mail))
        ;
}

START_TEST(mail_that_found_no_room_may_be_posted_again)
{
    static shoald_lane a, b;
    shoald_port port;
    shoald_log_set_level(SHOALD_LOG_ERROR);
    ck_assert_int_eq(shoald_port_init(&port, 0, 1, NULL, 1), 0);
    fill(&port.inbox, &a);
    shoald_lane_post(&b, &port);
    shoald_lane_post_last(&b, &port); /* said, and lost */
    ck_assert(!atomic_load(&b.in_inbox));
    ck_assert_ptr_eq(shoald_mailbox_take(&port.inbox), &a);
    shoald_lane_post(&b, &port);
    ck_assert(atomic_load(&b.in_inbox));
    fill(&port.outbox, &a);
    shoald_lane_report(&b, &port);
    ck_assert(!atomic_load(&b.in_outbox));
    ck_assert_ptr_eq(shoald_mailbox_take(&port.outbox), &a);
    shoald_lane_report(&b, &port);
    ck_assert(atomic_load(&b.in_outbox));
    ck_assert_ptr_eq(shoald_mailbox_take(&port.outbox), &a);
    shoald_lane_give_back(SHOALD_MARK(&b), &port);
    void *mail, *last = NULL;
    while ((mail = shoald_mailbox_take(&port.outbox)))
        last = mail;
    ck_assert_ptr_eq(last, SHOALD_MARK(&b));
    shoald_port_free(&port);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lane");
    TCase *room = tcase_create("room"), *out = tcase_create("out");
    tcase_add_checked_fixture(room, open_tiny, close_tiny);
    tcase_add_test(room, a_message_of_any_output_has_room);
    tcase_add_test(out, what_has_no_room_is_not_sent);
    tcase_add_test(out, mail_that_found_no_room_may_be_posted_again);
    suite_add_tcase(suite, room);
    suite_add_tcase(suite, out);
    return suite_run(suite);
}

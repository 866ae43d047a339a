/* fuzz_session.c - the daemon's sessions under any order of events: clients, links, worker, clock
 *
 * The loop's side and a worker without its thread, over links that are made up. The input is a
 * script of steps: what, which of the links, two bytes n (little-endian).
 *
 *     o  a client comes, with the n bytes that follow as its query     u  back to its session, n
 * messages less t  b  p  q  a whole text or binary message; a text's first, next piece: the n bytes
 * that follow a  n samples of sound                                            i  pong g  the link
 * breaks     c  the client closes     k  the next write fails w  the worker's turn   m  its mail r
 * reviews   y  the link takes n % 8 messages s  n ms pass, a clock's tick d  drain
 *
 * What must hold: messages that go out can be read and come in order; nothing is written after a
 * Close; when all links are gone and all time is over no session is left, nor memory.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "plan/grant.h"
#include "session/admit.h"
#include "session/park.h"
#include "session/session.h"
#include "work/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINKS = 4, SESSIONS = 64, TX_BYTES = 4 << 20, MOST_AUDIO = 16000, ROUNDS = 2000 };

typedef struct fake {
    shoald_link link; /* first */
    shoald_session *session;
    bool wants, deaf, closed, breaks, in_text;
    uint64_t heard, got;
    char ticket[SHOAL_TICKET_DIGITS + 1]; /* of the last `ready` */
} fake;

static shoald_house house;
static shoald_worker worker;
static shoald_port *ports[1];
static uv_loop_t loop;
static uv_async_t mail;
static fake links[LINKS];
static uint64_t now_ns; /* before uv_hrtime(), by what the script lets pass */

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_session: %s\n", what);
    abort();
}

/* ---- links --------------------------------------------------------------------------- */

static void read_text(fake *f, size_t n)
{
    static shoal_server_msg m;
    shoal_error err;
    require(shoal_server_msg_decode(&m, (const char *)house.tx, n, &err) == 0,
            "a text that no client reads");
    if (m.type == SHOAL_MSG_READY)
        memcpy(f->ticket, m.u.ready.ticket, sizeof f->ticket);
    else
        f->got++;
    shoal_server_msg_free(&m);
}

static int write_message(shoald_link *l, shoald_link_kind kind, size_t n)
{
    fake *f = (fake *)l;
    shoal_packet p;
    shoal_error err;
    require(!f->closed, "a message after Close");
    require(n <= TX_BYTES, "a message that is too large");
    if (f->breaks)
        return -1;
    if (kind == SHOALD_LINK_TEXT || kind == SHOALD_LINK_LAST)
        read_text(f, n);
    else if (kind == SHOALD_LINK_BINARY) {
        require(shoal_packet_decode(&p, house.tx, n, &err) == 0, "a packet that no client reads");
        f->got++;
    }
    return 0;
}

static void want_write(shoald_link *l)
{
    ((fake *)l)->wants = true;
}

static void set_reading(shoald_link *l, bool on)
{
    ((fake *)l)->deaf = !on;
}

static void close_link(shoald_link *l, int code, const char *reason)
{
    require(code >= 1000 && code < 5000 && strlen(reason) < 124, "no Close");
    l->closing_ns = uv_hrtime();
    ((fake *)l)->closed = true;
}

static void gone(fake *f)
{
    shoald_session *s = f->session;
    f->session = NULL;
    if (s)
        shoald_session_on_gone(s);
}

static void kill_link(shoald_link *l)
{
    gone((fake *)l);
}

static uint64_t bytes_heard(const shoald_link *l)
{
    return ((const fake *)l)->heard;
}

static const shoald_link_ops ops = { write_message, want_write, set_reading,
                                     close_link,    kill_link,  bytes_heard };

/* ---- clients ------------------------------------------------------------------------- */

/* What the gates make of a query (net/gates.c). */
static void ask(shoald_entry *e, const char *query, size_t n)
{
    const shoald_grant_limits limits = { 0 };
    if (n == 0)
        return;
    e->has_options = true;
    if (shoal_options_parse_query(&e->asked, query, n, &e->error) < 0)
        return;
    e->granted = e->asked;
    if (shoald_admit_grant(&house, &limits, &e->granted, &e->service, &e->error) == 0)
        (void)!shoald_admit_may_begin(&house, e->service, &e->granted, &e->error);
}

static void ask_back(shoald_entry *e, const fake *f, uint64_t less)
{
    char query[200];
    int n = snprintf(query, sizeof query, "resume=%s&got=%llu", f->ticket,
                     (unsigned long long)(f->got > less ? f->got - less : less));
    if (shoal_resume_parse_query(&e->resume, query, (size_t)n, &e->error) == 1)
        e->back = shoald_park_find(&house, &e->resume, e->token, &e->error);
    if (e->back && !shoald_admit_may_return(e->back, &e->error))
        e->back = NULL;
}

/* As net/link.c adopts a connection. */
static void open_link(fake *f, const shoald_entry *e)
{
    static const shoald_peer peer = { .name = "fuzz" };
    shoald_session *s = e->back;
    if (!s && house.session_count + house.refused_count >= SESSIONS)
        return;
    if (s)
        shoald_session_take_over(s);
    else if (!(s = shoald_session_new(&house, &peer, e)))
        return;
    uint64_t got = e->back ? e->resume.got : 0;
    *f = (fake){ .link = { .ops = &ops, .returns = true }, .session = s, .got = got };
    s->link = &f->link;
    shoald_session_on_open(s, e);
}

static void come(fake *f, const char *query, size_t n, bool back)
{
    shoald_entry e = { .error = { 0 } };
    fake *held = NULL;
    if (f->session && !back)
        return;
    if (back)
        ask_back(&e, f, n);
    else
        ask(&e, query, n);
    for (int i = 0; i < LINKS && (f->session || held == NULL); i++)
        held = links[i].session ? held : &links[i];
    if (held)
        open_link(f->session ? held : f, &e);
}

/* As lws delivers: nothing to those who do not read, or after a Close. */
static void deliver(fake *f, bool binary, const void *bytes, size_t n, bool first, bool last)
{
    const shoald_piece piece = { bytes, n, 0, first, last, binary };
    if (!f->session || f->deaf || f->closed)
        return;
    f->heard += n + 6;
    f->in_text = !last;
    shoald_session_on_receive(f->session, &piece);
}

static void send_sound(fake *f, size_t n)
{
    static int16_t sound[MOST_AUDIO];
    for (size_t i = 0; i < MOST_AUDIO && sound[1] == 0; i++)
        sound[i] = (int16_t)((i * 2654435761u >> 12) % 8000 - 4000);
    if (!f->in_text)
        deliver(f, true, sound, 2 * (n % MOST_AUDIO), true, true);
}

/* ---- the house ----------------------------------------------------------------------- */

static void take_mail(void)
{
    void *m;
    while ((m = shoald_mailbox_take(&worker.port.outbox)))
        shoald_session_on_mail(m);
}

static void review(void)
{
    while (house.review) {
        shoald_session *s = house.review;
        house.review = s->next_review;
        s->in_review = false;
        shoald_session_review(s);
    }
}

static void pass(uint64_t ms)
{
    now_ns += ms * 1000000u;
    for (shoald_session *s = house.sessions, *next; s; s = next) {
        next = s->next;
        shoald_session_step(s, uv_hrtime() + now_ns);
    }
    shoald_admit_step(&house, uv_hrtime() + now_ns);
}

static void drain(void)
{
    house.draining = true;
    for (shoald_session *s = house.sessions, *next; s; s = next) {
        next = s->next;
        shoald_session_drain(s);
    }
}

static void write_some(fake *f, int n)
{
    for (int i = 0; i < n && f->session && f->wants && !f->closed; i++) {
        f->wants = false;
        if (shoald_session_on_writable(f->session) < 0)
            gone(f);
    }
}

static void leave(fake *f, bool farewell)
{
    f->link.farewell = farewell;
    gone(f);
}

static void end_all(void)
{
    for (int i = 0; i < LINKS; i++)
        leave(&links[i], true);
    drain();
    for (int i = 0; i < ROUNDS && house.sessions; i++) {
        shoald_worker_turn(&worker);
        take_mail();
        review();
        pass(1000);
    }
    require(!house.sessions && house.session_count == 0 && house.refused_count == 0,
            "sessions are left");
    require(!house.review, "a session that is gone is to be reviewed");
    house.draining = false;
}

/* ---- the script ---------------------------------------------------------------------- */

static void open_house(void)
{
    char why[256];
    shoald_log_set_level(SHOALD_LOG_ERROR);
    shoald_settings_default(&house.settings);
    house.settings.max_sessions = SESSIONS;
    strcpy(house.settings.models[0].path, SRCDIR "/tests/data/tiny.safetensors");
    require(shoald_models_open(&house.models, &house.settings, NULL, NULL, why, sizeof why) == 0,
            "no model");
    uv_loop_init(&loop);
    uv_async_init(&loop, &mail, NULL);
    require(shoald_worker_init(&worker, 0, shoald_models_default(&house.models), &mail, SESSIONS,
                               512) == 0,
            "no worker");
    worker.cost = (shoald_cost){ .shape = { 1e4, 1e3, 1e3, 1e3, 1e3 }, .speed = 1, .prior = 1 };
    worker.port.shape = worker.cost.shape;
    atomic_store(&worker.port.speed, 1);
    ports[0] = &worker.port;
    house.ports = ports;
    house.port_count = 1;
    house.tx = malloc(TX_BYTES);
    house.tx_size = TX_BYTES;
    require(house.tx && shoald_admit_init(&house) == 0, "no memory");
}

static void step(int what, fake *f, size_t n, const uint8_t *bytes)
{
    switch (what) {
    case 'o': come(f, (const char *)bytes, n, false); break;
    case 'u': come(f, NULL, n, true); break;
    case 't': deliver(f, false, bytes, n, !f->in_text, true); break;
    case 'p': deliver(f, false, bytes, n, true, false); break;
    case 'q': deliver(f, false, bytes, n, !f->in_text, false); break;
    case 'b': deliver(f, true, bytes, n, true, true); break;
    case 'a': send_sound(f, n); break;
    case 'g': leave(f, false); break;
    case 'c': leave(f, true); break;
    case 'k': f->breaks = true; break;
    case 'w': shoald_worker_turn(&worker); break;
    case 'm': take_mail(); break;
    case 'r': review(); break;
    case 'y': write_some(f, (int)(n % 8)); break;
    case 's': pass(n); break;
    case 'd': drain(); break;
    case 'i':
        if (f->session && !f->closed)
            shoald_session_on_pong(f->session);
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0;
    if (!house.port_count)
        open_house();
    memset(links, 0, sizeof links);
    now_ns = 0;
    while (at + 4 <= size) {
        const uint8_t *s = data + at;
        size_t n = s[2] | (size_t)s[3] << 8;
        bool carries = memchr("otpqb", s[0], 5) != NULL;
        at += 4;
        if (carries && n > size - at)
            n = size - at;
        step(s[0], &links[s[1] % LINKS], n, data + at);
        at += carries ? n : 0;
    }
    end_all();
    return 0;
}

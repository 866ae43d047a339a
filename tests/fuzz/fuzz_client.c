/* fuzz_client.c - a client's session against any server and any program
 *
 * The input is a script of steps: one byte that says what, two that say how many bytes follow
 * (little-endian), the bytes.
 *
 *     t b  a whole text or binary message of the server      p  a piece of a text message
 *     c    its Close: code (2 bytes), reason                  g  the connection is gone
 *     s    send as much audio as the two bytes say            f  flush, i ping with an id
 *     e    end                                                w  the wire takes all there is
 *     k    the clock goes on by as many ms as the bytes say
 *     a    a new connection, if the last one is gone and may be made again (inputs of odd length)
 *
 * What must hold whatever happens: queues stay in their bounds, one fatal ERROR at most, nothing
 * after CLOSED, and the audio kept for a replay is the audio that was sent, without a gap.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_resume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUEUE = 8 << 10, KEEP = 6 << 10 };

static shoal__session s;
static int fatal, closed;
static int64_t now_ms;

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_client: %s\n", what);
    abort();
}

/* Byte i of the audio, so that what is kept can be told. */
static uint8_t audio_byte(uint64_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

static void check_kept(void)
{
    uint64_t at = s.out.kept.from;
    size_t walk = 0, n;
    const uint8_t *bytes;

    require(s.out.kept.from <= s.out.kept.to && s.out.kept.to <= s.audio_taken,
            "positions in order");
    require(shoal__queue_used(&s.out.kept.messages) <= KEEP, "kept audio beyond its bound");
    while (shoal__out_walk(&s.out, &walk, &bytes, &n))
        for (size_t i = 0; i < n; i++, at++)
            require(bytes[i] == audio_byte(at), "kept audio is not what was sent");
    require(at == s.audio_taken, "kept audio has a gap at its end");
}

static void take_events(void)
{
    shoal_client_event e;

    while (shoal__session_next_event(&s, &e)) {
        if (!shoal__resume_take(&s, &e))
            continue;
        require(!closed, "an event after CLOSED");
        fatal += e.type == SHOAL_CLIENT_ERROR && e.error->fatal;
        closed = e.type == SHOAL_CLIENT_CLOSED;
        if (e.type == SHOAL_CLIENT_ERROR && e.error->fatal)
            require(e.failure && e.failure->cause >= SHOAL_CLIENT_UNREACHABLE, "no cause");
        if (closed && !s.progress.done)
            require(e.failure != NULL, "an early end without a failure");
    }
    require(shoal__queue_used(&s.out.tx) <= QUEUE + SHOAL__CONTROL_BYTES, "tx beyond its bound");
    check_kept();
}

static void send_audio(size_t n)
{
    static uint8_t audio[1 << 16];

    for (size_t i = 0; i < n; i++)
        audio[i] = audio_byte(s.audio_taken + i);
    if ((!s.has_failure && !s.over) || shoal__session_is_away(&s))
        require(shoal__session_send(&s, audio, n) <= n, "more was taken than given");
}

static void take_out(void)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    for (; shoal__session_front(&s, &kind, &bytes, &n); shoal__session_sent(&s))
        require(kind == SHOAL__TEXT || n <= QUEUE, "a message beyond its bound");
}

static void id_of(char id[SHOAL_MAX_ID + 2], const uint8_t *bytes, size_t n)
{
    n = n > SHOAL_MAX_ID + 1 ? SHOAL_MAX_ID + 1 : n;
    memcpy(id, bytes, n);
    id[n] = 0;
}

static void step(int what, const uint8_t *bytes, size_t n)
{
    char id[SHOAL_MAX_ID + 2];

    id_of(id, bytes, n);
    switch (what) {
    case 't': shoal__session_receive(&s, SHOAL__TEXT, bytes, n, 1); break;
    case 'b': shoal__session_receive(&s, SHOAL__BINARY, bytes, n, 1); break;
    case 'p': shoal__session_receive(&s, SHOAL__TEXT, bytes, n, 0); break;
    case 'c':
        if (n >= 2)
            shoal__session_close(&s, bytes[0] << 8 | bytes[1], (const char *)bytes + 2, n - 2);
        break;
    case 'g': shoal__session_gone(&s); break;
    case 'f': shoal__session_flush(&s, id); break;
    case 'i': shoal__session_ping(&s, id); break;
    case 'e': shoal__session_end(&s); break;
    case 'w': take_out(); break;
    case 'a':
        if (shoal__session_is_away(&s))
            require(shoal__resume_begin(&s) == 0, "no memory");
        break;
    default: break;
    }
}

static void run_script(const uint8_t *p, size_t left)
{
    while (left >= 3) {
        int what = p[0];
        size_t n = (size_t)p[1] | (size_t)p[2] << 8, has = what == 's' || what == 'k' ? 0 : n;

        p += 3, left -= 3;
        has = has < left ? has : left;
        if (what == 's')
            send_audio(n);
        else if (what == 'k')
            shoal__session_tick(&s, now_ms += (int64_t)n);
        else
            step(what, p, has);
        take_events();
        p += has, left -= has;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shoal__session_params p = { .options = shoal_options_default(),
                                .queue_bytes = QUEUE,
                                .message_bytes = QUEUE,
                                .keep_bytes = KEEP,
                                .keep_alive = 1,
                                .again = size & 1,
                                .gaps = size >> 1 & 1,
                                .peer = "fuzz:1" };

    fatal = closed = 0;
    now_ms = 1;
    require(shoal__session_init(&s, &p) == 0, "no memory");
    run_script(data, size);
    shoal__session_gone(&s);
    take_events();
    shoal__session_give_up(&s);
    take_events();
    require(closed && fatal <= 1, "no end, or two");
    shoal__session_free(&s);
    return 0;
}

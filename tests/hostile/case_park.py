"""Links that break: sessions that wait for their clients, and who may not have them"""

import json
import os
import struct
import threading
import time

from case_access import ANNA, BERT, Guarded, Member, bearer, line
from case_handshake import json_answer
from daemon import Shoald, check, scaled, wait_until
from ws import (BINARY, CLOSE, PING, PONG, RATE, TEXT, Socket, frame, honest_session, noise, patiently,
                request)

OPTIONS = "/v1/stream?depth=2&output=posteriors,phones"
NOBODY = "0123456789abcdef" * 2


class Client:
    """A session over several links. messages: what it has got, `ready` left out."""

    def __init__(self, port, path=OPTIONS):
        self.port, self.messages = port, []
        self.ws = Socket(port, path)
        self.ready = self.ws.message("ready")

    def ticket(self):
        return self.ready["resume"]

    def take(self, count=1):
        """So many messages more."""
        while count:
            got = self.ws.receive()
            check(got is not None and got[0] != CLOSE, "the link ended with", got)
            if got[0] == PING:
                self.ws.send(PONG, got[1])
                continue
            self.messages.append(got)
            count -= 1

    def take_all(self):
        """To the Close."""
        for op, payload in self.ws.frames():
            if op == CLOSE:
                self.ws.send(CLOSE, payload[:2])
                break
            self.messages.append((op, payload))

    def path(self, **changes):
        says = {"resume": self.ticket(), "got": len(self.messages), **changes}
        return "/v1/stream?" + "&".join(f"{k}={v}" for k, v in says.items() if v is not None)

    def come_back(self, **changes):
        self.ws = Socket(self.port, self.path(**changes))
        self.ready = self.ws.message("ready")
        return self.ready["resumed"]

    def close(self):
        self.ws.close()


def refusal(port, path):
    with Socket(port, path) as ws:
        return ws.refusal()


def expect_unknown(port, ticket, got=0):
    error, code = refusal(port, f"/v1/stream?resume={ticket}&got={got}")
    check((error["code"], error["ref"], code) == ("cannot_resume", "resume", 1008), error, code)


def expect_uncovered(port, path):
    error, code = refusal(port, path)
    check((error["code"], error["ref"], code) == ("cannot_resume", "got", 1008), error, code)


def parked(shoald, count):
    wait_until(lambda: shoald.metric("parked_sessions") == count, 5,
               f"not {count} parked sessions")


def resumes(shoald, result):
    text = shoald.get("/metrics")[2].decode()
    return int(text.split(f'shoal_resumes_total{{result="{result}"}} ')[1].split()[0])


def results(messages):
    """What does not depend on the clock: rows by their frames, phones, totals."""
    rows, phones, seqs, done = {}, [], [], None
    for op, payload in messages:
        if op == BINARY:
            size, seq = struct.unpack_from("<H", payload, 8)[0], struct.unpack_from("<I", payload, 12)[0]
            first, count = struct.unpack_from("<Q", payload, 16)[0], struct.unpack_from("<H", payload, 48)[0]
            seqs.append(seq)
            if count:
                check(first not in rows, "frame", first, "came twice")
                rows[first] = payload[size:]
            continue
        m = json.loads(payload)
        if m["type"] == "phones":
            seqs.append(m["seq"])
            phones += [(p["phone"], p["start"], p["end"], p["confidence"]) for p in m["phones"]]
        if m["type"] == "done":
            done = {k: m[k] for k in ("received", "processed", "frames", "phones", "packets")}
    check(seqs == list(range(len(seqs))), "numbers are", seqs[:9], "...")
    return b"".join(rows[f] for f in sorted(rows)), phones, done


def undisturbed(shoald, audio):
    c = Client(shoald.port)
    c.ws.send(BINARY, audio)
    c.ws.send(TEXT, b'{"type":"end"}')
    c.take_all()
    c.close()
    return results(c.messages)


def case_a_broken_link_costs_nothing():
    """Cut after a part of a message in each direction; the rest is byte for byte as if nothing had been."""
    audio = noise(6)
    with Shoald() as shoald:
        wanted = undisturbed(shoald, audio)
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "the session did not end")
        check(shoald.metric("parked_sessions") == 0 and shoald.metric("parks_total") == 0,
              "a session that was done is parked")
        c = Client(shoald.port)
        c.ws.send(BINARY, audio[:50001])            # inside a sample
        c.take(5)
        c.ws.reset()
        parked(shoald, 1)
        check(shoald.metric("sessions") == 0, "who is parked counts as a session with a client")
        held = c.come_back()
        check(held["bytes"] == 50001 and held["received"] == 25000 and held["requests"] == 0, held)
        c.ws.send(BINARY, audio[50001:100000])
        c.ws.send(TEXT, b'{"type":"flush","id":"a"}')
        while not any(b"flushed" in payload for _, payload in c.messages):
            c.take()
        messages = len(c.messages)
        c.messages = c.messages[:-3]                # as if these had been lost on the way
        c.ws.reset()
        held = c.come_back()
        check(held["bytes"] == 100000 and held["requests"] == 1, held)
        c.ws.send(BINARY, audio[100000:])
        c.ws.send(TEXT, b'{"type":"end"}')
        c.take_all()
        check(sum(b"flushed" in payload for _, payload in c.messages) == 1, "flushed came again")
        check(len(c.messages) > messages, "nothing followed")
        rows, phones, done = results(c.messages)
        check(done["received"] == done["processed"] == len(audio) // 2, done)
        check(len(rows) == len(wanted[0]), "rows", len(rows), "not", len(wanted[0]))
        check(resumes(shoald, "resumed") == 2, "not counted")
        c.close()


def case_the_same_bytes_as_an_undisturbed_session():
    audio = noise(6)
    with Shoald() as shoald:
        wanted = undisturbed(shoald, audio)
        c, at, step, pause = Client(shoald.port), 0, 9001, 0
        while at < len(audio):
            c.ws.send(BINARY, audio[at:at + step])
            time.sleep(pause)
            c.ws.reset()
            came = c.come_back()["bytes"]
            pause = 0 if came > at else 0.02    # a reset overtook the audio, as on one busy core it always does
            at = came
        c.ws.send(TEXT, b'{"type":"end"}')
        c.take_all()
        check(results(c.messages) == wanted, "the results differ")
        c.close()


def case_done_is_told_again():
    """All was sent, and the link broke before it arrived."""
    audio = noise(2)
    with Shoald() as shoald:
        wanted = undisturbed(shoald, audio)
        c = Client(shoald.port)
        c.ws.send(BINARY, audio)
        c.ws.send(TEXT, b'{"type":"end"}')
        while c.ws.receive()[0] != CLOSE:
            pass                                    # and it is never answered
        c.ws.reset()
        parked(shoald, 1)
        check(c.come_back()["requests"] == 1, c.ready)
        c.take_all()
        check(results(c.messages) == wanted, "the results differ")
        wait_until(lambda: shoald.metric("parked_sessions") == 0, 5, "it is parked still")
        c.close()


def case_who_leaves_is_not_parked():
    """A Close, broken frames, a fatal error, a refusal, an upload: nobody will come back."""
    with Shoald(max_message_bytes=1024) as shoald:
        c = Client(shoald.port)
        c.ws.send(CLOSE, struct.pack(">H", 1001))
        c.close()
        c = Client(shoald.port)                     # reads all, and closes without an answer to the Close
        c.ws.send(TEXT, b'{"type":"end"}')
        while c.ws.receive()[0] != CLOSE:
            pass
        c.close()
        c = Client(shoald.port)
        c.ws.s.sendall(b"\xff\xff\xff\xff")
        c.take_all()
        c.close()
        c = Client(shoald.port)
        c.ws.send(BINARY, bytes(2000))
        c.take_all()
        c.ws.reset()
        refusal(shoald.port, "/v1/stream?depth=77")
        wait_until(lambda: shoald.metric("sessions") == 0, 10, "they did not end")
        check(shoald.metric("parks_total") == 0, "one was parked")


def end_of_reader(shoald, leave):
    """It leaves as soon as `done` is there, before the server can send its Close: both are on one core, where the
    loop has the least priority meanwhile."""
    c = Client(shoald.port)
    c.ws.send(BINARY, noise(0.2))
    c.ws.send(TEXT, b'{"type":"ping"}')
    c.ws.message("pong")
    os.sched_setscheduler(shoald.pid, os.SCHED_IDLE, os.sched_param(0))
    c.ws.send(TEXT, b'{"type":"end"}')
    c.ws.message("done")
    leave(c.ws)
    os.sched_setscheduler(shoald.pid, os.SCHED_OTHER, os.sched_param(0))


def case_who_leaves_at_done_is_not_parked():
    """All was written and read, and then there is an end in good order: that is a farewell. A reset is not."""
    core = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(0, core)
    with Shoald() as shoald:
        os.sched_setaffinity(shoald.pid, core)
        for _ in range(5):
            end_of_reader(shoald, Socket.close)
        wait_until(lambda: shoald.metric("sessions") == 0, 10, "they did not end")
        check(shoald.metric("parks_total") == 0, shoald.metric("parks_total"), "were parked")
        end_of_reader(shoald, Socket.reset)
        parked(shoald, 1)


def case_tickets_of_others():
    """Guessed, spent, of a session that is over; and one that is right."""
    with Shoald() as shoald:
        c = Client(shoald.port)
        c.ws.send(BINARY, noise(1))
        first = c.ticket()
        check(len(first) == 32 and first != c.ready["session"], first)
        for guess in (NOBODY, first[:-1] + ("0" if first[-1] != "0" else "1"), c.ready["session"] * 2, "0" * 32):
            expect_unknown(shoald.port, guess)
        c.ws.reset()
        c.come_back()
        check(c.ticket() != first, "the ticket is the same")
        c.ws.send(TEXT, b'{"type":"ping","id":"heard"}')
        while not any(b"pong" in payload for _, payload in c.messages):
            c.take()
        expect_unknown(shoald.port, first)
        c.ws.send(TEXT, b'{"type":"end"}')
        c.take_all()
        c.close()
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "the session did not end")
        expect_unknown(shoald.port, c.ticket())
        check(resumes(shoald, "unknown") == 6, "unknown:", resumes(shoald, "unknown"))


def case_the_answer_to_a_return_is_lost():
    """`ready` with the next ticket does not arrive: the one before is good until something does."""
    with Shoald() as shoald:
        c = Client(shoald.port)
        c.ws.send(BINARY, noise(1))
        c.take(3)
        for _ in range(3):
            c.ws.reset()
            c.ws = Socket(shoald.port, c.path())    # its `ready` is not read
        c.ws.reset()
        check(c.come_back()["bytes"] == 2 * RATE, c.ready)
        c.ws.send(TEXT, b'{"type":"end"}')
        c.take_all()
        check(results(c.messages)[2]["frames"] == 50, results(c.messages)[2])
        c.close()


def case_queries_that_are_no_return():
    with Shoald() as shoald:
        c = Client(shoald.port)
        c.ws.reset()
        parked(shoald, 1)
        for changes in ({"got": None}, {"got": ""}, {"got": "-1"}, {"got": "1x"}, {"got": 2 ** 53 + 1},
                        {"got": "9" * 60}, {"resume": ""}, {"resume": "zz" * 16}, {"resume": c.ticket().upper()},
                        {"depth": 3}, {"resume": c.ticket() + "0"}):
            if c.path(**changes) == c.path():
                continue
            error, code = refusal(shoald.port, c.path(**changes))
            check((error["code"], code) == ("bad_option", 1008), changes, error, code)
        error, _ = refusal(shoald.port, c.path() + "&got=0")
        check(error["code"] == "bad_option", error)
        check(c.ticket() not in json.dumps(error), "an error repeats the ticket")
        for got in (1, 1000, 2 ** 32, 2 ** 53):     # more than there were
            expect_uncovered(shoald.port, c.path(got=got))
        check(resumes(shoald, "uncovered") == 4, "not counted")
        check(c.come_back()["bytes"] == 0, c.ready)
        c.close()
        check(c.ticket() not in shoald.log(), "the log has a ticket")


def case_results_that_are_kept_no_more():
    """The ring has room for the last ones; who lacks more is told so."""
    with Shoald(park_keep_bytes=8192) as shoald:
        c = Client(shoald.port)
        c.ws.send(BINARY, noise(4))
        c.ws.send(TEXT, b'{"type":"ping"}')
        while not any(b"pong" in payload for _, payload in c.messages):
            c.take()
        have = len(c.messages)
        c.ws.reset()
        parked(shoald, 1)
        expect_uncovered(shoald.port, c.path(got=0))
        c.messages = c.messages[:have - 5]
        c.come_back()
        c.take(5)
        check(b"pong" in c.messages[-1][1], "the last is", c.messages[-1])
        c.close()


def case_a_second_link_takes_over():
    """The server has not noticed that the link is dead: the usual case when a network changes."""
    with Shoald() as shoald:
        c = Client(shoald.port)
        c.ws.send(BINARY, noise(1))
        c.take(3)
        old = c.ws
        check(c.come_back()["bytes"] == 2 * RATE, c.ready)
        check([op for op, _ in old.frames() if op == CLOSE] == [], "the old link was told something")
        c.ws.send(TEXT, b'{"type":"end"}')
        c.take_all()
        check(results(c.messages)[2]["frames"] == 50, "frames are missing")
        check(shoald.metric("parked_sessions") == 0, "parked")
        c.close()


def case_half_samples_before_gaps():
    """Twice half a sample, a skip behind each: both are told, none makes a whole one, and who comes back is told of
    every byte"""
    skip = b'{"type":"skip","samples":16000}'
    with Shoald() as shoald:
        c = Client(shoald.port, OPTIONS + "&encoding=json")
        for _ in range(2):
            c.ws.send(BINARY, noise(0.5) + b"\1")
            c.ws.send(TEXT, skip)
        wait_until(lambda: shoald.metric("received_bytes_total") >= 2 * RATE + 2, 5, "it does not read")
        c.ws.reset()
        parked(shoald, 1)
        held = c.come_back()
        check(held["bytes"] == 2 * RATE + 2 and held["received"] == 3 * RATE, held)
        c.ws.send(TEXT, b'{"type":"end"}')
        c.take_all()
        said = [json.loads(text) for op, text in c.messages if op == TEXT]
        torn = [m for m in said if m["type"] == "error"]
        check([m.get("ref") for m in torn] == ["skip", "skip"], torn)
        check(said[-1]["type"] == "done" and said[-1]["received"] == 3 * RATE, said[-1])
        c.close()


def case_time_room_and_drain_end_parked_sessions():
    with Shoald(park_ms=400) as shoald:
        c = Client(shoald.port)
        check(c.ready["park_ms"] == 400, c.ready)
        c.ws.reset()
        wait_until(lambda: shoald.metric("parks_lost_total") == 1, 5, "it did not expire")
        expect_unknown(shoald.port, c.ticket())
        check('why=expired' in shoald.log(), "the log does not say why")
    with Shoald(park_sessions=2, max_sessions=4) as shoald:
        cs = [Client(shoald.port) for _ in range(3)]
        for i, c in enumerate(cs):                  # the first goes first
            c.ws.reset()
            wait_until(lambda: shoald.metric("parks_total") == i + 1, 5, "not parked")
        parked(shoald, 2)
        expect_unknown(shoald.port, cs[0].ticket())
        others = [Client(shoald.port) for _ in range(4)]   # a slot is left for those who come
        expect_unknown(shoald.port, cs[1].ticket())
        for c in others:
            c.close()
    with Shoald() as shoald:
        c = Client(shoald.port)
        c.ws.reset()
        parked(shoald, 1)
        check(shoald.stop(5) == 0, "it did not stop at once")
        check("why=draining" in shoald.log(), "the log does not say why")
    with Shoald(park_ms=0) as shoald:
        c = Client(shoald.port)
        check("resume" not in c.ready and "park_ms" not in c.ready, c.ready)
        c.ws.reset()
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "it did not end")
        check(shoald.metric("parks_total") == 0, "parked")


def case_parking_a_thousand():
    """Every link streams loudly, reads nothing, and breaks: bounded in number and bytes, and honest
    clients are served."""
    with Shoald(park_bytes=16 << 20, park_sessions=40) as shoald:
        honest_session(shoald.port, 1)
        before = shoald.rss_bytes()
        piece = noise(2)
        for _ in range(scaled(200, 1000)):
            c = Client(shoald.port, "/v1/stream?depth=1&output=posteriors,embedding&encoding=json")
            c.ws.send(BINARY, piece)
            c.ws.reset()
        check(shoald.metric("parked_sessions") <= 40, shoald.metric("parked_sessions"), "are parked")
        check(shoald.metric("parked_bytes") <= 16 << 20, shoald.metric("parked_bytes"), "bytes are parked")
        more = shoald.rss_bytes() - before
        check(more < 48 << 20, more, "bytes more than before")
        honest_session(shoald.port, 1)


def case_a_storm_of_returns():
    """Those who find no room are told to wait, and not all for the same time."""
    with Shoald(capacity=1000, max_sessions=200) as shoald:
        clients = [Client(shoald.port, "/v1/stream?depth=1") for _ in range(60)]
        for c in clients:
            c.ws.send(BINARY, noise(0.2))
            c.ws.reset()
        parked(shoald, 60)
        back = [threading.Thread(target=c.come_back) for c in clients]
        for t in back:
            t.start()
        for t in back:
            t.join()
        check(resumes(shoald, "resumed") == 60, resumes(shoald, "resumed"), "came back")
        for c in clients:
            c.ws.send(TEXT, b'{"type":"end"}')
            c.take_all()
            check(b'"done"' in c.messages[-1][1], c.messages[-1])
            c.close()
    with Shoald(max_sessions=1) as shoald:
        with Socket(shoald.port):
            waits = {refusal(shoald.port, "/v1/stream?depth=1")[0]["retry_after_ms"] for _ in range(12)}
            check(len(waits) > 6 and min(waits) >= 5000 and max(waits) <= 7500, waits)


def case_garbage_for_tickets():
    with Shoald() as shoald:
        for _ in range(scaled(100, 5000)):
            expect_unknown(shoald.port, os.urandom(16).hex(), 3)
        honest_session(shoald.port, 0.5)


def case_a_ticket_with_another_bearer_token():
    """It opens the session for its owner only, however it was come by; and to nobody without a token."""
    with Guarded(line("anna", ANNA) + line("bert", BERT)) as shoald:
        ws = Member(shoald.port, bearer(ANNA))
        ready = ws.message("ready")
        path = f"/v1/stream?resume={ready['resume']}&got=0"
        with Member(shoald.port, bearer(BERT), path) as other:
            error, code = other.refusal()
            check((error["code"], error["ref"], code) == ("cannot_resume", "resume", 1008), error, code)
        json_answer(shoald, request(path), (401,), "no token")
        with Member(shoald.port, bearer(ANNA), path) as again:      # takes it over
            check(again.message("ready")["resumed"]["bytes"] == 0, "not resumed")
            again.send(TEXT, b'{"type":"end"}')
            again.message("done")
        ws.close()


def break_off(port, sound):
    client = Client(port, "/v1/stream?depth=3")
    client.ws.s.sendall(sound)
    client.ws.reset()


def case_parked_sessions_weigh_nothing():
    """A crowd that breaks off while it speaks keeps nobody out and takes nobody's depth"""
    sound = frame(BINARY, noise(0.5))
    with Shoald(model=None) as shoald:
        for _ in range(200):
            patiently(break_off, shoald.port, sound)
        wait_until(lambda: shoald.metric("parked_sessions") >= 150, 10, "they are not parked")
        shoald.await_clock()
        load = shoald.metric("load_least_ratio")
        check(load < 0.1, "the load is", load)
        honest_session(shoald.port, 0.5)

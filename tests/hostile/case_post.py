"""Files by POST: bodies that are slow, endless, wrong or unread"""

import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import threading
import time

from daemon import PATIENCE, SHOALD, SRC, Shoald, check, scaled, wait_until
from ws import answer, connect, honest_session, noise, one_honest_session, read_head

MIB = 1 << 20
RAW = "/v1/phones?depth=1&format=s16le&rate=16000"


def head(path, *lines, length=None):
    how = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", how, *lines, "", ""]).encode()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def wav(samples, more=b"", claimed=None, rate=16000):
    size = claimed if claimed is not None else len(samples)
    return (b"RIFF" + struct.pack("<I", 0xffffffff) + b"WAVEfmt " +
            struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16) + more +
            b"data" + struct.pack("<I", size) + samples)


def read_all(s):
    data = b""
    while piece := s.recv(65536):
        data += piece
    return data


def all_gone(shoald, seconds=25):
    wait_until(lambda: shoald.metric("sessions") == 0, seconds, "slots were not back")
    wait_until(lambda: shoald.metric("connections") <= 1, seconds, "connections were not back")


def trickle(sockets, data, seconds):
    """A byte now and then, until seconds are over."""
    end = time.monotonic() + seconds
    for i in range(len(data)):
        if time.monotonic() > end:
            return
        for s in sockets:
            try:
                s.sendall(data[i:i + 1])
            except OSError:
                pass
        time.sleep(0.1)


def case_slow_bodies():
    """Files whose beginning trickles, or does not come at all: 408 at start_timeout_s, slots back"""
    with Shoald(start_timeout_s=2) as shoald:
        sockets = [connect(shoald.port) for _ in range(20)]
        for s in sockets:
            s.sendall(head("/v1/phones?depth=1", length=100000))
        trickle(sockets[:10], wav(noise(1)), 4)
        for s in sockets:
            check(read_head(s)[0] == 408, "a slow body was not told 408")
            s.close()
        all_gone(shoald)
        honest_session(shoald.port, 0.5)


def case_bodies_that_do_not_begin():
    """Twenty files of which no byte comes cost what twenty idle connections do: nothing"""
    with Shoald(capacity=4) as shoald:
        sockets = [connect(shoald.port) for _ in range(20)]
        for s in sockets:
            s.sendall(head("/v1/phones", length=100000))
        wait_until(lambda: shoald.metric("sessions") == 20, 10, "no sessions")
        shoald.await_clock()
        load = shoald.metric("load_least_ratio")
        check(load == 0 and shoald.get("/readyz")[0] == 200, "silence makes a load of", load)
        one_honest_session(shoald.port, 0.5, "/v1/stream?depth=3", "127.0.0.1")
        for s in sockets:
            s.close()


def case_silent_bodies():
    """Raw samples that stop: 408 at idle_timeout_s before the first result, a line after it"""
    with Shoald(idle_timeout_s=2) as shoald:
        silent, half = connect(shoald.port), connect(shoald.port)
        silent.sendall(head(RAW, length=100000))
        half.sendall(head(RAW, length=100000) + noise(1))
        check(read_head(silent)[0] == 408, "a silent body was not told 408")
        text = read_all(half)
        check(text.startswith(b"HTTP/1.1 200") and b'"code":"idle_timeout"' in text,
              "no idle_timeout but", text[-300:])
        check(not text.endswith(b"0\r\n\r\n"), "the answer came to an end as if all were well")
        all_gone(shoald)


def case_bodies_cut_short():
    """A body that ends before its end, by a client that still reads: its results, done, and why; 400 for none at all"""
    with Shoald() as shoald:
        for path, body in ((RAW, noise(1)), ("/v1/phones?depth=1", wav(noise(1), claimed=64000))):
            with connect(shoald.port) as s:
                s.sendall(head(path, length=100000) + body)
                s.shutdown(socket.SHUT_WR)
                status, _, text = read_head(s)
                text += read_all(s)
                check(status == 200 and b'"received":16000' in text and b'"type":"done"' in text, status, text)
                check(b"ended before its end" in text and not text.endswith(b"0\r\n\r\n"), text[-300:])
            with connect(shoald.port) as s:
                s.sendall(head(path, length=100000))
                s.shutdown(socket.SHUT_WR)
                check(read_head(s)[0] == 400, path, "was not told 400")
        all_gone(shoald)


def case_warnings_beside_binary_answers():
    """Half a sample at the end: a header of the array, a trailer behind packets, a line among lines"""
    body = noise(1) + b"\1"
    with Shoald() as shoald:
        for accept in ("application/x-npy", "application/octet-stream", "application/x-ndjson"):
            with connect(shoald.port) as s:
                s.sendall(head(RAW.replace("phones", "embedding"), "Accept: " + accept, "Connection: close",
                               length=len(body)) + body)
                status, headers, text = read_head(s)
                text += read_all(s)
                told = headers.get("x-shoal-warning", "") + text.decode("latin-1")
                check(status == 200 and "in the middle of a sample" in told, accept, status, headers, text[-200:])
                check("ndjson" in accept or "npy" in accept or
                      text.rsplit(b"\r\n0\r\n", 1)[1].startswith(b"X-Shoal-Warning: "), "no trailer:", text[-200:])


def case_bodies_of_nothing():
    """Empty, in chunks: 400, be it samples or a file"""
    with Shoald() as shoald:
        for path in (RAW, "/v1/phones"):
            status, _, text = answer(shoald.port, head(path) + b"0\r\n\r\n")
            check(status == 400 and b"bad_request" in text and b"empty" in text, path, "got", status, text)
        all_gone(shoald)


def case_answers_nobody_reads():
    """Ten that send and never read: gone by their deadline, and so is their memory"""
    with Shoald(slow_reader_timeout_s=scaled(2, 15)) as shoald:
        honest_session(shoald.port, 1)
        before = shoald.rss_bytes()
        path = "/v1/embedding,posteriors?depth=1&chunk_ms=20&format=s16le&rate=16000"
        sockets = [connect(shoald.port, receive_buffer=4096) for _ in range(10)]
        for s in sockets:
            s.sendall(head(path))
            s.setblocking(False)
        piece, end = chunk(noise(0.5)), time.monotonic() + 3
        waiting = {s: piece for s in sockets}
        while time.monotonic() < end:
            for s in sockets:
                try:
                    waiting[s] = waiting[s][s.send(waiting[s]):] or piece
                except OSError:
                    pass
            time.sleep(0.005)
        check(shoald.rss_bytes() - before < 40 * MIB, "ten of them filled",
              (shoald.rss_bytes() - before) // MIB, "MiB")
        all_gone(shoald)
        honest_session(shoald.port, 0.5)
        for s in sockets:
            s.close()


def case_a_body_without_end():
    """Half an hour (--full: eight) in one chunked body: memory stays level, phones come all along"""
    seconds = scaled(1800, 8 * 3600)
    with Shoald() as shoald, connect(shoald.port) as s:
        s.settimeout(60 * PATIENCE)
        s.sendall(head("/v1/phones?depth=1&chunk_ms=1280&lm=on&format=mulaw&rate=8000"))
        got = {"bytes": 0, "end": b""}

        def read():
            while piece := s.recv(65536):
                got["bytes"] += len(piece)
                got["end"] = (got["end"] + piece)[-400:]
                if got["end"].endswith(b"0\r\n\r\n"):
                    return
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        piece, level = chunk(os.urandom(80000)), None
        for i in range(seconds // 10):
            s.sendall(piece)
            if i == 20:
                level = shoald.rss_bytes()
        check(shoald.rss_bytes() - level < 4 * MIB, "memory has grown by",
              shoald.rss_bytes() - level)
        s.sendall(b"0\r\n\r\n")
        reader.join(60 * PATIENCE)
        check(b'"type":"done"' in got["end"] and
              b'"seconds":%d.000' % (seconds // 10 * 10) in got["end"], "not done:", got["end"])


def case_sound_without_end():
    """A WAV of a second with endless rest: answered, and closed"""
    with Shoald() as shoald, connect(shoald.port) as s:
        s.sendall(head("/v1/phones?depth=1") + chunk(wav(noise(1))))
        try:
            for _ in range(4000):
                s.sendall(chunk(bytes(65536)))
        except OSError:
            pass
        all_gone(shoald)
        honest_session(shoald.port, 0.5)


def case_limits_of_posts():
    """By address 429, in all 503 with Retry-After, both before the body and without 100 Continue"""
    with Shoald(max_sessions_per_ip=1) as shoald, connect(shoald.port) as first:
        first.sendall(head(RAW, length=100000))
        wait_until(lambda: shoald.metric("sessions") == 1, 10, "no session")
        got = answer(shoald.port, head(RAW, "Expect: 100-continue", length=100000))
        check(got[0] == 429 and b"max_sessions_per_ip" in got[2], "not 429 but", got)
    with Shoald(max_uploads=1) as shoald, connect(shoald.port) as first:
        first.sendall(head(RAW, length=100000))
        wait_until(lambda: shoald.metric("sessions") == 1, 10, "no session")
        got = answer(shoald.port, head(RAW, "Expect: 100-continue", length=100000))
        check(got[0] == 503 and "retry-after" in got[1], "not 503 but", got)
        honest_session(shoald.port, 0.5)


def case_slow_files_of_one_address():
    """One address whose bodies trickle cannot have all the room of files: others are served"""
    with Shoald(max_uploads=4) as shoald, contextlib.ExitStack() as slow:
        for _ in range(3):
            slow.enter_context(connect(shoald.port)).sendall(head(RAW, length=100000) + noise(0.1))
        wait_until(lambda: shoald.metric("sessions") == 3, 10, "no sessions")
        got = answer(shoald.port, head(RAW, length=100000))
        check(got[0] == 429 and b"upload_percent_per_ip" in got[2], "not 429 but", got)
        with connect(shoald.port, source="127.0.0.2") as other:
            other.sendall(head(RAW, length=32000) + noise(1))
            got = read_head(other)
            check(got[0] == 200, "another address got", got)


def case_a_drain_during_posts():
    """SIGTERM: a file that has come is answered to its end, another gets what there is and why"""
    with Shoald() as shoald, connect(shoald.port) as whole, connect(shoald.port) as half:
        half.sendall(head(RAW, length=100000) + noise(1))
        whole.sendall(head(RAW, length=64000) + noise(2))
        (status, _, first), (other, _, begin) = read_head(half), read_head(whole)
        check(status == other == 200, "no answer")
        wait_until(lambda: shoald.metric("received_bytes_total") >= 96000, 20, "not all was read")
        shoald.process.terminate()
        check(b'"type":"done"' in begin + read_all(whole), "a whole file was not answered")
        rest = first + read_all(half)
        check(b'"code":"draining"' in rest and not rest.endswith(b"0\r\n\r\n"),
              "not told of the drain:", rest[-300:])
        check(shoald.wait_exit(10 * PATIENCE) == 0, "it did not end well")


def decoders(shoald):
    with open(f"/proc/{shoald.pid}/task/{shoald.pid}/children", encoding="ascii") as f:
        return [int(pid) for pid in f.read().split()]


def posted(shoald, data):
    """(status, lines of the answer)"""
    with connect(shoald.port) as s:
        s.sendall(head("/v1/phones?depth=1", "Connection: close", length=len(data)) + data)
        status, _, text = read_head(s)
        text += read_all(s)
        return status, [json.loads(line) for line in text.split(b"\n") if line.startswith(b"{")]


def tagged(data, size):
    """With an ID3 tag of so many bytes: a picture, as players show it"""
    return b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + os.urandom(size) + data


def mp3(frames=80):
    """Silence: no side information, no bits"""
    return (b"\xff\xfb\x90\xc4" + bytes(413)) * frames


def case_much_before_the_sound():
    """A picture in front of the sound, notes of 300 KB: read as without them"""
    with open(os.path.join(SRC, "clients/web/sample.flac"), "rb") as f:
        flac = f.read()
    sound, notes = os.urandom(320000), os.urandom(300000)
    known = {"WAV": wav(sound, more=b"LIST" + struct.pack("<I", len(notes)) + notes),
             "long WAV with little before": wav(3 * sound), "tagged FLAC": tagged(flac, 300000),
             "tagged MP3": tagged(mp3(), 2000000)}
    with Shoald() as shoald:
        for name, seconds in zip(known, (10, 30, None, None)):
            status, lines = posted(shoald, known[name])
            check(status == 200 and lines[-1]["type"] == "done", name, "got", status, lines[-1:])
            check(seconds is None or lines[-1]["seconds"] == seconds, name, "is", lines[-1])


def case_files_that_lead_nowhere():
    """Heads that make libsndfile look for their sound for ever (8SVX, SDS): told at once, not after ten seconds of a core"""
    amiga = b"FORM" + struct.pack(">I", 64000) + b"16SVVHDR" + struct.pack(">I", 20) + \
        struct.pack(">IIIHBBI", 32000, 0, 0, 16000, 1, 0, 65535) + \
        b"ANNO" + struct.pack(">I", 34) + b"made by hand, and not very long at" + \
        b"BODY" + struct.pack(">I", 32000) + bytes(300)
    sampler = bytes.fromhex("f07e000100001024680300770200000000000000f7") + (b"\xf0\x7e\0\2\0" + bytes(122)) * 2
    with Shoald() as shoald:
        before = time.monotonic()
        for data in (amiga, sampler):
            status, lines = posted(shoald, data)
            check(status == 415 and "no audio file" in lines[0]["message"], "got", status, lines)
        check(time.monotonic() - before < 3 * PATIENCE, "that took", time.monotonic() - before, "s")
        wait_until(lambda: not decoders(shoald), 10, "decoders are left")


def case_files_of_strange_rates():
    """1 Hz: two kilobytes would be a quarter of an hour of audio"""
    with Shoald() as shoald:
        for rate, wanted in ((1, 415), (999, 415), (384001, 415), (1000, 200), (384000, 200)):
            status, lines = posted(shoald, wav(bytes(2000), rate=rate))
            check(status == wanted, rate, "Hz got", status, lines[-1:])


def case_files_that_lack_a_little():
    """A WAV short by 1,000 samples, a FLAC with a hole in its middle: their answers say so and break off"""
    with open(os.path.join(SRC, "clients/web/sample.flac"), "rb") as f:
        flac = f.read()
    hole = flac[:20000] + bytes(1500) + flac[21500:]
    sound = os.urandom(32000)
    with Shoald() as shoald:
        for data, lacks in ((wav(sound), False), (flac, False),
                            (wav(sound, claimed=34000), True), (hole, True)):
            status, lines = posted(shoald, data)
            said = lines[-1]["type"] == "error" and "damaged, or cut off" in lines[-1]["message"]
            check(status == 200 and said == lacks, "whole" if not lacks else "not whole", "but got", lines[-1])


def is_confined(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return "\nSeccomp:\t2\n" in f.read()


def is_sanitized():
    """Its runtime asks for more than a decoder may (daemon/net/confine.h)."""
    with open(SHOALD, "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def case_a_decoder_is_confined():
    """While it waits for the file, so before a library has seen a byte of it; check_confine tells to what"""
    with Shoald() as shoald, connect(shoald.port) as s:
        s.sendall(head("/v1/phones?depth=1", length=100000) + wav(b"")[:20])
        wait_until(lambda: len(decoders(shoald)) == 1, 10, "no decoder")
        if not is_sanitized():
            wait_until(lambda: is_confined(decoders(shoald)[0]), 10, "it may do anything")
        check(not is_confined(shoald.pid), "the daemon is confined as well")


def case_a_decoder_that_dies():
    """As a library may on a file made for it: that client is told, others are served, none is left"""
    with Shoald() as shoald, connect(shoald.port) as early, connect(shoald.port) as late:
        early.sendall(head("/v1/phones?depth=1", length=100000) + wav(b"")[:20])
        wait_until(lambda: len(decoders(shoald)) == 1, 10, "no decoder")
        os.kill(decoders(shoald)[0], signal.SIGKILL)
        check(read_head(early)[0] == 415, "a file whose decoder died at once was not told 415")
        late.sendall(head("/v1/phones?depth=1", length=200000) + wav(noise(2), claimed=200000))
        check(read_head(late)[0] == 200, "no answer")
        os.kill(decoders(shoald)[-1], signal.SIGKILL)
        text = read_all(late)
        check(b"broke off" in text and not text.endswith(b"0\r\n\r\n"), "not told:", text[-300:])
        all_gone(shoald)
        wait_until(lambda: not decoders(shoald), 10, "decoders are left")
        honest_session(shoald.port, 0.5)


def case_files_that_lie():
    """Headers that promise what cannot be, and files with some bytes changed: an answer to each"""
    with open(os.path.join(SRC, "clients/web/sample.flac"), "rb") as f:
        flac = f.read(30000)
    sound = noise(0.5)
    lies = [wav(sound, claimed=0xfffffff0), wav(sound, claimed=0), wav(b""),
            wav(sound, more=b"LIST" + struct.pack("<I", 0x7fffffff)),
            wav(sound, more=b"LIST" + struct.pack("<I", 0xffffffff)),
            wav(sound).replace(struct.pack("<HHI", 1, 1, 16000), struct.pack("<HHI", 1, 65535, 1)),
            wav(sound).replace(struct.pack("<HHI", 1, 1, 16000),
                               struct.pack("<HHI", 1, 0, 0xffffffff)),
            b"OggS" + bytes(40000), b"fLaC" + b"\xff" * 40000, b"ID3" + b"\x7f" * 40000,
            b"\xff\xfb" * 20000, b"FORM" + bytes(40000), b"caff" + b"\x01" * 40000]
    chance = random.Random(1)
    for data in (flac, wav(sound)):
        for _ in range(scaled(40, 400)):
            changed = bytearray(data)
            for _ in range(chance.randint(1, 12)):
                changed[chance.randrange(min(len(data), chance.choice((48, 400, len(data)))))] = \
                    chance.randrange(256)
            lies.append(bytes(changed))
    with Shoald() as shoald:
        for data in lies:
            with connect(shoald.port) as s:
                s.sendall(head("/v1/phones?depth=1", "Connection: close", length=len(data)) + data)
                status = read_head(s)[0]
                check(status in (200, 400, 415, 503), "status", status, "for", data[:64])
        all_gone(shoald)
        wait_until(lambda: not decoders(shoald), 10, "decoders are left")
        check(shoald.log().count("\n") < 4 * len(lies) + 20, "libraries print into our log")
        honest_session(shoald.port, 0.5)


def counted(shoald, *names):
    """By a page that counts as an answer itself"""
    text = shoald.get("/metrics")[2].decode()
    return [int(re.search(rf"^shoal_{re.escape(name)} (\d+)$", text, re.M)[1]) for name in names]


def case_answers_and_errors_are_counted_once():
    """Whatever becomes of a POST it is one answer, and an error that was told is in the counters"""
    names = ("http_requests_total", 'protocol_errors_total{code="bad_audio_format"}')
    sound = wav(noise(0.5))
    with Shoald() as shoald:
        for what, path, more, sent, errors in (
                ("an array", "/v1/embedding", ["Accept: application/x-npy"], sound, 0), ("lines", "/v1/phones", [], sound, 0),
                ("half a file", "/v1/phones", [], sound[:5000], 1), ("no file", "/v1/phones", [], b"x" * len(sound), 1),
                ("half of it as an array", "/v1/embedding", ["Accept: application/x-npy"], sound[:5000], 1)):
            before = counted(shoald, *names)
            with connect(shoald.port) as s:
                s.sendall(head(path, "Connection: close", *more, length=len(sound)) + sent)
                s.shutdown(socket.SHUT_WR)
                read_all(s)
            now = counted(shoald, *names)
            check(now[0] - before[0] == 2, what, "counts as", now[0] - before[0] - 1, "answers")
            check(now[1] - before[1] == errors, what, "counts as", now[1] - before[1], "errors")

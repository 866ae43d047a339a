#!/usr/bin/env python3
"""check_several.py - several models in one daemon: the shipped one, two small ones, and one of those with another head

A session's results are the same bytes alone and beside sessions of every other model and program, at one worker, so that
a run that mixed two of them would show. What is refused, and in which words; what the pages say."""

import json
import os
import shutil
import struct
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile"))

# pylint: disable=wrong-import-position
from daemon import SRC, Shoald, check                    # noqa: E402
from ws import BINARY, TEXT, Socket, answer, noise, request  # noqa: E402

DATA = os.path.join(SRC, "tests/data")
SECONDS = 1.3
PIECE = 5122    # bytes, no multiple of a chunk


def with_another_head(to):
    """tiny.safetensors with the signs of its head's bias turned round: other features, another SHA-256"""
    with open(os.path.join(DATA, "tiny.safetensors"), "rb") as f:
        data = bytearray(f.read())
    size = struct.unpack_from("<Q", data)[0]
    begin, end = json.loads(data[8:8 + size])["head.bias"]["data_offsets"]
    for at in range(8 + size + begin, 8 + size + end, 4):
        struct.pack_into("<f", data, at, 0.5 - struct.unpack_from("<f", data, at)[0])
    with open(to, "wb") as f:
        f.write(data)


class Four(Shoald):
    """base is the default, and again another name of small"""

    def __init__(self, **settings):
        self.files = tempfile.mkdtemp(prefix="shoal-models.")
        for name in ("tiny", "tiny2"):
            shutil.copy(os.path.join(DATA, name + ".safetensors"), self.files)
        with_another_head(self.file("bent"))
        arguments = ["--model", "base=", *(a for name, file in (
            ("small", "tiny"), ("two", "tiny2"), ("bent", "bent"), ("again", "tiny"))
            for a in ("--model", f"{name}={self.file(file)}"))]
        super().__init__(*arguments, model=None, admission="off", park_ms=0, **settings)

    def file(self, name):
        return os.path.join(self.files, name + ".safetensors")

    def page(self, path):
        status, _, body = self.get(path)
        return status, json.loads(body)

    def close(self):
        super().close()
        shutil.rmtree(self.files, ignore_errors=True)


KINDS = ["model=base&depth=12", "model=base&depth=3", "model=small&depth=12", "model=small&depth=5", "model=two&depth=12",
         "model=two&program=every-other", "model=bent&depth=12", "model=again&depth=12", "depth=6"]
OUTPUT = "&output=phones,posteriors,embedding@2"


class Session(Socket):
    """Of one kind; what came: the values of its packets, and its phones"""

    def __init__(self, port, kind):
        super().__init__(port, f"/v1/stream?{kind}{OUTPUT}")
        self.ready = self.message("ready")
        self.got = []

    def speak(self, audio):
        self.send(BINARY, audio)

    def hear(self):
        """To the end."""
        self.send(TEXT, b'{"type":"end"}')
        for op, payload in self.frames():
            if op == BINARY:
                self.got.append(payload[struct.unpack_from("<H", payload, 8)[0]:])
            elif op == TEXT:
                message = json.loads(payload)
                check(message["type"] != "error", message)
                self.got.append(json.dumps(message["phones"])) if message["type"] == "phones" else None
                if message["type"] == "done":
                    break
        self.close()
        return self.got


def pieces(audio):
    return [audio[at:at + PIECE] for at in range(0, len(audio), PIECE)]


def alone(shoald, kind, audio):
    session = Session(shoald.port, kind)
    session.speak(audio)
    return session.hear()


def together(shoald, audio, each):
    """All kinds at once, so many of each; their pieces take turns."""
    sessions = [Session(shoald.port, kind) for kind in KINDS for _ in range(each)]
    for piece in pieces(audio):
        for session in sessions:
            session.speak(piece)
    return [session.hear() for session in sessions]


# ---- parts ----

def same_bytes_as_alone(shoald):
    audio = noise(SECONDS)
    first = Session(shoald.port, KINDS[0])
    exact = first.ready["engine"]["same_in_any_company"]
    first.close()
    each = 2
    expected = [alone(shoald, kind, audio) for kind in KINDS]
    got = together(shoald, audio, each)
    for i, kind in enumerate(KINDS):
        for mine in got[i * each:(i + 1) * each]:
            check(len(mine) == len(expected[i]), kind, len(mine), "messages, not", len(expected[i]))
            check(mine == expected[i] or not exact, kind, "differs in company")
    check(expected[2] == expected[7] == expected[4], "small, again and two have the same weights")
    check(len({str(e) for e in expected}) == len(KINDS) - 2, "some of the others are alike")


def ready_says_which(shoald):
    listed = shoald.page("/v1/models")[1]["models"]
    names = [m["name"] for m in listed]
    check(names == ["base", "small", "two", "bent", "again"], names)
    check([m["default"] for m in listed] == [True] + 4 * [False], listed)
    check(listed[1]["sha256"] == listed[4]["sha256"] != listed[3]["sha256"], "which files are one")
    check(listed[1]["cpu_ms"] < listed[0]["cpu_ms"], "a small model costs as much as the shipped one")
    check([p["name"] for p in listed[2]["programs"]] == ["base", "every-other", "short"], listed[2])
    for model in listed:
        for asked in (model["name"], f"{model['name']}@{model['sha256'][:8]}", f"{model['name']}@{model['sha256']}"):
            session = Session(shoald.port, f"model={asked}&depth=2")
            check(session.ready["options"]["model"] == model["name"], session.ready["options"])
            check(session.ready["model"]["sha256"] == model["sha256"], session.ready["model"])
            check(session.ready["dim"] == model["dim"], session.ready["dim"])
            session.send(TEXT, b'{"type":"set","depth":3}')
            session.message("changed")
            session.close()
    with Socket(shoald.port, "/v1/stream") as late:
        late.send(TEXT, b'{"type":"start","model":"two","program":"short"}')
        check(late.message("ready")["options"]["model"] == "two", "a start message picks, too")


def refusals(shoald):
    sha = shoald.page("/v1/models")[1]["models"][1]["sha256"]
    other = "f" * 8 if sha[:8] != "f" * 8 else "0" * 8
    for asked, code, words in ((f"model=small@{other}", "unsupported", f"small@{sha[:12]}, not @{other}"),
                               ("model=large", "bad_option", f"small@{sha[:12]}"),
                               (f"model=small@{sha[:7]}", "bad_option", "8 to 64 digits"),
                               ("model=small&depth=13", "bad_option", "1..12"),
                               ("model=small&program=short", "bad_option", "program")):
        with Socket(shoald.port, f"/v1/stream?{asked}") as session:
            error, _ = session.refusal()
            check(error["code"] == code and words in error["message"], asked, error)
        status, _, body = answer(shoald.port, request(f"/v1/phones?{asked}&format=s16le", "POST", Upgrade=None,
                                                      Connection="close", **{"Content-Length": "2"}) + b"\0\0")
        check(status in (400, 501) and json.loads(body)["code"] == code, asked, status, body)
    with Socket(shoald.port, "/v1/stream?model=small&depth=3") as session:
        session.message("ready")
        session.send(TEXT, b'{"type":"set","model":"two"}')
        check(json.loads(session.receive()[1])["code"] in ("bad_option", "bad_message"), "set takes no model")


def pages(shoald):
    for path in ("/v1/model", "/v1/depths"):
        for query, name in (("", "base"), ("?model=two", "two"), ("?t=5&model=again", "again")):
            status, page = shoald.page(path + query)
            check(status == 200 and page["served_as"] == name, path, query, status)
        status, page = shoald.page(path + "?model=large")
        check(status == 400 and page["code"] == "bad_option" and "base@" in page["message"], path, page)
    check([p["name"] for p in shoald.page("/v1/depths?model=two")[1]["programs"]] == ["base", "every-other", "short"],
          "the programs of two")
    dims = [shoald.page(f"/v1/model?model={name}")[1]["dim"] for name in ("base", "small")]
    check(dims[0] != dims[1], dims)
    with Socket(shoald.port, "/v1/stream?model=small&depth=3") as session:
        session.message("ready")
        check([m["sessions"] for m in shoald.page("/v1/models")[1]["models"]] == [0, 1, 0, 0, 1], "who has sessions")


def post_picks(shoald):
    audio = noise(0.5)
    rows = {}
    for name in ("small", "bent", "again"):
        status, _, body = answer(shoald.port, request(f"/v1/posteriors?model={name}&format=s16le", "POST", Upgrade=None,
                                                      Connection="close", Accept="application/x-npy",
                                                      **{"Content-Length": str(len(audio))}) + audio)
        check(status == 200, name, status, body)
        rows[name] = body
    check(rows["small"] == rows["again"] != rows["bent"], "each its own")


PARTS = [same_bytes_as_alone, ready_says_which, refusals, pages, post_picks]


def main():
    failed = 0
    with Four() as shoald:
        for part in PARTS:
            begin = time.monotonic()
            try:
                part(shoald)
                print(f"ok   {part.__name__} {time.monotonic() - begin:.1f} s")
            except Exception:    # pylint: disable=broad-except
                failed += 1
                print(f"FAIL {part.__name__}")
                traceback.print_exc()
                print(shoald.log()[-4000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

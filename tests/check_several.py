#!/usr/bin/env python3
"""check_several.py - several models in one daemon: both that ship, two small ones, and one of those with another head

A session's results are the same bytes alone and beside sessions of every other model and program, at one worker, so that
a run that mixed two of them would show. What is refused, and in which words; what the pages say. Files that are read again
(SIGHUP) while sessions have what was there before."""

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import wave

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile"))

# pylint: disable=wrong-import-position
from daemon import BUILD, SRC, Shoald, check, wait_until        # noqa: E402
from ws import BINARY, TEXT, Socket, answer, noise, request  # noqa: E402

DATA = os.path.join(SRC, "tests/data")
EXPERTS, PROGRAMS = (os.path.join(SRC, f"models/shoal-{name}.safetensors") for name in ("experts", "programs"))
SECONDS = 1.3
PIECE = 5122    # bytes, no multiple of a chunk


def with_another_head(to, by=0.5):
    """tiny.safetensors with another bias of its head: other features, another SHA-256. Put in place at once."""
    with open(os.path.join(DATA, "tiny.safetensors"), "rb") as f:
        data = bytearray(f.read())
    size = struct.unpack_from("<Q", data)[0]
    begin, end = json.loads(data[8:8 + size])["head.bias"]["data_offsets"]
    for at in range(8 + size + begin, 8 + size + end, 4):
        struct.pack_into("<f", data, at, by - struct.unpack_from("<f", data, at)[0])
    put(to, data)


def put(path, data):
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


class Four(Shoald):
    """base is the default, and again another name of small"""

    def __init__(self, **settings):
        self.files = tempfile.mkdtemp(prefix="shoal-models.")
        for name in ("tiny", "tiny2"):
            shutil.copy(os.path.join(DATA, name + ".safetensors"), self.files)
        with_another_head(self.file("bent"))
        arguments = ["--model", "base=", *(a for name, file in (
            ("small", "tiny"), ("two", "tiny2"), ("bent", "bent"), ("again", "tiny"))
            for a in ("--model", f"{name}={self.file(file)}")), "--model", f"experts={EXPERTS}",
                     "--model", f"programs={PROGRAMS}"]
        super().__init__(*arguments, model=None, admission="off", elastic="off", late_limit_ms=600000, park_ms=0,
                         **settings)

    def file(self, name):
        return os.path.join(self.files, name + ".safetensors")

    def page(self, path):
        status, _, body = self.get(path)
        return status, json.loads(body)

    def sha(self, name):
        return {m["name"]: m["sha256"] for m in self.page("/v1/models")[1]["models"]}.get(name)

    def await_sessions(self, counts):
        """Of each name; one that has ended is there until its worker has let go."""
        wait_until(lambda: [m["sessions"] for m in self.page("/v1/models")[1]["models"]] == counts, 10,
                   f"sessions are not {counts}")

    def read_again(self):
        """SIGHUP, until its models are there."""
        before = self.log().count(" models_reloaded ")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log().count(" models_reloaded ") > before, 20, "the models were not read again")

    def close(self):
        super().close()
        shutil.rmtree(self.files, ignore_errors=True)


KINDS = ["model=base&depth=12", "model=base&depth=3", "model=small&depth=12", "model=small&depth=5", "model=two&depth=12",
         "model=two&program=every-other", "model=bent&depth=12", "model=again&depth=12", "depth=6", "model=experts&depth=12",
         "model=experts&depth=3", "model=programs&program=two-a-map", "model=programs&program=three-a-map&depth=7"]
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
                if message["type"] == "phones":
                    self.got.append(json.dumps(message["phones"]))
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
    check(names == ["base", "small", "two", "bent", "again", "experts", "programs"], names)
    check([m["default"] for m in listed] == [True] + 6 * [False], listed)
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
        shoald.await_sessions([0, 1, 0, 0, 1, 0, 0])


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


def programs_of_two(shoald):
    return {p["name"]: p for p in shoald.page("/v1/models")[1]["models"][2]["programs"]}


def prices_of_programs(shoald):
    def prices_agree(name):
        """They move while sessions that have just ended are measured, so also between two pages."""
        deepest = shoald.page(f"/v1/depths?model=two&program={name}")[1]["depths"][-1]
        return deepest["cpu_ms"] == programs_of_two(shoald)[name]["cpu_ms"] == deepest["chunks"][1]["cpu_ms"]
    for name, depth in (("base", 12), ("every-other", 6), ("short", 3)):
        status, page = shoald.page(f"/v1/depths?model=two&program={name}")
        check(status == 200 and page["program"] == name and len(page["depths"]) == depth, name, page)
        wait_until(lambda name=name: prices_agree(name), 5, f"pages differ in the price of {name}")
    of_two = programs_of_two(shoald)
    check(shoald.page("/v1/depths?model=two")[1]["program"] == "base", "the first is the default")
    check(shoald.page("/v1/depths?program=base")[1]["depths"][5]["cpu_ms"] > of_two["every-other"]["cpu_ms"], "by model")
    status, page = shoald.page("/v1/depths?model=two&program=deep")
    check(status == 400 and page["ref"] == "program" and "every-other" in page["message"], status, page)


def run(program, *arguments, code=0, stdin=None):
    done = subprocess.run([os.path.join(BUILD, "clients", program), *arguments], capture_output=True, text=True, check=False,
                          stdin=stdin)
    check(done.returncode == code, program, arguments, done.returncode, done.stdout[-2000:], done.stderr)
    return done.stdout


def programs_choose(shoald):
    """shoal-file, shoal-mic and shoal-tune, by option and by URL; each tells depths and prices of what it chose."""
    url = f"ws://127.0.0.1:{shoald.port}"
    short, other = ("--model", "two", "--program", "short"), ("--model", "two", "--program", "every-other")
    with tempfile.TemporaryDirectory() as folder:
        wav, raw = os.path.join(folder, "noise.wav"), os.path.join(folder, "noise.raw")
        with wave.open(wav, "wb") as w, open(raw, "wb") as r:
            w.setparams((1, 2, 16000, 0, "NONE", ""))
            w.writeframes(noise(0.5))
            r.write(noise(0.5))
        for road in (("--url", url, *short), ("--url", url + "?model=two&program=short")):
            lines = run("shoal-file", *road, "--fast", "--output", "jsonl", "--outputs", "posteriors", wav).splitlines()
            check(len(lines) == 25 and all(json.loads(line)["depth"] == 3 for line in lines), road, lines[:2])
        if os.path.exists(os.path.join(BUILD, "clients/shoal-mic")):
            mic = ("--jsonl", "--input-command", "cat " + raw)
            for road, depth in ((("--url", url, *other), "depth 3-6:"), (("--url", url, *short), "depth 3:"),
                                (("--url", url), "depth 3-12:"), (("--url", url + "?depth=2&model=two"), "depth 2:"),
                                (("--url", url, "--depth", "4"), "depth 4:")):
                said = run("shoal-mic", *mic, *road)
                check(depth in said and '"event":"start"' in said, road, said)
            run("shoal-mic", *mic, "--url", url, *short, "--depth", "4", code=1)    # what was said is not changed
        tuned(url, other, wav)


def tuned(url, which, wav):
    for road in (("--url", url, *which), ("--url", url + "/?depth=2&model=two&program=every-other")):
        out = run("shoal-tune", *road, "--chunks", "80,160", "--no-live", "--within", "1000", "--json", wav + ".json", wav)
        with open(wav + ".json", encoding="utf-8") as f:
            settings = json.load(f)["settings"]
        check([s["depth"] for s in settings] == 2 * list(range(1, 7)), settings)
        check(all(s["cpu_ms"] > 0 for s in settings), settings)
        flags, again = out.splitlines()[-2:]
        check(("--model two --program every-other" in flags) == (which[1] in road), flags)
        check(again.startswith(f"  {url}/v1/stream?"), again)
        names = [pair.split("=")[0] for pair in again.split("?")[1].split("&")]
        check(sorted(names) == ["chunk_ms", "depth", "model", "program"], again)


def freed(shoald, sha):
    return f" model_freed sha256={sha[:16]}" in shoald.log()


def files_change(shoald):
    """Who has begun goes on with what was there; who comes gets what is there"""
    audio = noise(SECONDS)
    old_sha, small_sha = shoald.sha("bent"), shoald.sha("small")
    old_alone = alone(shoald, "model=bent&depth=12", audio)
    with Session(shoald.port, "model=bent&depth=12") as old, Session(shoald.port, "model=small&depth=12") as bystander:
        old.speak(audio[:PIECE])
        bystander.speak(audio[:PIECE])
        with_another_head(shoald.file("bent"), 0.25)
        shoald.read_again()
        new_sha = shoald.sha("bent")
        check(new_sha != old_sha and shoald.sha("small") == small_sha, "the file that changed, and only that")
        new_alone = alone(shoald, f"model=bent@{new_sha[:8]}&depth=12", audio)
        check(new_alone != old_alone, "the new file gives what the old one gave")
        with Socket(shoald.port, f"/v1/stream?model=bent@{old_sha[:8]}") as late:
            check(late.refusal()[0]["code"] == "unsupported", "the old file is not there any more")
        shoald.await_sessions([0, 1, 0, 0, 1, 0, 0])     # the old one is none of the new file's
        time.sleep(0.6)     # two ticks of its clock
        check(not freed(shoald, old_sha), "it was freed while a session had it")
        old.speak(audio[PIECE:])
        bystander.speak(audio[PIECE:])
        exact = old.ready["engine"]["same_in_any_company"]
        check(old.hear() == old_alone or not exact, "the old session did not go on with its file")
        check(bystander.hear() == alone(shoald, "model=small&depth=12", audio) or not exact, "nor did the bystander")
    wait_until(lambda: freed(shoald, old_sha), 10, "the old file's model is still there")
    check(not freed(shoald, small_sha) and not freed(shoald, new_sha), "one that is served was freed")


def files_break(shoald):
    """What cannot be opened leaves what there is, and the log says why"""
    before = shoald.page("/v1/models")[1]["models"]
    with open(shoald.file("tiny"), "rb") as f:
        good = f.read()
    with Session(shoald.port, "model=small&depth=3") as old:
        for broken in (good[:len(good) // 2], b"", None):
            if broken is None:
                os.remove(shoald.file("tiny"))
            else:
                put(shoald.file("tiny"), broken)
            lines = shoald.log().count(" model_not_reloaded name=small ")
            shoald.read_again()
            check(shoald.log().count(" model_not_reloaded name=small ") == lines + 1, "the log does not say it")
            after = shoald.page("/v1/models")[1]["models"]
            check([(m["name"], m["sha256"]) for m in after] == [(m["name"], m["sha256"]) for m in before], after)
            check(alone(shoald, "model=again&depth=3", noise(0.2)), "again has the same file")
        put(shoald.file("tiny"), good)
        shoald.read_again()
        old.speak(noise(0.2))
        check(old.hear(), "the old session lost its model")
    check([m["sha256"] for m in shoald.page("/v1/models")[1]["models"]] == [m["sha256"] for m in before], "as it was")


def many_signals(shoald):
    """One after the other while sessions come, stream and go"""
    audio = noise(0.4)
    for i in range(12):
        with_another_head(shoald.file("bent"), 0.1 * i)
        shoald.process.send_signal(signal.SIGHUP)
        check(alone(shoald, "model=bent&depth=12", audio) and alone(shoald, "model=two&depth=3", audio), "no results")
    with open(shoald.file("bent"), "rb") as f:
        latest = hashlib.sha256(f.read()).hexdigest()
    wait_until(lambda: shoald.sha("bent") == latest, 20, "the last file is not the one that is served")


class Configured(Four):
    """Models by a config file that may change; a small one alone at first"""

    def __init__(self):
        self.files = tempfile.mkdtemp(prefix="shoal-models.")
        shutil.copy(os.path.join(DATA, "tiny.safetensors"), self.files)
        with_another_head(self.file("bent"))
        self.say(f"small={self.file('tiny')}")
        Shoald.__init__(self, "--config", self.file("conf"), model=None, admission="off", park_ms=0)

    def say(self, *models):
        put(self.file("conf"), "".join(f"model = {m}\n" for m in models).encode())


def names_come_and_go(_):
    audio = noise(0.5)
    with Configured() as shoald:
        small, bent = f"small={shoald.file('tiny')}", f"bent={shoald.file('bent')}"
        sha = shoald.sha("small")
        with Session(shoald.port, "model=small&depth=12") as old:
            shoald.say("base=", bent)    # larger, deeper in dimensions; small is gone
            shoald.read_again()
            check([m["name"] for m in shoald.page("/v1/models")[1]["models"]] == ["base", "bent"], "the names")
            with Socket(shoald.port, "/v1/stream?model=small") as late:
                check(late.refusal()[0]["code"] == "bad_option", "small is not there any more")
            with Socket(shoald.port, "/v1/stream?depth=12&encoding=json&chunk_ms=640"
                        "&output=phones,posteriors,embedding,hidden@0,hidden@12,mel") as large:
                check(large.message("ready")["options"]["model"] == "base", "the default is another one")
                large.send(BINARY, noise(2))
                large.send(TEXT, b'{"type":"end"}')
                check(large.message("done")["frames"] == 100, "not all of it")
            old.speak(audio)
            check(len(old.hear()) > 0, "the old session got nothing")
        wait_until(lambda: freed(shoald, sha), 10, "small is still there")
        shoald.say("base=", "bad=/no/such/file", small, "base=")
        shoald.process.send_signal(signal.SIGHUP)
        wait_until(lambda: " reload_failed " in shoald.log(), 10, "a name twice was taken")
        shoald.say("base=", "bad=/no/such/file", small)
        shoald.read_again()
        check([m["name"] for m in shoald.page("/v1/models")[1]["models"]] == ["base", "small"], "without the bad one")
        check(alone(shoald, "model=small&depth=2", audio), "small is back")
        shoald.say("bad=/no/such/file")
        shoald.read_again()
        check([m["name"] for m in shoald.page("/v1/models")[1]["models"]] == ["base", "small"], "nothing is served")


PARTS = [same_bytes_as_alone, ready_says_which, refusals, pages, prices_of_programs, programs_choose, post_picks, files_change, files_break, many_signals,
         names_come_and_go]


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

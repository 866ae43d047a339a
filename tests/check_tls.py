#!/usr/bin/env python3
"""check_tls.py - certificates of clients: wss to a server that lets nobody in without one

In front of a real shoald stands a TLS front (tls_front.py) that wants a certificate of its CA. Each client comes
with one, with none, and with one of another CA: the first gets its results, the others are told why not. Then the
files that cannot be used, and TLS 1.2, which has no alert for "you sent none". Skipped without openssl; the parts in
Python and Node say what they lack."""

import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "hostile"))

# pylint: disable=wrong-import-position
from daemon import BUILD, PATIENCE, SRC, Shoald, check      # noqa: E402
from tls_front import Front, make_all, openssl              # noqa: E402
from ws import noise                                        # noqa: E402

RECORDING = "/usr/share/sounds/alsa/Front_Center.wav"
CLIENTS = os.path.join(BUILD, "clients")
ENOUGH = 60 * PATIENCE


class Place:
    """A folder with certificates and a second of noise, a shoald, and the front of it."""

    def __init__(self, folder, shoald):
        self.folder = folder
        make_all(folder)
        self.front = Front(folder, shoald.port)
        self.old = Front(folder, shoald.port, ssl.TLSVersion.TLSv1_2)
        self.mute = Front(folder, shoald.port, mute=True)
        with open(self.file("noise.raw"), "wb") as f:
            f.write(noise(1))

    def file(self, name):
        return os.path.join(self.folder, name)

    def url(self, host="localhost", front=None):
        return f"wss://{host}:{(front or self.front).port}"

    def identity(self, who):
        """Arguments of every program; who: None, a name of make_all"""
        mine = ["--cert", self.file(who + ".pem"), "--key", self.file(who + ".key")] if who else []
        return ["--ca-file", self.file("ours.pem"), *mine]

    def run(self, *command, **how):
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=ENOUGH, check=False,
                              stdin=subprocess.DEVNULL, **how)

    def close(self):
        for front in (self.front, self.old, self.mute):
            front.close()


# ---- clients: (command, its arguments but for who it is) -> what it printed and its exit status ----

def shoal_file(place, identity, url):
    return place.run(f"{CLIENTS}/shoal-file", "--url", url, *identity, "--fast", "--quiet", "--depth", "1", "--outputs",
                     "phones", "--output", "jsonl", "--raw", "s16le", place.file("noise.raw"))


def shoal_priors(place, identity, url):
    """The other road of the library: a page, before any session. The tiny model has no priors, which only
    who gets in is told."""
    return place.run(f"{CLIENTS}/shoal-file", "--url", url, *identity, "--fast", "--quiet", "--output", "kaldi",
                     "--priors", "server", "--out-dir", place.folder, "--raw", "s16le", place.file("noise.raw"))


def shoal_load(place, identity, url, *more):
    return place.run(f"{CLIENTS}/shoal-load", "--url", url, *identity, "--sessions", "2", "--ramp", "0", "--duration",
                     "1", "--depths", "1", "--packet-ms", "20,1000", "--quiet", *more)


def shoal_mic(place, identity, url):
    return place.run(f"{CLIENTS}/shoal-mic", "--url", url, *identity, "--depth", "1", "--jsonl", "--input-command",
                     f"cat {place.file('noise.raw')}")


def shoal_tune(place, identity, url):
    return place.run(f"{CLIENTS}/shoal-tune", "--url", url, *identity, "--chunks", "160", "--no-live", "--max-latency",
                     "5000", "--quiet", RECORDING)


IN_PYTHON = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy, shoal
url, ca, cert, key = sys.argv[2:]
r = shoal.features(numpy.zeros(16000, "int16"), url, ca_file=ca, cert=cert or None, key=key or None, depth=1)
print(r.done["frames"])
"""


def in_python(place, identity, url):
    files = [*identity[1::2], "", ""][:3]
    python = [p for p in (sys.executable, "/usr/bin/python3") if has_modules(p)]
    return python and place.run(python[0], "-B", "-c", IN_PYTHON, os.path.join(SRC, "clients/python"), url, *files)


def has_modules(python):
    return os.access(python, os.X_OK) and subprocess.run([python, "-c", "import numpy, websockets"],
                                                         capture_output=True, check=False).returncode == 0


def in_node(place, identity, url):
    have = shutil.which("node") and place.run("node", "-e", "require('ws')").returncode == 0
    return have and place.run("node", os.path.join(HERE, "web/tls.mjs"), url, *identity[1::2])


# How each ends whom the server answers, and what tells so.
KINDS = {shoal_file: (0, '"phone"'), shoal_priors: (1, "does not tell priors"), shoal_load: (0, " 0 missing"),
         shoal_mic: (0, '"phone"'), shoal_tune: (0, "Take chunk_ms "), in_python: (0, "50"), in_node: (0, "50")}


def each_client(place):
    """With a certificate of the CA: in. With none, or one of another CA: not, and told"""
    for client, (status, sign) in KINDS.items():
        began = time.monotonic()
        done = client(place, place.identity("friend"), place.url())
        if not done:
            print(f"     {client.__name__}: left out, numpy and websockets, or node and its ws, are not here")
            continue
        check(done.returncode == status and sign in done.stdout + done.stderr, client.__name__, done.stdout[-500:],
              done.stderr[-500:])
        tells = client not in (in_python, in_node)      # their WebSockets do not
        for who, words in ((None, "certificate required"), ("stranger", "unknown ca"))[:1 + tells]:
            admitted = place.front.admitted
            done = client(place, place.identity(who), place.url())
            said = (done.stdout + done.stderr).lower().replace("_", " ")
            check(done.returncode not in (0, 2), client.__name__, who, "got in:", said)
            check(words in said or not tells, client.__name__, who, "was not told:", said)
            check(place.front.admitted == admitted, client.__name__, who, "got behind the front")
        print(f"     {client.__name__} {time.monotonic() - began:.1f} s")


def load_fast(place, identity, url):
    return shoal_load(place, identity, url, "--fast")


def an_older_tls(place):
    """TLS 1.2: the alert says no more than that the handshake failed; the remedy is told all the same"""
    for client in (shoal_file, load_fast):
        check(client(place, place.identity("friend"), place.url(front=place.old)).returncode == 0, client.__name__)
        done = client(place, place.identity(None), place.url(front=place.old))
        check(done.returncode == 1 and "--cert FILE" in done.stdout + done.stderr, done.stdout, done.stderr)


def no_word_at_all(place):
    """Cut off after the handshake: each ends by itself and names the server; who can wait is told so by status 3"""
    for client, status in ((shoal_file, 3), (shoal_priors, 1), (shoal_load, 1), (shoal_mic, 1)):
        done = client(place, place.identity(None), place.url(front=place.mute))
        said = done.stdout + done.stderr
        check(done.returncode == status and str(place.mute.port) in said, client.__name__, done.returncode, said)


def who_the_server_is(place):
    """By name, by address; not by another one, and not if its CA is not known"""
    for client in (shoal_file, load_fast):
        check(client(place, place.identity("friend"), place.url("127.0.0.1")).returncode == 0, client.__name__)
        for host, ca in (("127.0.0.2", "ours"), ("localhost", "other")):
            identity = ["--ca-file", place.file(ca + ".pem"), *place.identity("friend")[2:]]
            done = client(place, identity, place.url(host))
            check(done.returncode in (1, 3) and "certificate" in done.stdout + done.stderr, client.__name__, host, ca,
                  done.stdout, done.stderr)


def both_in_one_file(place):
    """--cert alone: the key is in it, as proxies have it"""
    with open(place.file("both.pem"), "wb") as both:
        for name in ("friend.key", "friend.pem"):
            with open(place.file(name), "rb") as f:
                both.write(f.read())
    done = shoal_file(place, [*place.identity(None), "--cert", place.file("both.pem")], place.url())
    check(done.returncode == 0, done.stderr)


def files_that_cannot_be_used(place):
    """Told by their names before anything is sent, and nobody is asked for a password"""
    openssl("ec", "-in", place.file("friend.key"), "-aes256", "-passout", "pass:x", "-out", place.file("locked.key"))
    friend, nothing = place.file("friend.pem"), place.file("nothing.pem")
    for arguments, words in ((["--cert", nothing], nothing), (["--cert", place.file("noise.raw")], "noise.raw"),
                             (["--cert", friend, "--key", place.file("stranger.key")], "stranger.key"),
                             (["--cert", friend, "--key", place.file("locked.key")], "without a password"),
                             (["--cert", friend], "friend.pem"), (["--key", place.file("friend.key")], "without a cert"),
                             (["--ca-file", nothing], nothing)):
        for client in (shoal_file, load_fast):
            done = client(place, [*place.identity(None), *arguments], place.url())
            said = done.stdout + done.stderr
            check(done.returncode in (1, 2) and words in said, client.__name__, arguments, done.returncode, said)


def main():
    if not shutil.which("openssl"):
        print("no openssl here")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="shoal-tls.") as folder, Shoald(admission="off", late_limit_ms=600000) as shoald:
        place = Place(folder, shoald)
        for part in (each_client, an_older_tls, no_word_at_all, who_the_server_is, both_in_one_file, files_that_cannot_be_used):
            try:
                part(place)
            except Exception:   # pylint: disable=broad-except
                failed += 1
                print("FAIL", part.__name__)
                traceback.print_exc(limit=-2, file=sys.stdout)
            else:
                print("ok  ", part.__name__)
        place.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

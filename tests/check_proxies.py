#!/usr/bin/env python3
"""check_proxies.py - TLS in front of shoald: systemd/proxy/haproxy.cfg and nginx.conf as they are shipped

Debian's programs, those very files (but for ports and the certificate, which is made here), a shoald that wants
tokens. Through each: shoal-file by wss, files by POST whose results come before their end, results that wait
for a slow reader, requests in records of one byte, and who the client is. Then with the lines that want certificates of
clients. Programs that are missing are named, and
their part is left out (exit status 77 when both are)."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "hostile")]

# pylint: disable=wrong-import-position
from case_access import ANNA, Guarded, Member, bearer, line             # noqa: E402
from daemon import BUILD, PATIENCE, SRC, Shoald, check, die_with_parent, wait_until  # noqa: E402
from tls_front import make_all                                # noqa: E402
from ws import BINARY, TEXT, connect, frame, noise, read_head, request           # noqa: E402

NAME = "speech.example.org"
PATH = os.environ["PATH"] + ":/usr/sbin"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificate(folder):
    """For NAME and localhost, key and certificate in one file, as HAProxy has it."""
    key, cert, both = (os.path.join(folder, n) for n in ("key", "cert", "both"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={NAME}",
                    "-addext", f"subjectAltName=DNS:{NAME},DNS:localhost"], check=True, capture_output=True)
    with open(both, "wb") as f:
        for path in (key, cert):
            with open(path, "rb") as part:
                f.write(part.read())
    return cert, both


class Proxy:
    """A program with the shipped file; settings: what shoald needs for it."""

    def __init__(self, folder, shoald_port, pem, clients=None):
        self.folder, self.port = folder, free_port()
        with open(os.path.join(SRC, "systemd/proxy", self.file), encoding="ascii") as f:
            text = f.read()
        for old, new in ((":7350", f":{shoald_port}"), *self.changes(pem)):
            check(old in text, self.file, "has no", old)
            text = text.replace(old, new)
        if clients:
            text = self.asking(text, clients)
        with open(os.path.join(folder, self.file), "w", encoding="ascii") as f:
            f.write(text)
        self.log = open(os.path.join(folder, self.file + ".log"), "w+b")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_until(self.answers, 15, f"{self.file}: nobody listens: {self.said()}")

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def answers(self):
        check(self.process.poll() is None, self.file, "ended:", self.said())
        with contextlib.suppress(OSError, ValueError), secured(self, "localhost", identity="friend.pem") as s:
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return read_head(s)[0] == 200
        return False

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


class HAProxy(Proxy):
    file, program, settings = "haproxy.cfg", "haproxy", {"proxy_from": "127.0.0.1"}

    def changes(self, pem):
        return ((":443", f"127.0.0.1:{self.port}"), ("/etc/haproxy/shoal.pem", pem))

    def asking(self, text, clients):
        line = re.search("^    #   (ca-file) (.*clients.pem) (verify.*)$", text, re.M)
        return text.replace(" ssl-min-ver TLSv1.2\n", f" ssl-min-ver TLSv1.2 {line[1]} {clients} {line[3]}\n")

    def command(self):
        return [shutil.which(self.program, path=PATH), "-db", "-f", os.path.join(self.folder, self.file)]


class Nginx(Proxy):
    file, program, settings = "nginx.conf", "nginx", {"hosts": NAME}

    def changes(self, pem):
        return (("listen 443", f"listen 127.0.0.1:{self.port}"), ("/etc/nginx/shoal.pem", pem))

    def asking(self, text, clients):
        return text.replace("#ssl_", "ssl_").replace("/etc/nginx/clients.pem", clients)

    def command(self):
        main = os.path.join(self.folder, "main.conf")
        places = "".join(f"{kind}_temp_path {self.folder}/{kind};\n"
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(main, "w", encoding="ascii") as f:
            f.write(f"daemon off;\nmaster_process off;\npid {self.folder}/pid;\nevents {{ }}\n"
                    f"http {{\naccess_log off;\n{places}include {self.folder}/{self.file};\n}}\n")
        return [shutil.which(self.program, path=PATH), "-c", main, "-e", "stderr"]


def secured(proxy, name=NAME, source="127.0.0.1", receive_buffer=None, identity=None):
    """A TLS connection from that address, whose certificate is looked at; identity: a file with one and its key."""
    trusted = ssl.create_default_context(cafile=os.path.join(proxy.folder, "cert"))
    if identity and os.path.exists(os.path.join(proxy.folder, identity)):
        trusted.load_cert_chain(os.path.join(proxy.folder, identity), os.path.join(proxy.folder, "friend.key"))
    s = connect(proxy.port, receive_buffer=receive_buffer, source=source)
    return trusted.wrap_socket(s, server_hostname=name)


class Session(Member):
    """An upgraded connection through the proxy."""

    def __init__(self, proxy, path="/v1/stream?depth=2", by_bytes=False, headers=None, **how):
        self.s = secured(proxy, **how)
        raw = request(path, headers={"Host": NAME, **bearer(ANNA), **(headers or {})})
        for piece in ([raw[i:i + 1] for i in range(len(raw))] if by_bytes else [raw]):
            self.s.sendall(piece)
        status, self.headers, self.data = read_head(self.s)
        check(status == 101, "upgrade got", status, self.data[:300])


def ask_shoal_file(url, *arguments):
    return subprocess.run([os.path.join(BUILD, "clients/shoal-file"), "--url", url, "--fast", "--quiet", "--outputs",
                           "phones", "--output", "jsonl", "--depth", "3", *arguments], capture_output=True,
                          text=True, timeout=30 * PATIENCE, env={**os.environ, "SHOAL_TOKEN": ANNA}, check=False)


def shoal_file(url, *arguments):
    done = ask_shoal_file(url, *arguments)
    check(done.returncode == 0, "shoal-file", url, done.stdout, done.stderr)
    return done.stdout


def by_our_client(proxy, _):
    """wss with --ca-file: the same lines as without a proxy"""
    raw = os.path.join(proxy.folder, "noise.raw")
    with open(raw, "wb") as f:
        f.write(noise(2))
    with Shoald() as plain:     # of shoald behind HAProxy only proxies may ask
        direct = shoal_file(f"ws://127.0.0.1:{plain.port}", "--raw", "s16le", raw)
    cert = os.path.join(proxy.folder, "cert")
    check(shoal_file(f"wss://localhost:{proxy.port}", "--ca-file", cert, "--raw", "s16le", raw) == direct,
          "other results through TLS")


def who_may(proxy, shoald):
    """Tokens, pages and names as without a proxy; clients' addresses where they are told"""
    with secured(proxy) as s:
        s.sendall(request(headers={"Host": NAME}))
        status, headers, _ = read_head(s)
        check(status == 401 and headers["www-authenticate"].startswith("Bearer"), status, headers)
    with secured(proxy) as s:
        s.sendall(request(headers={"Host": NAME, "Origin": "https://evil.example", **bearer(ANNA)}))
        check(read_head(s)[0] == 403, "a page of another origin got in")
    for path in ("/v1/sessions", "/metrics"):
        with secured(proxy) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {ANNA}\r\n\r\n".encode())
            check(read_head(s)[0] == 404, path, "is open")
    with Session(proxy, source="127.0.0.7", by_bytes=True, headers={"Origin": f"https://{NAME}"}) as ws:
        ws.send(BINARY, noise(0.2))
        for byte in frame(TEXT, b'{"type":"end"}'):
            ws.s.sendall(bytes([byte]))         # a record each
        check(ws.message("done")["frames"] == 10, "of 0.2 s")
    seen = "127.0.0.7" if "proxy_from" in proxy.settings else "127.0.0.1"
    check(f"peer={seen}:" in shoald.log().split("session_open")[-1], "the log has another client")


def slow_reader(proxy, _):
    """30 s of audio at once, 1.2 MB of results that nobody reads for a while, then all in order"""
    wanted = 1500
    with Session(proxy, "/v1/stream?depth=1-2&output=embedding,posteriors,hidden,mel", receive_buffer=8192) as ws:
        ws.s.settimeout(30 * PATIENCE)
        ws.send(TEXT, b'{"type":"ping","id":"x"}')
        audio = noise(30)
        for at in range(0, len(audio), 16384):
            ws.send(BINARY, audio[at:at + 16384])
        ws.send(TEXT, b'{"type":"end"}')
        time.sleep(0.5)
        rows, size, last = 0, 0, None
        for op, payload in ws.frames():
            size += len(payload)
            if op == BINARY and payload[5] == 2:
                rows += int.from_bytes(payload[48:50], "little")
            if op == TEXT:
                last = json.loads(payload)
                if last["type"] == "done":
                    break
        check(last["type"] == "done" and rows == wanted == last["frames"], rows, "rows,", last)
        check(size > 300000, "only", size, "bytes")


def streaming_post(proxy, _):
    """Results of the first half come before the second is sent; more in all than any buffer"""
    with secured(proxy) as s:
        s.sendall(f"POST /v1/posteriors?depth=1&format=s16le&rate=16000 HTTP/1.1\r\nHost: {NAME}\r\n"
                  f"Authorization: Bearer {ANNA}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        half = noise(2)
        s.sendall(b"%x\r\n%s\r\n" % (len(half), half))
        text = b""
        while b'"first_frame":' not in text:
            piece = s.recv(65536)
            check(piece, "the answer ended:", text[:300])
            text += piece
        check(text.startswith(b"HTTP/1.1 200"), text[:100])
        for _ in range(30):
            s.sendall(b"%x\r\n%s\r\n" % (len(half), half))
        s.sendall(b"0\r\n\r\n")
        while b'"done"' not in text[-4096:]:
            piece = s.recv(65536)
            check(piece, "the answer broke off:", text[-300:])
            text += piece
        done = json.loads(re.search(rb'\{"type":"done".*\}', text)[0])
        check(done["frames"] == 3100, done)


def with_certificates(kind, folder, shoald, pem):
    """Of the CA: in; of another, or none: not"""
    make_all(folder)
    raw = os.path.join(folder, "noise.raw")
    with contextlib.closing(kind(folder, shoald.port, pem, os.path.join(folder, "ours.pem"))) as proxy:
        def try_as(*identity):
            return ask_shoal_file(f"wss://localhost:{proxy.port}", "--ca-file", os.path.join(folder, "cert"), *(
                part for who in identity for part in ("--cert", f"{folder}/{who}.pem", "--key", f"{folder}/{who}.key")
            ), "--raw", "s16le", raw)
        done = try_as("friend")
        check(done.returncode == 0, done.stderr)
        for identity in ((), ("stranger",)):
            done = try_as(*identity)
            words = "HTTP status 400" if kind is Nginx else "refused this client"
            check(done.returncode == 1 and words in done.stderr, identity, done.returncode, done.stderr)


def attempt(kind, part, *arguments):
    """1: it failed."""
    begin = time.monotonic()
    try:
        part(*arguments)
    except Exception:   # pylint: disable=broad-except
        print(f"FAIL {kind.program}: {part.__name__}")
        traceback.print_exc(limit=-2, file=sys.stdout)
        for proxy in (a for a in arguments if isinstance(a, Proxy)):
            print(proxy.said()[-2000:])
        return 1
    print(f"ok   {kind.program}: {part.__name__} {time.monotonic() - begin:.1f} s")
    return 0


def run(kind):
    """The number of parts that failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="shoal-proxy.") as folder:
        pem = make_certificate(folder)[1]
        with Guarded(line("anna", ANNA), **kind.settings) as shoald:
            with contextlib.closing(kind(folder, shoald.port, pem)) as proxy:
                for part in (by_our_client, who_may, slow_reader, streaming_post):
                    failed += attempt(kind, part, proxy, shoald)
            failed += attempt(kind, with_certificates, kind, folder, shoald, pem)
    return failed


def main():
    missing = [p for p in ("openssl", "haproxy", "nginx") if not shutil.which(p, path=PATH)]
    for program in missing:
        print(f"no {program} here (apt install {program})")
    kinds = [k for k in (HAProxy, Nginx) if k.program not in missing]
    if not kinds or "openssl" in missing:
        return 77
    return 1 if sum(run(kind) for kind in kinds) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Who may not: every way in without a token, from a page or by a name that is none of ours"""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile

from case_handshake import json_answer, proxied
from daemon import BUILD, PATIENCE, Shoald, check, wait_until
from ws import BINARY, CLOSE, TEXT, Socket, answer, honest_session, noise, request

ANNA, BERT, EVE = "shoal_" + "a" * 43, "shoal_" + "b" * 43, "shoal_" + "e" * 43
GUARDED = ("/v1/model", "/v1/depths", "/metrics", "/v1/sessions", "/v1/phones")
OPEN = ("/healthz", "/readyz", "/", "/shoal.js", "/app.js")


def line(name, token, limits=""):
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()} {limits}\n"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def offered(token, before=""):
    code = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return {"Sec-WebSocket-Protocol": f"{before}shoal.v1, shoal.token.{code}"}


def get(path, headers=None):
    lines = "".join(f"{k}: {v}\r\n" for k, v in {"Host": "localhost", **(headers or {})}.items())
    return f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode()


def post(headers=None, path="/v1/phones?format=s16le&rate=16000", audio=b"\0" * 6400):
    lines = "".join(f"{k}: {v}\r\n" for k, v in {"Host": "localhost", **(headers or {})}.items())
    return (f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(audio)}\r\n"
            "Connection: close\r\n\r\n").encode() + audio


class Guarded(Shoald):
    """With a file of tokens."""

    def __init__(self, lines, **settings):
        self.folder = tempfile.TemporaryDirectory(prefix="shoal-tokens.")
        self.tokens = self.folder.name + "/tokens"
        self.write(lines)
        super().__init__(tokens=self.tokens, log_level="debug", **settings)

    def write(self, lines):
        with open(self.tokens, "w", encoding="ascii") as f:
            f.write(lines)

    def close(self):
        super().close()
        self.folder.cleanup()


class Member(Socket):
    """An upgraded connection with a token, and headers of its own."""

    def __init__(self, port, headers, path="/v1/stream?depth=2"):
        super().__init__(port, path, headers=headers)


def ways_in(headers, offer):
    """(what, raw request) of every way, with these header lines; offer: as a subprotocol"""
    for path in GUARDED:
        yield "GET " + path, get(path, headers)
    yield "POST", post(headers)
    yield "upgrade", request(headers=headers)
    if offer:
        yield "upgrade with a subprotocol", request(headers=offer)


def refused_everywhere(shoald, headers, offer, status, sign):
    for what, raw in ways_in(headers, offer):
        got = json_answer(shoald, raw, (status,), what)
        check(sign(got), f"{what}: headers {got}")


def finish(ws):
    ws.send(BINARY, noise(0.2))
    ws.send(TEXT, b'{"type":"end"}')
    done = ws.message("done")
    code = next(payload for op, payload in ws.frames() if op == CLOSE)
    ws.send(CLOSE, code[:2])    # else the link might have broken before done came, and the session is kept
    return done


def case_tokens_on_every_way_in():
    """Without one, with a wrong one: 401 and nothing else; only health and the page are open"""
    with Guarded(line("anna", ANNA)) as shoald:
        refused_everywhere(shoald, {}, None, 401, lambda h: h["www-authenticate"] == 'Bearer realm="shoal"')
        for wrong in (EVE, ANNA[:-1], ANNA + "a", "anna", hashlib.sha256(ANNA.encode()).hexdigest()):
            refused_everywhere(shoald, bearer(wrong), offered(wrong), 401,
                               lambda h: 'error="invalid_token"' in h["www-authenticate"])
        refused_everywhere(shoald, {"Authorization": "Basic YW5uYTphbm5h"}, None, 401, bool)
        for path in (f"/v1/stream?token={ANNA}", f"/v1/stream?access_token={ANNA}&depth=2"):
            json_answer(shoald, request(path), (401,), "a token in the query")
        for path in OPEN:
            status = answer(shoald.port, get(path))[0]
            check(status == 200, f"{path} got {status}")
        text = answer(shoald.port, get("/metrics", bearer(ANNA)))[2].decode()
        for reason in ("no_token", "bad_token"):
            count = int(text.split(f'access_refused_total{{reason="{reason}"}} ')[1].split()[0])
            check(count >= 7, reason, "was counted", count, "times")
        check("shoal_tokens 1\n" in text and "shoal_sessions 0\n" in text, text[:300])


def case_tokens_let_in_and_are_never_shown():
    """By header and subprotocol, however long the list; log, dump and answers have the name only"""
    many = "".join(f"p{i}, " for i in range(1000))
    with Guarded(line("anna", ANNA) + line("bert", BERT)) as shoald:
        for headers, protocol in ((bearer(ANNA), None), (offered(BERT), "shoal.v1"),
                                  (offered(ANNA, many), "shoal.v1")):
            with Member(shoald.port, headers) as ws:
                check(ws.headers.get("sec-websocket-protocol") == protocol, ws.headers)
                check("shoal_" not in str(ws.headers), ws.headers)
                finish(ws)
        code = offered(ANNA)["Sec-WebSocket-Protocol"].split()[1]
        json_answer(shoald, request(headers={"Sec-WebSocket-Protocol": code}), (400,), "no shoal.v1")
        json_answer(shoald, request(headers={**bearer(ANNA), **offered(BERT)}), (400,), "two tokens")
        status, _, body = answer(shoald.port, post(bearer(BERT)))
        check(status == 200 and b'"ready"' in body, "POST got", status, body[:200])
        with Member(shoald.port, bearer(ANNA)) as ws:
            ws.message("ready")
            sessions = json.loads(answer(shoald.port, get("/v1/sessions", bearer(BERT)))[2])["sessions"]
            check([s["token"] for s in sessions if s["phase"] == "streaming"] == ["anna"], sessions)
            shoald.process.send_signal(signal.SIGUSR1)
            wait_until(lambda: "session=" in shoald.log().split(" dump ")[-1], 5, "no dump")
        log = shoald.log()
        check(log.count("token=anna") >= 4 and "token=bert" in log, "the log does not say whose")
        for secret in (ANNA, BERT, code, "aaaaaaaa", "bbbbbbbb"):
            check(secret not in log, "a token is in the log")


def case_what_a_token_allows():
    """Sessions at once, depth, sessions a minute: of one token, and no other"""
    lines = line("anna", ANNA, "sessions=1 depth=2") + line("bert", BERT, "rate=3")
    with Guarded(lines) as shoald:
        with Member(shoald.port, bearer(ANNA), "/v1/stream?rate=16000") as ws:
            check(ws.message("ready")["depth"] == 2, "the depth is not that of the token")
            for headers in (bearer(ANNA), offered(ANNA)):
                with Member(shoald.port, headers) as second:
                    error, close = second.refusal()
                    check((error["code"], close) == ("too_many_sessions", 1013), error)
                    check("your token" in error["message"], error)
            json_answer(shoald, post(bearer(ANNA)), (429,), "POST beside a session")
            ws.send(TEXT, b'{"type":"set","depth":3}')
            got = json.loads(ws.receive()[1])
            check(got["code"] == "bad_option" and "token" in got["message"], got)
            finish(ws)
        wait_until(lambda: "result=done" in shoald.log(), 5, "the session does not end")
        for path in ("/v1/stream?depth=3", "/v1/stream?output=phones@3", "/v1/stream?depth=1-3"):
            with Member(shoald.port, bearer(ANNA), path) as ws:
                error, _ = ws.refusal()
                check(error["code"] == "bad_option" and "1..2" in error["message"], path, error)
        for way in (bearer(BERT), offered(BERT), None):
            if way:
                with Member(shoald.port, way) as ws:
                    finish(ws)
            else:
                check(answer(shoald.port, post(bearer(BERT)))[0] == 200, "the third got no answer")
        with Member(shoald.port, bearer(BERT)) as ws:
            error, _ = ws.refusal()
            check(error["code"] == "too_many_sessions", error)
            check(0 < error["retry_after_ms"] <= 20000, "come again in", error)
        headers = json_answer(shoald, post(bearer(BERT)), (429,), "POST beyond the rate")
        check(0 < int(headers["retry-after"]) <= 20, headers)
        with Member(shoald.port, bearer(ANNA)) as ws:
            finish(ws)


def run_client(shoald, program, *arguments, **environment):
    """(exit code, all that it said)"""
    done = subprocess.run([os.path.join(BUILD, "clients", program), "--url", f"ws://127.0.0.1:{shoald.port}",
                           *arguments], capture_output=True, text=True, timeout=30 * PATIENCE, check=False,
                          env={**os.environ, "SHOAL_TOKEN": "", **environment})
    return done.returncode, done.stdout + done.stderr


def refusals(shoald):
    text = answer(shoald.port, get("/metrics", bearer(ANNA)))[2].decode()
    return re.findall(r'access_refused_total\{reason="\w+_token"\} (\d+)', text)


def case_our_programs_show_tokens():
    """--token-file, or SHOAL_TOKEN; without one they say how to give it, and never show it"""
    with Guarded(line("anna", ANNA)) as shoald, Guarded("") as other:
        kept = shoald.folder.name + "/token"
        with open(kept, "w", encoding="ascii") as f:
            f.write(f"  {ANNA} \r\n" + line("anna", ANNA))
        raw = shoald.folder.name + "/noise.raw"
        with open(raw, "wb") as f:
            f.write(noise(0.3))
        programs = (("shoal-file", "--fast", "--latency", "--raw", "s16le", raw),
                    ("shoal-mic", "--jsonl", "--input-command", f"cat {raw}"),
                    ("shoal-load", "--sessions", "2", "--duration", "1", "--ramp", "0"))
        for command in programs:
            code, said = run_client(shoald, *command)
            check(code != 0 and "--token-file" in said, command, "without:", code, said)
            before = refusals(shoald)
            for arguments, environment in (((), {"SHOAL_TOKEN": ANNA}), (("--token-file", kept), {})):
                code, said = run_client(shoald, *command[:1], *arguments, *command[1:], **environment)
                check(code == 0, command, arguments, code, said)
                check(ANNA not in said, "the token was shown")
            check(refusals(shoald) == before, command, "asks for a page without its token")
        for path in ("/nonexistent/token", other.tokens):
            code, said = run_client(shoald, "shoal-file", "--token-file", path, raw)
            check(code == 2 and path in said, "a bad token file:", code, said)
        code, said = run_client(shoald, "shoal-file", "--fast", "--raw", "s16le", raw, SHOAL_TOKEN="a b")
        check(code != 0 and "blank" in said, code, said)


def broken_off(port, headers):
    """A session whose link is reset: what opens it again"""
    with Member(port, headers) as ws:
        key = ws.message("ready")["resume"]
        ws.reset()
    return f"/v1/stream?resume={key}&got=0"


def case_sessions_of_other_tokens():
    """What is parked opens to the token that began it alone, and counts as a session again then"""
    with Guarded(line("anna", ANNA, "sessions=1") + line("bert", BERT)) as shoald:
        path = broken_off(shoald.port, bearer(ANNA))
        json_answer(shoald, request(path), (401,), "without a token")
        json_answer(shoald, request(path, headers=bearer(EVE)), (401,), "with a wrong token")
        for other in (bearer(BERT), offered(BERT)):
            with Member(shoald.port, other, path) as ws:
                error, _ = ws.refusal()
                check((error["code"], error["ref"]) == ("cannot_resume", "resume"), error)
        with Member(shoald.port, bearer(ANNA)) as new:      # in the place of the broken one
            new.message("ready")
            with Member(shoald.port, bearer(ANNA), path) as ws:
                error, _ = ws.refusal()
                check(error["code"] == "too_many_sessions" and error["retry"], error)
            finish(new)
        wait_until(lambda: "result=done" in shoald.log(), 5, "the session does not end")
        with Member(shoald.port, bearer(ANNA), path) as ws:
            check(ws.message("ready").get("resumed"), "it did not go on")
            finish(ws)


def case_tokens_change_while_it_runs():
    """SIGHUP: a bad file changes nothing and is told by line; a good one cuts nobody off"""
    with Guarded(line("anna", ANNA)) as shoald, Member(shoald.port, bearer(ANNA)) as ws:
        ws.message("ready")
        shoald.write(line("bert", BERT) + "carl " + EVE + "\n")
        shoald.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload_failed" in shoald.log(), 5, "a bad file was not told")
        check(f"{shoald.tokens}, line 2" in shoald.log() and EVE not in shoald.log(), shoald.log())
        json_answer(shoald, request(headers=bearer(BERT)), (401,), "bert, of the bad file")
        check(answer(shoald.port, get("/v1/model", bearer(ANNA)))[0] == 200, "anna is locked out")
        shoald.write(line("bert", BERT))
        shoald.process.send_signal(signal.SIGHUP)
        wait_until(lambda: " reloaded " in shoald.log(), 5, "the good file was not read")
        json_answer(shoald, request(headers=bearer(ANNA)), (401,), "anna, who is gone")
        with Member(shoald.port, bearer(BERT)) as other:
            finish(other)
        check(finish(ws)["frames"] == 10, "the old session lost something")
    with Shoald(wait=False, tokens="/nonexistent/tokens") as shoald:
        check(shoald.wait_exit(20) == 1 and "/nonexistent/tokens" in shoald.log(), shoald.log())


def case_pages_of_other_origins():
    """They get nothing; ours, and clients that are no pages, are served as ever"""
    evil = {"Origin": "https://evil.example"}
    with Shoald(origins="https://app.example") as shoald:
        port = shoald.port
        for origin in ("https://evil.example", "null", "http://localhost.evil.example",
                       "https://app.example.evil.example", "file://", ""):
            refused_everywhere(shoald, {"Origin": origin}, None, 403,
                               lambda h: "access-control-allow-origin" not in h)
        status, headers, _ = answer(port, get("/shoal.js", evil))
        check(status == 200 and "access-control-allow-origin" not in headers, headers)
        preflight = get("/v1/phones", evil).replace(b"GET", b"OPTIONS")
        check(answer(port, preflight)[0] == 403, "a preflight of another origin")
        check('access_refused_total{reason="origin"} 0' not in shoald.get("/metrics")[2].decode(), "not counted")
        for origin, host in ((f"http://localhost:{port}", f"localhost:{port}"),
                             ("http://localhost:3000", f"127.0.0.1:{port}"),
                             ("https://app.example", "localhost")):
            page = {"Origin": origin, "Host": host}
            with Member(port, page) as ws:
                finish(ws)
            status, headers, _ = answer(port, post(page))
            check(status == 200 and headers["access-control-allow-origin"] == origin, status, headers)
            check("Origin" in headers["vary"], headers)
            status, headers, _ = answer(port, get("/v1/phones", page).replace(b"GET", b"OPTIONS"))
            check(status == 204 and headers["access-control-allow-origin"] == origin, headers)
            check("Authorization" in headers["access-control-allow-headers"], headers)
        honest_session(port, 0.2)


def case_names_of_others():
    """DNS rebinding: on loopback only addresses, localhost and what is listed may be in Host"""
    evil = {"Host": "evil.example:7350", "Origin": "http://evil.example:7350"}
    with Shoald() as shoald:
        refused_everywhere(shoald, evil, None, 421, bool)
        refused_everywhere(shoald, {"Host": "x"}, None, 421, bool)
        for host in ("127.0.0.1", "localhost:7350", "[::1]:7350"):
            check(answer(shoald.port, get("/v1/model", {"Host": host}))[0] == 200, host)
        check(answer(shoald.port, b"GET /v1/model HTTP/1.0\r\n\r\n")[0] == 200, "no Host")
        check(answer(shoald.port, get("/healthz", evil))[0] == 200, "a health check by another name")
    with Shoald(hosts="evil.example") as shoald:
        check(answer(shoald.port, get("/v1/model", evil))[0] == 200, "a listed name")
    with Shoald(proxy_from="127.0.0.1") as shoald:
        raw = proxied("192.0.2.7") + get("/v1/model", {"Host": "speech.example"})
        check(answer(shoald.port, raw)[0] == 200, "the name of a proxy")

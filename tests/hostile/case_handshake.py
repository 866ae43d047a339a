"""Requests that are not right: each is answered, with the status and in our JSON"""

import json
import re
import socket
import struct
import time

from daemon import Shoald, check, wait_until
from ws import Socket, answer, connect, honest_session, read_head, request

BIG = "a" * 9000


def json_answer(shoald, raw, statuses, what):
    """Checks status and body, that the log names the peer; returns headers."""
    status, headers, body = answer(shoald.port, raw)
    check(status in statuses, f"{what}: {status or 'no answer'}, not {statuses[0]}")
    check("json" in headers.get("content-type", ""), f"{what}: not JSON but",
          headers.get("content-type"), body[:80])
    error = json.loads(body)
    check(error.get("type") == "error" and error.get("message"), f"{what}: body {body[:200]}")
    return headers


def case_version_of_websocket():
    """Version 8, or none: 426 with the one wanted"""
    with Shoald() as shoald:
        for version in ("8", "0", "14", "x", None):
            raw = request(**{"headers": {"Sec-WebSocket-Version": version}})
            headers = json_answer(shoald, raw, (426, 400) if version is None else (426,),
                                  f"version {version}")
            if version is not None:
                check(headers.get("sec-websocket-version") == "13", "no version wanted:", headers)


def case_key_of_websocket():
    """A key that is not 16 bytes in base64, or none: 400"""
    with Shoald() as shoald:
        for key in ("abc", "", "a" * 24, "dGhlIHNhbXBsZSBub25jZQ=", "!" * 22 + "==", None):
            json_answer(shoald, request(headers={"Sec-WebSocket-Key": key}), (400,), f"key {key}")


def case_http_1_0():
    """An upgrade in HTTP/1.0 is none"""
    with Shoald() as shoald:
        json_answer(shoald, request(version="HTTP/1.0"), (400, 426, 505), "HTTP/1.0")


def case_missing_host():
    with Shoald() as shoald:
        json_answer(shoald, request(headers={"Host": None}), (400,), "upgrade without Host")
        json_answer(shoald, b"GET /v1/model HTTP/1.1\r\n\r\n", (400,), "GET without Host")


def case_bad_escapes():
    with Shoald() as shoald:
        for path in ("/v1/stream?depth=%zz", "/v1/%zz", "/v1/stream?depth=3%", "/%"):
            json_answer(shoald, request(path), (400,), path)
            json_answer(shoald, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), (400,), path)


def case_large_requests():
    """Above 8 KB: 431 for a header, 414 for a URL"""
    with Shoald() as shoald:
        json_answer(shoald, request(headers={"X-Big": BIG}), (431,), "a header of 9000 bytes")
        json_answer(shoald, request("/v1/stream?depth=3&x=" + BIG), (414,), "a URL of 9000 bytes")
        json_answer(shoald, f"GET /{BIG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), (414,), "a long path")
        many = {f"X-{n}": "b" * 100 for n in range(100)}
        json_answer(shoald, request(headers=many), (431,), "100 headers")
        honest_session(shoald.port, 0.3)


def case_not_a_request():
    """What is no HTTP at all is answered with 400 or ended, and never harms others"""
    with Shoald() as shoald:
        for raw in (b"\r\n\r\n", b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\0" * 300,
                    b"GET\r\n\r\n", b"GET /healthz\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n"):
            status = answer(shoald.port, raw)[0]
            check(status in (0, 400, 405, 426, 505), raw[:20], "got", status)
        honest_session(shoald.port, 0.3)


def case_smuggled_requests():
    """What two readers would cut differently is refused, and what follows it is not read"""
    second = b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Shoald() as shoald:
        for lines in (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                      b"Content-Length: 4\r\nContent-Length: 0\r\n", b"Content-Length : 0\r\n",
                      b"X: a\r\n Content-Length: 0\r\n", b"X: a\nContent-Length: 0\r\n"):
            raw = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n" + second
            with connect(shoald.port) as s:
                s.sendall(raw)
                text = b""
                while piece := s.recv(65536):
                    text += piece
            check(text.startswith(b"HTTP/1.1 400 "), lines, "got", text[:100])
            check(text.count(b"HTTP/1.1 ") == 1, lines, "and the next was answered too")


def case_body_of_a_get():
    """Its bytes are no request"""
    with Shoald() as shoald, connect(shoald.port) as s:
        inner = b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n"
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        text = b""
        while piece := s.recv(65536):
            text += piece
        check(text.startswith(b"HTTP/1.1 200 ") and text.count(b"HTTP/1.1 ") == 1, text[:300])


def case_methods():
    """HEAD and OPTIONS are answered as GET is; others 405 with Allow"""
    with Shoald() as shoald:
        for path in ("/healthz", "/readyz", "/v1/model", "/v1/depths", "/metrics"):
            want = shoald.get(path)
            status, headers, body = shoald.get(path, "HEAD")
            check(status == want[0] == 200, f"HEAD {path}: {status}")
            check(body == b"" and headers["Content-Type"] == want[1]["Content-Type"],
                  f"HEAD {path}: other headers than GET, or a body")
            status, headers, _ = shoald.get(path, "OPTIONS")
            check(status in (200, 204), f"OPTIONS {path}: {status}")
            allowed = headers.get("Allow") or headers.get("Access-Control-Allow-Methods") or ""
            check("GET" in allowed and "HEAD" in allowed, f"OPTIONS {path} allows {allowed!r}")
            for method in ("POST", "DELETE", "PUT"):
                status, headers, body = shoald.get(path, method)
                check(status == 405, f"{method} {path}: {status}")
                check("GET" in headers.get("Allow", ""), f"{method} {path}: no Allow")
                check(json.loads(body)["type"] == "error", f"{method} {path}: {body[:80]}")


def case_post_upgrade():
    with Shoald() as shoald:
        json_answer(shoald, request(method="POST"), (405,), "POST upgrade")
        json_answer(shoald, request(method="PUT"), (405,), "PUT upgrade")


def case_cross_origin():
    """No page may read what a page reads, unless it is told so (more in case_access.py)"""
    with Shoald() as shoald:
        for path in ("/readyz", "/v1/model", "/v1/depths"):
            headers = shoald.get(path)[1]
            check("Access-Control-Allow-Origin" not in headers, f"{path}: {headers}")
            check(headers["Vary"] == "Origin", f"{path}: a cache may give it to another page")


def case_plain_get_of_stream():
    """GET without an upgrade tells what to do"""
    with Shoald() as shoald:
        raw = b"GET /v1/stream?depth=3 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        headers = json_answer(shoald, raw, (426, 400), "GET /v1/stream")
        check("websocket" in headers.get("upgrade", "websocket").lower(), headers)


def case_refusals_are_logged():
    """With the peer, at info"""
    with Shoald() as shoald:
        answer(shoald.port, request(headers={"Sec-WebSocket-Version": "8"}))
        answer(shoald.port, request("/v1/stream?x=" + BIG))
        wait_until(lambda: shoald.log().count("peer=127.0.0.1:") >= 2, 3,
                   "refused requests are not in the log with their peer")


def refused(shoald, path, code, close):
    """As a WebSocket client sees it: 101, error, Close"""
    with Socket(shoald.port, path) as ws:
        error, closed = ws.refusal()
        check(error["code"] == code, "error is", error, "not", code)
        check(closed == close, f"{code}: closed with {closed}, not {close}")
        check(error["retry"] is (close != 1008), f"{code}: retry is {error['retry']}")
        return error


def case_refusals_after_the_upgrade():
    """bad_option, too_many_sessions, overloaded and draining, to those who read WebSocket only"""
    with Shoald(max_sessions=1, drain_timeout_s=30) as shoald:
        refused(shoald, "/v1/stream?depth=99", "bad_option", 1008)
        with Socket(shoald.port) as ws:
            ws.message("ready")
            refused(shoald, "/v1/stream?depth=3", "too_many_sessions", 1013)
            status, headers, _ = shoald.get("/readyz")
            check(status == 503 and headers.get("Retry-After"), "/readyz when full:", status)
            shoald.process.terminate()      # it stays for a while: nobody answers its Close
            wait_until(lambda: b"draining" in shoald.get("/readyz")[2], 5, "not draining")
            refused(shoald, "/v1/stream?depth=3", "draining", 1012)


def case_overloaded_after_the_upgrade():
    with Shoald(capacity=1, admission_percent=10) as shoald:
        error = refused(shoald, "/v1/stream?depth=12", "overloaded", 1013)
        check(error.get("retry_after_ms", 0) > 0, "no time to wait:", error)


def case_too_many_of_one_address():
    with Shoald(max_sessions_per_ip=1) as shoald, Socket(shoald.port) as ws:
        ws.message("ready")
        refused(shoald, "/v1/stream?depth=3", "too_many_sessions", 1013)


def proxied(source, port=4660):
    """A PROXY header of version 2: a client of that address."""
    return (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(source) +
            socket.inet_aton("10.0.0.1") + struct.pack(">HH", port, 7350))


def case_clients_behind_a_proxy():
    """Limits, log and /v1/sessions see the client that the proxy names, who cannot name another"""
    with Shoald(proxy_from="127.0.0.1", max_sessions_per_ip=1) as shoald:
        def upgrade(head, cut=None):
            s = connect(shoald.port)
            for part in (head[:cut], head[cut:]) if cut else (head,):
                s.sendall(part)
                time.sleep(0.05 if cut else 0)
            s.sendall(request())
            return s, read_head(s)
        first, got = upgrade(proxied("192.0.2.7"))
        check(got[0] == 101, "a client behind the proxy got", got)
        second, got = upgrade(proxied("192.0.2.7"))
        check(b"max_sessions_per_ip" in got[2] + second.recv(4096), "the same client again got", got)
        for cut in (1, 13, 20):
            third, got = upgrade(proxied(f"192.0.2.{cut}"), cut)
            check(got[0] == 101, "another client got", got)
            third.close()
        check("peer=192.0.2.7:4660" in shoald.log(), "the log does not name the client")
        got = answer(shoald.port, proxied("192.0.2.8") + b"GET /v1/sessions HTTP/1.0\r\n\r\n")
        check(got[0] == 404, "/v1/sessions is open to strangers behind the proxy")
        got = answer(shoald.port, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /readyz HTTP/1.0\r\n\r\n")
        check(got[0] == 200, "the proxy's own health check got", got)
        for wrong in (b"GET /readyz HTTP/1.0\r\n\r\n", b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n"):
            got = answer(shoald.port, wrong)
            check(got[0] == 400 and b"proxy_from" in got[2], "without its header it got", got)
        first.close()
        second.close()
    with Shoald() as shoald:
        got = answer(shoald.port, proxied("192.0.2.7") + b"GET /readyz HTTP/1.0\r\n\r\n")
        check(got[0] == 400, "a header from nobody's proxy was taken:", got)


def case_refusals_beyond_those_told():
    """Of many refusals in a second some are told, and then the number of the others, though none follow"""
    with Shoald() as shoald:
        for n in range(40):
            check(shoald.get(f"/nothing{n}")[0] == 404, "not 404")
        wait_until(lambda: "requests_refused" in shoald.log(), 5, "no number of the others")
        told = shoald.log().count("request_refused")
        untold = sum(int(n) for n in re.findall(r"not_told=(\d+)", shoald.log()))
        check(told + untold == 40, told, "told and", untold, "counted, of 40")

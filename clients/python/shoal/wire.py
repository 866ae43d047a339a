"""What travels between a program and a shoal server, as pure functions (docs/protocol.md)."""

from __future__ import annotations

import json
import os
import re
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Union
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import numpy as np

DEFAULT_URL = "ws://127.0.0.1:7350"
Audio = Union[bytes, bytearray, memoryview, np.ndarray]
Json = dict[str, Any]               # a message as docs/protocol.md has it

# ---- failures ----------------------------------------------------------------------------

SOON_MS, LATER_MS = 500, 2000      # when nobody said how long to wait
RETRY_MS = {"unreachable": LATER_MS, "full": LATER_MS, "restarting": SOON_MS, "lost": SOON_MS,
            "rejected": -1, "broken": -1}
CAUSES = {"overloaded": "full", "too_many_sessions": "full", "backlog": "full",
          "draining": "restarting", "shutdown": "restarting", "start_timeout": "lost",
          "idle_timeout": "lost", "slow_reader": "lost", "internal": "broken"}
CLOSES = {1001: "restarting", 1012: "restarting", 1013: "full", 1011: "broken", 1006: "lost",
          1003: "rejected", 1007: "rejected", 1008: "rejected", 1009: "rejected"}


class Failure(Exception):
    """Why a session ended before it was done.

    cause: unreachable (nobody answers), full (later, or ask for less), restarting, lost (connect again),
    rejected (correct what the message names), broken (report it). retry_ms: the same session may
    be tried again after so many; -1: that will not help. code: the protocol's, or connection_failed,
    connection_lost, upgrade_refused, bad_answer, closed_early. ref: the option it is about, or "".
    """

    def __init__(self, cause: str, message: str, code: str = "", retry_ms: Optional[int] = None,
                 close_code: int = 0, http_status: int = 0, ref: str = "", asked_ms: int = 0) -> None:
        super().__init__(message)
        self.cause, self.code, self.ref = cause, code, ref
        self.retry_ms = RETRY_MS[cause] if retry_ms is None else retry_ms
        self.asked_ms = asked_ms        # of which the server has asked for so many; 0: it said nothing of it
        self.close_code, self.http_status = close_code, http_status


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


def _tame(text: str) -> str:
    """Fit for a terminal."""
    return _CONTROLS.sub(" ", text)


@contextmanager
def sensible() -> Iterator[None]:
    """What a server says is taken apart here: where that fails, it makes no sense."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as e:
        raise Failure("broken", f"an answer that makes no sense: {e!r}"[:500], "bad_answer") from e


def failure_of_error(error: Mapping[str, Any], close_code: int = 0, http_status: int = 0) -> Failure:
    """An `error` message, or the body of a refused upgrade."""
    cause = CAUSES.get(error.get("code", ""), "rejected")
    retry_ms, asked_ms = -1, 0
    if error.get("retry"):
        asked_ms = max(error.get("retry_after_ms", 0), 0)
        retry_ms = asked_ms or (LATER_MS if cause == "full" else SOON_MS)
    message, code, ref = (_tame(error.get(name, usual)) for name, usual in (
        ("message", "refused"), ("code", ""), ("ref", "")))
    return Failure(cause, message, code, retry_ms, close_code, http_status, ref, asked_ms)


def failure_of_status(status: int) -> Failure:
    """A refused upgrade whose body cannot be read."""
    cause = "full" if status in (429, 503) else "broken" if status >= 500 else "rejected"
    why = ": the token is missing or wrong, token= or SHOAL_TOKEN" if status == 401 else ""
    return Failure(cause, f"the server refused the session with HTTP status {status}{why}", "upgrade_refused",
                   http_status=status)


def failure_of_close(code: int, reason: str = "") -> Failure:
    """A close that no error came before."""
    cause = CLOSES.get(code, "lost")
    if cause == "lost":
        return Failure(cause, "the connection to the server broke: connect again", "connection_lost",
                       close_code=code)
    return Failure(cause, _tame(f"the server closed the session (close code {code} {reason})".rstrip()),
                   "closed_early", close_code=code)


# ---- options and the URL -----------------------------------------------------------------

def encode_options(options: Mapping[str, Any]) -> str:
    """A query. Sequences are joined: depth=(3, 12) is the range 3-12, output=["phones@4", "embedding"] both."""
    def text(name: str, value: Any) -> str:
        if isinstance(value, (list, tuple)):
            value = ("-" if name == "depth" else ",").join(map(str, value))
        if isinstance(value, bool):
            value = "on" if value else "off"
        return f"{name}={quote(str(value), safe=',@')}"
    return "&".join(text(k, v) for k, v in options.items() if v is not None)


def session_url(url: Optional[str], options: Mapping[str, Any]) -> str:
    """The whole URL: port 7350 and /v1/stream are filled in, options win over the URL's own.

    None: what SHOAL_URL says, else ws://127.0.0.1:7350."""
    url = url or os.environ.get("SHOAL_URL") or DEFAULT_URL
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise Failure("rejected", f"{url}: use ws://HOST[:PORT] or wss://", "bad_url")
    place = parts.netloc
    if parts.port is None and parts.scheme == "ws":
        place += ":7350"
    path = parts.path or "/"
    path += "v1/stream" if path.endswith("/") else ""
    asked = {"rate": 16000, **dict(parse_qsl(parts.query)), **options}
    if "resume" in options:         # it has its options already
        asked = dict(options)
    return urlunsplit((parts.scheme, place, path, encode_options(asked), ""))


# ---- results ------------------------------------------------------------------------------

@dataclass(frozen=True)
class Phone:
    """Seconds from the beginning of the session; tap: N of an output with @N, else 0."""
    phone: str
    start: float
    end: float
    confidence: float
    tap: int = 0


@dataclass(frozen=True)
class Packet:
    """Rows of features; values: float32 [rows, dim], whatever the encoding. flags: 1 the depth changed,
    2 the chunk was cut short. row_ms: audio that a row stands for, 20 for a frame, 10 for mel, more for means."""
    kind: str
    depth: int
    tap: int
    flags: int
    seq: int
    first_frame: int
    start_sample: int
    received: int
    processed: int
    queued_us: int
    computed_us: int
    values: np.ndarray
    row_ms: int = 20

    @property
    def frames(self) -> int:
        """Frames that the rows stand for."""
        return len(self.values) * self.row_ms // 20

    @property
    def name(self) -> str:
        """The output as it was asked for: "posteriors", "embedding@4"."""
        if self.kind == "hidden" and not self.depth:
            return "hidden@0"
        return f"{self.kind}@{self.tap}" if self.tap else self.kind


KINDS = {1: "posteriors", 2: "embedding", 3: "hidden", 4: "mel"}
DTYPES = {1: "<f4", 2: "<f2"}
HEAD = struct.Struct("<4sBBBBHHIQQQQHHIIB")


def decode_packet(data: bytes) -> Packet:
    """One binary message."""
    if len(data) < 64:
        raise Failure("broken", f"a feature packet of {len(data)} bytes", "bad_answer")
    (magic, version, kind, encoding, depth, head, flags, seq, first, start, received, processed, frames,
     dim, queued, computed, tap) = HEAD.unpack_from(data)
    if magic != b"SHOL" or version != 1 or kind not in KINDS or encoding not in DTYPES:
        raise Failure("broken", "a feature packet that this version cannot read", "bad_answer")
    row_ms = int.from_bytes(data[64:68], "little") if head >= 72 else 20
    if head < 64 or len(data) != head + frames * dim * np.dtype(DTYPES[encoding]).itemsize or not row_ms:
        raise Failure("broken", f"{len(data)} bytes for {frames} x {dim} values", "bad_answer")
    values = np.frombuffer(data, DTYPES[encoding], frames * dim, head).astype(np.float32)
    return Packet(KINDS[kind], depth, tap, flags, seq, first, start, received, processed, queued, computed,
                  values.reshape(frames, dim), row_ms)


def packet_of_json(m: Mapping[str, Any]) -> Packet:
    """A `features` message of encoding=json; null (not finite) is NaN."""
    rows = [[np.nan if v is None else v for v in row] for row in m["data"]]
    values = np.array(rows, np.float32).reshape(m["frames"], m["dim"])
    names = ("kind", "depth", "flags", "seq", "first_frame", "start_sample", "received", "processed",
             "queued_us", "computed_us")
    numbers: Json = {n: m[n] if n == "kind" else _number(m, n) for n in names}
    return Packet(tap=m.get("tap", 0), values=values, row_ms=_number(m, "row_ms", 1, 20), **numbers)


def _number(m: Mapping[str, Any], name: str, least: int = 0, default: Optional[int] = None) -> int:
    value: int = m[name] if default is None else m.get(name, default)
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is {value!r}")
    return value


def _no_number(name: str) -> None:
    raise ValueError(name)              # NaN, Infinity: no JSON, but Python takes them


def check_ready(ready: Json) -> None:
    """Numbers of it that are reckoned with."""
    options = ready["options"]
    for name in ("rate", "channels", "chunk_ms"):
        _number(options, name, 20 if name == "chunk_ms" else 1)
    _number(options, "left_ms")
    _number(options, "activity_hangover_ms", 0, 0)
    _number(ready, "latency_ms")
    _number(ready, "replay_ms", 0, 0)
    _number(ready["model"], "rate", 1)
    most_of(ready)


MOST_BYTES = 65536


def most_of(ready: Json) -> int:
    """Bytes of a message of audio; a server that says none has said nothing."""
    most: int = ready.get("limits", {}).get("max_message_bytes", MOST_BYTES)
    return min(MOST_BYTES, int(most)) if most >= 1 else MOST_BYTES


PROGRESS = ("received", "processed")
NUMBERS = {"phones": PROGRESS, "activity": (*PROGRESS, "frame", "sample"), "flushed": (*PROGRESS, "frames"),
           "changed": ("from_frame", "from_sample"), "done": (*PROGRESS, "frames", "phones", "packets")}


def _labels(m: Json) -> list[str]:
    if m["type"] == "ready":
        return list(m.get("labels", []))
    lists = (m["phones"], m.get("tentative", [])) if m["type"] == "phones" else ()
    return [p["phone"] for phones in lists for p in phones]


def message_of(data: Union[str, bytes]) -> Union[Json, Packet]:
    """One message of a server."""
    if isinstance(data, bytes):
        return decode_packet(data)
    m = json.loads(data, parse_constant=_no_number)
    if not isinstance(m, dict) or not isinstance(m["type"], str):
        raise ValueError("no object with a type")
    for name in NUMBERS.get(m["type"], ()):
        _number(m, name)
    if m["type"] == "ready":
        check_ready(m)
    if any(_CONTROLS.search(label) for label in _labels(m)):
        raise ValueError("control characters in a label")
    if m["type"] == "error":
        m["message"] = _tame(m.get("message", ""))
    return packet_of_json(m) if m["type"] == "features" else m


def join(packets: list[Packet]) -> np.ndarray:
    """The rows of one output, [frames, dim]. A gap is a Failure."""
    full = [p for p in packets if len(p.values)]
    for a, b in zip(full, full[1:]):
        if a.row_ms <= 20 and b.first_frame != a.first_frame + a.frames:
            raise Failure("broken", f"frame {a.first_frame + a.frames} is missing", "bad_answer")
    return np.concatenate([p.values for p in full or packets])

"""A session for asyncio, on the websockets package (10.4 and later)."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import ssl
import time
from typing import Any, AsyncIterator, Generator, Optional, Union

import websockets

from . import again
from .kept import Kept
from .samples import audio_bytes
from .wire import (Audio, Failure, Json, Packet, failure_of_close, failure_of_error, failure_of_status, message_of,
                   most_of, sensible, session_url)

Message = Union[Json, Packet]
CLOSE_S = 2                             # a server that has said why it closes does so at once


class AsyncSession:
    """One session. Use connect().

    ready: the `ready` message. Iterate for all messages, in order, from `ready` on: dicts as
    docs/protocol.md, 4, has them, and Packets; the iterator ends after `done` and raises Failure.
    Results are to be read while audio is sent: a server whose results are not read stops reading.
    With reconnect_s a session outlives its connection: see connect.
    """

    def __init__(self, ws: Any, ready: Json, format: str, opener: Any = None, reconnect_s: float = 0) -> None:
        self.ready = ready
        self._opener, self._reconnect_s = opener, reconnect_s
        self._patience = again.Patience(reconnect_s)
        self._can_replay = again.can_replay(ready["options"])
        self._joined = again.Joined(ready["options"]["rate"])
        self._kept, self._skipped = Kept(), 0
        self._got = 0                       # messages of the server's session, `ready` left out
        self._ended = False
        self._sending = asyncio.Lock()      # held while a connection is away and audio goes again
        self._replay: Optional[asyncio.Task[None]] = None
        self._ws, self._format, self._done = ws, format, False
        self._first: list[Message] = [ready]
        self._most = most_of(ready)

    async def send(self, audio: Audio) -> None:
        """Arrays of float in [-1, 1] or int16, or bytes of the session's format, cut anywhere. Waits while the
        server has enough."""
        data = audio_bytes(audio, self._format, self.ready["options"]["channels"])
        most = max(1, len(data)) if self._format == "opus" else self._most
        for at in range(0, len(data), most):
            async with self._sending:
                if self._reconnect_s:
                    self._keep(data[at:at + most])
                await self._put(data[at:at + most])

    def _keep(self, data: bytes) -> None:
        self._kept.add(data)
        if self._format in again.SAMPLE_BYTES:
            done = max(self._joined.frames_done() - self._skipped * 50 // self._joined.rate, 0)
            self._kept.forget(self._byte(again.first_frame(self.ready, done)))
        else:
            self._kept.forget(0)

    def _byte(self, frame: int) -> int:
        channels: int = self.ready["options"]["channels"]
        return self._joined.sample(frame) * again.SAMPLE_BYTES[self._format] * channels

    async def set(self, **change: Any) -> None:
        """depth, output, ... in mid-stream; a `changed` message or an `error` that is not fatal follows."""
        change = {k: list(v) if isinstance(v, tuple) else v for k, v in change.items()}
        if "chunk_ms" in change:
            self._can_replay = False    # chunks no longer count from the start
        await self._ask({"type": "set", **change})

    async def flush(self, id: str = "") -> None:
        """Everything about the audio so far; `flushed` follows its results."""
        await self._ask({"type": "flush", "id": id})

    async def skip(self, samples: int) -> None:
        """So many samples of a channel are left out here, a frame (20 ms) at least: times go on as if they had
        been sent, and what follows is heard as by a new session."""
        self._can_replay = False        # bytes no longer tell times
        self._skipped += samples
        await self._ask({"type": "skip", "samples": samples})

    async def ping(self, id: str = "") -> None:
        await self._ask({"type": "ping", "id": id})

    async def end(self) -> None:
        """No more audio; all results, then `done` follow."""
        self._ended = True
        await self._ask({"type": "end"})

    async def close(self) -> None:
        """Hang up; what is under way is lost unless `done` has come."""
        self._reconnect_s = 0           # nobody asks for another connection any more
        if self._replay:
            self._replay.cancel()
        await self._ws.close()

    async def _ask(self, message: Json) -> None:
        async with self._sending:
            if self._reconnect_s:
                self._kept.add(json.dumps(message))
            await self._put(json.dumps(message))

    async def _put(self, message: Union[str, bytes]) -> None:
        try:
            await self._ws.send(message)
        except websockets.ConnectionClosed:
            pass                        # the iterator says why

    async def __aenter__(self) -> "AsyncSession":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while self._first:
            yield self._first.pop()
        while not self._done:
            m: Optional[Message]
            try:
                received = await _receive(self._ws)
            except Failure as f:
                if not self._may_go_on() or not again.helps(f):
                    raise
                m = await self._go_on(f)
            else:
                self._got += 1
                with sensible():
                    m = self._take(received)
            if m is not None:
                yield m

    def _take(self, received: Message) -> Optional[Message]:
        """As one of the session; None: it was given before."""
        if isinstance(received, dict) and received["type"] == "ready":
            raise ValueError("a second ready")
        m = self._joined.take(received)
        if isinstance(m, dict):
            self._done = m["type"] == "done"
            if m["type"] == "changed" and m["reason"] == "set":
                self.ready["options"].update(depth=m["range"], output=m["output"])
        if m is not None:
            self._patience.hear(m)
        return m

    # ---- a connection that broke ----

    def _may_go_on(self) -> bool:
        return bool(self._reconnect_s and (self._can_replay or self.ready.get("resume")))

    async def _go_on(self, failure: Failure) -> Json:
        """Connect anew; what is needed of the audio goes again in a task of its own."""
        if self._replay:
            self._replay.cancel()
            await asyncio.gather(self._replay, return_exceptions=True)
        await self._sending.acquire()
        try:
            messages, parked = await self._connect_again(failure)
            if not self._reconnect_s:       # closed meanwhile
                await self._ws.close()
                raise failure
        except BaseException:
            self._sending.release()
            raise
        self._replay = asyncio.create_task(self._send_again(messages))
        # also where it is cancelled before its first step
        self._replay.add_done_callback(lambda _: self._sending.release())
        size = sum(len(m) for m in messages if isinstance(m, bytes))
        return {"type": "resumed", "replayed_s": size / self._bytes_a_second(), "parked": parked}

    def _bytes_a_second(self) -> int:
        o: dict[str, int] = self.ready["options"]
        return again.SAMPLE_BYTES.get(self._format, 1) * o["channels"] * o["rate"]

    async def _connect_again(self, failure: Failure) -> tuple[list[Union[bytes, str]], bool]:
        """(what is to be sent again, the server had kept the session)"""
        self._patience.breaks(time.monotonic())
        while True:
            helps = again.helps(failure) and self._may_go_on()
            wait = self._patience.wait_s(failure, time.monotonic()) if helps else -1
            if wait < 0:
                raise failure
            await asyncio.sleep(wait)
            try:
                with sensible():
                    if self.ready.get("resume"):
                        return await self._come_back(), True
                    return await self._begin_anew(), False
            except Failure as f:
                if self.ready.get("resume") and f.cause in ("rejected", "broken") and self._can_replay:
                    self.ready["resume"] = ""       # the next attempt is a replay
                else:
                    failure = f

    async def _come_back(self) -> list[Union[bytes, str]]:
        """To the session that the server has parked."""
        ws, ready = await self._opener._open_session({"resume": self.ready["resume"], "got": self._got})
        held = ready.get("resumed", {})
        messages = self._kept.lacking(held.get("bytes", -1), held.get("requests", -1))
        if messages is None:
            await ws.close()
            raise Failure("rejected", "what the server holds of the session is not what was sent to it",
                          "cannot_resume")
        self._ws, self.ready = ws, ready
        return messages

    async def _begin_anew(self) -> list[Union[bytes, str]]:
        """In a new session, with the audio on which the next results depend."""
        ws, ready = await self._opener._open_session(self.ready["options"])
        other = again.differs(self.ready, ready)
        if other:
            await ws.close()
            raise other
        frame = again.first_frame(self.ready, self._joined.frames_done())
        at = self._byte(frame)
        if at < self._kept.start:
            await ws.close()
            raise Failure("rejected", "the session cannot go on where it was: the audio on which results depend "
                          "is not kept any more", "audio_forgotten")
        self._ws, self.ready, self._got = ws, ready, 0
        self._joined.begin(frame)
        self._kept.begin(at, self._ended)
        end = [json.dumps({"type": "end"})] if self._ended else []
        return [*self._kept.audio_from(at), *end]

    async def _send_again(self, messages: list[Union[bytes, str]]) -> None:
        for message in messages:
            await self._put(message)


async def _receive(ws: Any) -> Message:
    """The next message; a fatal error or an early close is raised."""
    try:
        data = await ws.recv()
    except websockets.ConnectionClosed as e:
        raise failure_of_close(*_close_of(e)) from e
    with sensible():
        m = message_of(data)
        fatal = isinstance(m, dict) and m["type"] == "error" and m.get("fatal")
        failure = failure_of_error(m) if fatal and isinstance(m, dict) else None
    if not failure:
        return m
    try:
        await asyncio.wait_for(ws.wait_closed(), CLOSE_S)
        failure.close_code = ws.close_code or 0
    except asyncio.TimeoutError:
        ws.transport.abort()
    raise failure


def _close_of(e: websockets.ConnectionClosed) -> tuple[int, str]:
    return (e.rcvd.code, e.rcvd.reason) if e.rcvd else (1006, "")


def _refusal(e: Exception, url: str) -> Failure:
    status = getattr(e, "status_code", None) or getattr(getattr(e, "response", None), "status_code", None)
    if status:
        body = getattr(getattr(e, "response", None), "body", None)
        try:
            return failure_of_error(json.loads(body or b""), http_status=status)
        except ValueError:
            return failure_of_status(status)
    place = url.split("?")[0].replace("/v1/stream", "")
    # what TLS says of a certificate that a server refused, websockets keeps to itself
    hint = "; does it want a certificate of yours (cert=, key=), or another one?" if url.startswith("wss:") else ""
    return Failure("unreachable", f"no shoal server answers at {place}: is it running, are host and port "
                   f"right? ({e}){hint}", "connection_failed")


def _arguments() -> dict[str, Any]:
    """No compression, no bound on results; no proxy that the environment names."""
    known = inspect.signature(websockets.connect).parameters
    given: dict[str, Any] = {"compression": None, "max_size": None, "subprotocols": ["shoal.v1"]}
    return {**given, "proxy": None} if "proxy" in known else given


def _no_password() -> str:
    raise ValueError("the key must have no password")       # else OpenSSL would ask on the terminal


def _tls(ca_file: Optional[str], cert: Optional[str], key: Optional[str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for path in (ca_file, cert, key):
        if path:                        # ssl would not say which
            with open(path, "rb"):
                pass
    if ca_file:
        context.load_verify_locations(ca_file)
    if key and not cert:
        raise ValueError("a key without a certificate says nothing: name the certificate as well")
    if cert:
        context.load_cert_chain(cert, key, _no_password)
    return context


def _checked(token: str) -> str:
    """A line of a header: one that was read from a file may still have its line break."""
    if not all(33 <= ord(c) < 127 for c in token):
        raise ValueError("the token has a blank, a line break or another character that no token has; "
                         "if it comes from a file: .read().strip()")
    return token


class connect:
    """`await connect(url, **options)` or `async with connect(...) as session`.

    url: ws://HOST[:PORT] or wss://; None: SHOAL_URL, else ws://127.0.0.1:7350. token: sent as
    Authorization: Bearer; None: SHOAL_TOKEN, if there is one; "": none. ca_file: wss: certificates to
    trust besides the system's. cert, key: wss: files with the certificate that the server wants of you, and with its
    private key (None: in cert's file). options: rate (16000), depth (6 or (3, 12)), output, encoding ("f32"), ...

    reconnect_s: a connection that breaks, also because the server was killed, is tried again for so many
    seconds; results go on without a gap or a copy, after a message {"type": "resumed"}: in the session that the
    server has kept ("parked": true), or in a new one, to which the audio is sent again on which the next results depend. A server with another model is a Failure with code
    other_model, other_precision or other_kernels. 0: the session fails at once.
    """

    def __init__(self, url: Optional[str] = None, *, token: Optional[str] = None, ca_file: Optional[str] = None,
                 cert: Optional[str] = None, key: Optional[str] = None, timeout: float = 10.0,
                 reconnect_s: float = 0, **options: Any) -> None:
        self._reconnect_s, self._asked = reconnect_s, url
        self._url, self._timeout = session_url(url, {"encoding": "f32", **options}), timeout
        self._format = str(options.get("format", "s16le"))
        self._arguments = _arguments()
        if ca_file or cert or key:
            self._arguments["ssl"] = _tls(ca_file, cert, key)
        if token := os.environ.get("SHOAL_TOKEN") if token is None else token:
            new = "additional_headers" in inspect.signature(websockets.connect).parameters
            name = "additional_headers" if new else "extra_headers"
            self._arguments[name] = {"Authorization": f"Bearer {_checked(token)}"}

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, *_: Any) -> None:
        await self._session.close()

    async def _open(self) -> AsyncSession:
        ws, ready = await self._open_session(None)
        with sensible():
            return AsyncSession(ws, ready, self._format, self, self._reconnect_s)

    async def _open_session(self, granted: Optional[Json]) -> tuple[Any, Json]:
        """A connection whose session has begun, and its `ready`. granted: options to insist on."""
        url = session_url(self._asked, granted) if granted else self._url
        try:
            ws = await asyncio.wait_for(self._connect(url), self._timeout)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as e:
            raise _refusal(e, url) from e
        try:
            ready = await asyncio.wait_for(_receive(ws), self._timeout)
        except asyncio.TimeoutError as e:
            await ws.close()
            raise _refusal(e, url) from e
        except BaseException:               # cancelled, too
            ws.transport.abort()
            raise
        if not isinstance(ready, dict) or ready.get("type") != "ready":
            await ws.close()
            raise Failure("broken", "the server's first message is not ready", "bad_answer")
        return ws, ready

    async def _connect(self, url: str) -> Any:
        return await websockets.connect(url, open_timeout=self._timeout, **self._arguments)

"""A session for asyncio, on the websockets package (10.4 and later)."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any, AsyncIterator, Generator, Optional, Union

import websockets

from .wire import (Audio, Failure, Packet, audio_bytes, decode_packet, failure_of_close, failure_of_error,
                   failure_of_status, packet_of_json, session_url)

Message = Union[dict, Packet]
MESSAGE_BYTES = 65536


class AsyncSession:
    """One session. Use connect().

    ready: the `ready` message. Iterate for all messages, in order, from `ready` on: dicts as
    docs/protocol.md, 4, has them, and Packets; the iterator ends after `done` and raises Failure.
    Results are to be read while audio is sent: a server whose results are not read stops reading.
    """

    def __init__(self, ws: Any, ready: dict, format: str) -> None:
        self.ready = ready
        self._ws, self._format, self._done = ws, format, False
        self._first: list[Message] = [ready]
        self._most = min(MESSAGE_BYTES, ready.get("limits", {}).get("max_message_bytes", MESSAGE_BYTES))

    async def send(self, audio: Audio) -> None:
        """Arrays of float in [-1, 1] or int16, or bytes of the session's format, cut anywhere. Waits while the
        server has enough."""
        data = audio_bytes(audio, self._format)
        most = max(1, len(data)) if self._format == "opus" else self._most
        for at in range(0, len(data), most):
            await self._put(data[at:at + most])

    async def set(self, **change: Any) -> None:
        """depth, output, ... in mid-stream; a `changed` message or an `error` that is not fatal follows."""
        change = {k: list(v) if isinstance(v, tuple) else v for k, v in change.items()}
        await self._put(json.dumps({"type": "set", **change}))

    async def flush(self, id: str = "") -> None:
        """Everything about the audio so far; `flushed` follows its results."""
        await self._put(json.dumps({"type": "flush", "id": id}))

    async def ping(self, id: str = "") -> None:
        await self._put(json.dumps({"type": "ping", "id": id}))

    async def end(self) -> None:
        """No more audio; all results, then `done` follow."""
        await self._put(json.dumps({"type": "end"}))

    async def close(self) -> None:
        """Hang up; what is under way is lost unless `done` has come."""
        await self._ws.close()

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
            m = await _receive(self._ws)
            self._done = isinstance(m, dict) and m["type"] == "done"
            yield m


async def _receive(ws: Any) -> Message:
    """The next message; a fatal error or an early close is raised."""
    try:
        data = await ws.recv()
        if isinstance(data, bytes):
            return decode_packet(data)
        m = json.loads(data)
    except websockets.ConnectionClosed as e:
        raise failure_of_close(*_close_of(e)) from e
    except ValueError as e:
        raise Failure("broken", f"an answer that makes no sense: {e}", "bad_answer") from e
    if m.get("type") == "error" and m.get("fatal"):
        await ws.wait_closed()
        raise failure_of_error(m, ws.close_code or 0)
    return packet_of_json(m) if m.get("type") == "features" else m


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
    return Failure("unreachable", f"no shoal server answers at {place}: is it running, are host and port "
                   f"right? ({e})", "connection_failed")


def _arguments() -> dict[str, Any]:
    """No compression, no bound on results; no proxy that the environment names."""
    known = inspect.signature(websockets.connect).parameters
    given: dict[str, Any] = {"compression": None, "max_size": None, "subprotocols": ["shoal.v1"]}
    return {**given, "proxy": None} if "proxy" in known else given


class connect:
    """`await connect(url, **options)` or `async with connect(...) as session`.

    url: ws://HOST[:PORT] or wss://; None: SHOAL_URL, else ws://127.0.0.1:7350. token: sent as
    Authorization: Bearer. options: rate (16000), depth (6 or (3, 12)), output, encoding ("f32"), ...
    """

    def __init__(self, url: Optional[str] = None, *, token: Optional[str] = None, timeout: float = 10.0,
                 **options: Any) -> None:
        self._url, self._timeout = session_url(url, {"encoding": "f32", **options}), timeout
        self._format = str(options.get("format", "s16le"))
        self._arguments = _arguments()
        if token:
            new = "additional_headers" in inspect.signature(websockets.connect).parameters
            name = "additional_headers" if new else "extra_headers"
            self._arguments[name] = {"Authorization": f"Bearer {token}"}

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, *_: Any) -> None:
        await self._session.close()

    async def _open(self) -> AsyncSession:
        try:
            ws = await asyncio.wait_for(self._connect(), self._timeout)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as e:
            raise _refusal(e, self._url) from e
        try:
            ready = await asyncio.wait_for(_receive(ws), self._timeout)
        except asyncio.TimeoutError as e:
            await ws.close()
            raise _refusal(e, self._url) from e
        if not isinstance(ready, dict) or ready.get("type") != "ready":
            await ws.close()
            raise Failure("broken", "the server's first message is not ready", "bad_answer")
        return AsyncSession(ws, ready, self._format)

    async def _connect(self) -> Any:
        return await websockets.connect(self._url, open_timeout=self._timeout, **self._arguments)

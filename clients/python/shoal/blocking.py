"""The same without asyncio: a session whose loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import warnings
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, Iterable, Iterator, Optional, Union

import numpy as np

from .files import load
from .resample import RATE, READ_RATES, fits, to_session
from .samples import check, check_blocks, check_format
from .session import AsyncSession, Message, connect
from .wire import Audio, Json, Packet, Phone, join


class Session:
    """A session for programs with threads. Send and iterate from different threads if you like.

    with Session(rate=16000) as s: s.send(samples); s.end(); for m in s: ...
    """

    def __init__(self, url: Optional[str] = None, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._gate, self._over = threading.Lock(), False
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="shoal")
        self._thread.start()
        try:
            self._session: AsyncSession = self._do(_opened(url, options))
        except BaseException:
            self._stop()
            raise
        self._messages = self._session.__aiter__()

    @property
    def ready(self) -> Json:
        return self._session.ready

    def send(self, audio: Audio) -> None:
        self._do(self._session.send(audio))

    def set(self, **change: Any) -> None:
        self._do(self._session.set(**change))

    def flush(self, id: str = "") -> None:
        self._do(self._session.flush(id))

    def skip(self, samples: int) -> None:
        self._do(self._session.skip(samples))

    def ping(self, id: str = "") -> None:
        self._do(self._session.ping(id))

    def end(self) -> None:
        self._do(self._session.end())

    def close(self) -> None:
        self._hang_up()
        self._stop()

    def _hang_up(self) -> None:
        try:
            self._do(self._session.close())
        except RuntimeError:                # it is closed
            pass

    def __iter__(self) -> Iterator[Message]:
        while True:
            try:
                yield self._do(self._messages.__anext__())
            except StopAsyncIteration:
                return

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _do(self, task: Any) -> Any:
        with self._gate:
            future = None if self._over else asyncio.run_coroutine_threadsafe(_run(task), self._loop)
        if not future:
            task.close()
            raise RuntimeError("the session is closed")
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the session is closed") from None

    def _stop(self) -> None:
        """Whoever waits in another thread is told."""
        with self._gate:
            over, self._over = self._over, True
        if over:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _run(task: Any) -> Any:
    return await task


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:                              # websockets' own may take their time
        await asyncio.wait(others, timeout=1)


async def _opened(url: Optional[str], options: Json) -> AsyncSession:
    return await connect(url, **options)


_WIDTHS = {"posteriors": "classes", "embedding": "dim", "hidden": "dim", "mel": "mels"}     # members of `ready`


@dataclass
class Features:
    """What a recording gave. r["embedding@3"] is float32 [frames, dim], a frame 20 ms."""
    ready: Json
    phones: list[Phone] = field(default_factory=list)
    activity: list[Json] = field(default_factory=list)
    done: Json = field(default_factory=dict)
    errors: list[Json] = field(default_factory=list)    # that ended nothing; each is a warning, too
    _packets: dict[str, list[Packet]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._packets:
            return join(self._packets[name])
        if name not in self.keys():
            raise KeyError(f"{name}: there is {', '.join(self.keys()) or 'nothing of it'}; output= says what is computed")
        return np.zeros((0, self.ready[_WIDTHS[name.split("@")[0]]]), np.float32)     # too short for a row

    def keys(self) -> list[str]:
        asked = self.ready["options"]["output"]
        return [name for name in asked if name.split("@")[0] in _WIDTHS]

    def _take(self, m: Message) -> None:
        if isinstance(m, Packet):
            self._packets.setdefault(m.name, []).append(m)
        elif m["type"] == "phones":
            self.phones += [Phone(p["phone"], p["start"], p["end"], p["confidence"], m.get("tap", 0))
                            for p in m["phones"]]
        elif m["type"] == "activity":
            self.activity.append(m)
        elif m["type"] == "error":
            self.errors.append(m)
            warnings.warn(m["message"], stacklevel=4)
        elif m["type"] == "done":
            self.done = m
            # the last frame covers padding
            self.phones = [p if p.end <= m["seconds"] else Phone(p.phone, p.start, m["seconds"],
                                                                 p.confidence, p.tap) for p in self.phones]


def features(audio: Union[str, PathLike[str], np.ndarray], url: Optional[str] = None, *,
             rate: Optional[int] = None, **options: Any) -> Features:
    """All results of a recording: a file, or samples at `rate` (16000), [n] or [n, channels].

    WAV of 16 bits is read here; whatever else needs the package soundfile. What is no audio is a TypeError or a
    ValueError before a server is asked. A connection that breaks is tried again for reconnect_s, 30 seconds if it is
    not said.
    """
    options.setdefault("reconnect_s", 30)
    if isinstance(audio, (str, PathLike)):
        path = fspath(audio)
        audio, rate, trouble = load(path)
        if trouble:
            warnings.warn(trouble, stacklevel=2)
    check_format(options.get("format", "s16le"))
    channels = int(options.get("channels") or 0)
    if isinstance(rate, float) and rate.is_integer():
        rate = int(rate)                    # as soxr and librosa have it
    if isinstance(rate, (int, np.integer)) and READ_RATES[0] <= rate <= READ_RATES[1] and not fits(rate, 1):
        audio, rate = to_session(check(audio, channels), rate), RATE
        options.pop("channels", None)
        channels = 0
    if check(audio, channels).ndim == 2:
        options["channels"] = channels = audio.shape[1]
    step = 16000 * (channels or 1)
    flat = audio.reshape(-1)
    blocks = (flat[at:at + step] for at in range(0, len(flat), step))
    messages = live(blocks, url, rate=16000 if rate is None else rate, **options)
    ready = next(messages)
    assert isinstance(ready, dict)          # the first message of every session
    found = Features(ready)
    for m in messages:
        found._take(m)
    return found


def live(blocks: Iterable[Audio], url: Optional[str] = None, **options: Any) -> Iterator[Message]:
    """Messages as they come, while audio is taken from `blocks` in a thread of its own (a generator over a
    microphone, say). An exception of `blocks` is raised here; leaving the loop hangs up."""
    check_blocks(blocks)
    return _live(blocks, url, options)


def _live(blocks: Iterable[Audio], url: Optional[str], options: Json) -> Iterator[Message]:
    session = Session(url, **options)
    trouble: list[BaseException] = []

    def feed() -> None:
        try:
            for block in blocks:
                session.send(block)
            session.end()
        except BaseException as e:          # handed over to the caller's thread, sys.exit() too
            trouble.append(e)
            session._hang_up()

    feeder = threading.Thread(target=feed, daemon=True, name="shoal-live")
    feeder.start()
    try:
        for m in session:
            yield m
    except Exception:
        if trouble:
            raise trouble[0] from None
        raise
    finally:
        session.close()


def read_audio(path: str) -> tuple[np.ndarray, int]:
    """(samples, rate) of a file: int16 or float32, [n] or [n, channels]. One that is cut off is a warning."""
    samples, rate, trouble = load(path)
    if trouble:
        warnings.warn(trouble, stacklevel=2)
    return samples, rate

"""A session over several connections: what is sent again, and what of its results is given once.

The same as clients/lib/client_again.c and client_join.c, but that flushes are not repeated.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any, Callable, Mapping, Optional, Union

from .wire import Failure, Json, Packet

FRAME_MS, FIRST_MS, MOST_MS = 20, 250, 5000
CONVOLUTION_MS = 280            # 15 frames see 14 before
DECODER_MS = 2560               # twice what the decoder of phones waits at most
SAMPLE_BYTES = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}


def helps(f: Failure) -> bool:
    """What failed is a connection, and another may do."""
    return f.retry_ms >= 0 and f.cause not in ("rejected", "broken")


def wait_s(attempt: int, retry_ms: int) -> float:
    """Seconds until the next attempt: doubled each time, spread by chance."""
    ms = max(min(FIRST_MS << min(attempt, 10), MOST_MS), retry_ms)
    return ms * random.uniform(1, 1.5) / 1000


class Patience:
    """How long a session waits for a server that gets it on. A connection that stands is no end of the waiting, a
    result that was not there before is: else a server that breaks at the same place each time would be given the
    same audio for ever."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until, self._attempts, self._reached, self._advanced = 0.0, 0, 0, True

    def hear(self, m: Union[Json, Packet]) -> None:
        """A message of the session that was not there before. The answer to a ping comes after all that was sent
        before it: a session in which nobody speaks advances by that alone."""
        processed = m.processed if isinstance(m, Packet) else m.get("processed", 0)
        pong = isinstance(m, dict) and m["type"] == "pong"
        self._advanced = self._advanced or pong or processed > self._reached
        self._reached = max(self._reached, processed)

    def breaks(self, now: float) -> None:
        """It broke: from now on time counts, unless it does already."""
        if self._advanced:
            self._until, self._attempts, self._advanced = now + self.seconds, 0, False

    def wait_s(self, f: Failure, now: float) -> float:
        """Until the next attempt; -1: it is at its end, or would be before the server wants to be asked again. Waits
        of our own end where it does, so that the last attempt is made then."""
        left = self._until - now
        if left <= 0 or f.asked_ms / 1000 > left:
            return -1
        self._attempts += 1
        return min(wait_s(self._attempts - 1, f.retry_ms), left)


def can_replay(options: Mapping[str, Any]) -> bool:
    """Results can be cut where a chunk begins: no Opus, no means, no cuts that depend on where speech began."""
    o, outputs = options, options.get("output", [])
    cuts = o.get("activity_max_ms", 0) > 0 and any(str(name).startswith("activity") for name in outputs)
    means = o.get("every", 1) > 1 or o.get("pool", "none") != "none"
    return not means and not cuts and o.get("format", "s16le") in SAMPLE_BYTES


def reach_ms(ready: Mapping[str, Any]) -> int:
    """How far before a frame the audio reaches on which its results depend, as the server says; older ones
    do not."""
    told: int = ready.get("replay_ms", 0)
    if told:
        return told
    o: Json = ready["options"]
    chunk, depth = o["chunk_ms"], o["depth"]
    layer: int = sum(-(-ms // chunk) * chunk for ms in (o["left_ms"], CONVOLUTION_MS))
    deepest: int = depth[1] if isinstance(depth, list) else depth
    latency: int = ready["latency_ms"]
    hangover: int = o.get("activity_hangover_ms", 0)
    return layer * deepest + latency + DECODER_MS + hangover


def first_frame(ready: Mapping[str, Any], done: int) -> int:
    """The frame from which audio goes again so that results are right from frame `done` on: where a chunk, a
    sample and a step of the resampler begin."""
    o, chunk = ready["options"], int(ready["options"]["chunk_ms"]) // FRAME_MS
    even = 50 // math.gcd(50, math.gcd(o["rate"], ready["model"]["rate"]))
    step = chunk * even // math.gcd(chunk, even)
    return max(0, done - -(-reach_ms(ready) // FRAME_MS)) // step * step


def differs(before: Mapping[str, Any], now: Mapping[str, Any]) -> Optional[Failure]:
    """Why features of the two do not go on in each other; None: they do."""
    def of(ready: Mapping[str, Any]) -> list[tuple[str, Any]]:
        engine = ready.get("engine", {})
        return [("other_model", ready["model"]["sha256"]), ("other_precision", engine.get("precision")),
                ("other_kernels", (engine.get("backend"), engine.get("kernels")))]
    for (name, a), (_, b) in zip(of(before), of(now)):
        if a != b:
            return Failure("rejected", f"the session cannot go on where it was: the server has {b} now, before "
                           f"{a}; start a new one", name)
    return None


class Joined:
    """Messages of several connections as one session's."""

    def __init__(self, rate: int) -> None:
        self.rate, self.base, self.again, self.seq = rate, 0, False, 0
        self.processed = 0
        self.given: dict[tuple[str, int], Any] = {}     # of an output: next frame, last end, last turn
        self.phones = self.packets = self.link_phones = self.link_packets = 0

    def begin(self, base: int) -> None:
        """A new connection, whose first frame is that one of the session."""
        self.base, self.again = base, True
        self.link_phones = self.link_packets = 0

    def frames_done(self) -> int:
        """Frames of which every output has its rows."""
        rows: list[int] = [v for (kind, _), v in self.given.items() if kind not in ("phones", "activity")]
        return min([self.processed * 50 // self.rate, *rows])

    def sample(self, frame: int) -> int:
        return frame * self.rate // 50

    def _count(self, processed: int) -> int:
        self.processed = max(self.processed, processed)
        self.seq += 1
        return self.seq - 1

    def take(self, m: Union[Json, Packet]) -> Union[Json, Packet, None]:
        """The message as one of the session; None: it was given before."""
        if isinstance(m, Packet):
            return self._packet(m)
        moved = dict(m)
        for name in ("received", "processed", "sample", "from_sample"):
            if name in moved:
                moved[name] += self.sample(self.base)
        for name in ("frame", "frames", "from_frame"):
            if name in moved:
                moved[name] += self.base
        for name in ("time", "seconds"):
            if name in moved:
                moved[name] = round(moved[name] + self.base * 0.02, 3)
        takes: dict[str, Callable[[Json], Optional[Json]]] = {
            "phones": self._phones, "activity": self._activity, "done": self._done}
        take = takes.get(m["type"])         # a later server's messages go as they are
        return take(moved) if take else moved

    def _packet(self, p: Packet) -> Optional[Packet]:
        self.link_packets += 1
        first, key, base = p.first_frame + self.base, (p.name, p.tap), self.sample(self.base)
        old = max(self.given.get(key, 0) - first, 0) * 20 // p.row_ms if self.again else 0      # rows
        old = min(old, len(p.values))
        if self.again and old == len(p.values) and p.processed + base <= self.processed:
            return None
        self.packets += 1
        if len(p.values) > old:
            self.given[key] = first + p.frames
        first += old * p.row_ms // 20
        return replace(p, first_frame=first, start_sample=self.sample(first), values=p.values[old:],
                       received=p.received + base, processed=p.processed + base,
                       seq=self._count(p.processed + base))

    def _phones(self, m: Json) -> Optional[Json]:
        self.link_phones += len(m["phones"])
        key, by, news = ("phones", m.get("tap", 0)), self.base * 0.02, m["processed"] > self.processed

        def move(p: Json) -> Json:
            return {**p, "start": round(p["start"] + by, 3), "end": round(p["end"] + by, 3)}
        phones, end = [], self.given.get(key, 0.0)
        for p in map(move, m["phones"]):
            if self.again and (p["start"] + p["end"]) / 2 <= end:
                continue
            phones.append({**p, "start": max(p["start"], end)} if self.again else p)
            end = p["end"]
        self.given[key] = end
        if self.again and not phones and not news:
            return None
        self.phones += len(phones)
        m = {**m, "phones": phones, "seq": self._count(m["processed"])}
        if "tentative" in m:
            m["tentative"] = [move(p) for p in m["tentative"]]
        return m

    def _activity(self, m: Json) -> Optional[Json]:
        key = ("activity", m.get("tap", 0))
        frame, state = self.given.get(key, (-1, "silence"))
        if self.again and (m["frame"] <= frame or m["state"] == state):
            return None
        self.given[key] = (m["frame"], m["state"])
        return {**m, "seq": self._count(m["processed"])}

    def _done(self, m: Json) -> Json:
        return {**m, "phones": m["phones"] - self.link_phones + self.phones,
                "packets": m["packets"] - self.link_packets + self.packets}

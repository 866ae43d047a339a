"""What was sent and may be needed again: audio, and the requests between it, as the messages they were."""

from __future__ import annotations

from collections import deque
from typing import Iterator, Optional, Union

KEEP_BYTES = 64 << 20
Message = Union[bytes, str]


class Kept:
    """Bytes of audio are counted from the beginning of all; requests as the server's session does that hears
    them, from 1 on, None: it does not."""

    def __init__(self) -> None:
        self._items: deque[tuple[Message, Optional[int]]] = deque()      # number of a request
        self.start = self.sent = 0                  # bytes: of the first item that is kept, of all
        self._base = self._asked = 0                # where the server's session begins; requests that it was sent

    def add(self, message: Message) -> None:
        if isinstance(message, bytes):
            self._items.append((message, None))
            self.sent += len(message)
        else:
            self._asked += 1
            self._items.append((message, self._asked))

    def forget(self, before: int) -> None:
        """Audio before that byte, and the requests before it."""
        before = max(before, self.sent - KEEP_BYTES)
        while self._items and self.start + self._size(0) <= before:
            if not self._size(0) and self.start == before:
                break
            self.start += self._size(0)
            self._items.popleft()

    def _size(self, i: int) -> int:
        message, _ = self._items[i]
        return len(message) if isinstance(message, bytes) else 0

    def audio_from(self, at: int) -> Iterator[bytes]:
        """All audio from byte `at` on, at >= start."""
        place = self.start
        for message, _ in self._items:
            if isinstance(message, bytes):
                if place + len(message) > at:
                    yield message[max(at - place, 0):]
                place += len(message)

    def begin(self, at: int, ended: bool) -> None:
        """A new session of the server's hears the audio from byte `at` on, and of requests the end alone."""
        self._base, self._asked = at, int(ended)
        self._items = deque((message, None) for message, _ in self._items)
        if ended and self._items and isinstance(self._items[-1][0], str):
            self._items[-1] = (self._items[-1][0], 1)

    def lacking(self, held: int, requests: int) -> Optional[list[Message]]:
        """What a server lacks that has so many bytes and requests of its session; None: that cannot be, or is
        not kept."""
        end, place = self._base + held, self.start
        found: list[Message] = []
        if not self.start <= end <= self.sent or requests > self._asked:
            return None
        for message, number in self._items:
            if isinstance(message, bytes):
                if place + len(message) > end:
                    found.append(message[max(end - place, 0):])
                place += len(message)
            elif number is not None and number > requests:
                if place < end:
                    return None
                found.append(message)
        return found

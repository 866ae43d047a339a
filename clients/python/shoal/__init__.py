"""Stream audio to a shoal server, get phones and speech features back.

    import shoal

    r = shoal.features("talk.wav", depth=6, output="phones,embedding@3")
    r.phones[0].phone, r.phones[0].start, r["embedding@3"].shape

    for m in shoal.live(microphone_blocks(), rate=48000, depth=(3, 12)):
        if m["type"] == "phones": ...

    async with shoal.connect("ws://localhost:7350", rate=16000) as session:
        await session.send(samples)
        async for m in session: ...

    posteriors, embedding = shoal.Engine().features(samples, depth=6)      # without a server

Options are those of docs/protocol.md, 2, by name; messages keep the names that they have there. What
ends a session early, by whatever road, is one exception, Failure.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocking import Features, Session, features, live
    from .engine import Decoder, Engine, EngineError, Stream
    from .session import AsyncSession, connect
    from .wire import Failure, Packet, Phone, decode_packet

__all__ = ["AsyncSession", "Decoder", "Engine", "EngineError", "Failure", "Features", "Packet", "Phone", "Session",
           "Stream", "connect", "decode_packet", "features", "live"]
__version__ = "0.1.0"

# Each name is looked up when it is first used: the engine needs no websockets.
_PLACES = {"again": (), "blocking": ("Features", "Session", "features", "live"),
           "engine": ("Decoder", "Engine", "EngineError", "Stream"), "files": (), "samples": (),
           "session": ("AsyncSession", "connect"), "wire": ("Failure", "Packet", "Phone", "decode_packet")}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name == module or name in names:
            found = importlib.import_module("." + module, __name__)
            return found if name == module else getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_PLACES, *__all__]

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

from .blocking import Features, Session, features, live
from .engine import Engine, EngineError
from .session import AsyncSession, connect
from .wire import Failure, Packet, Phone, decode_packet

__all__ = ["AsyncSession", "Engine", "EngineError", "Failure", "Features", "Packet", "Phone", "Session",
           "connect", "decode_packet", "features", "live"]
__version__ = "0.1.0"

"""odd_server.py - a WebSocket server that a test plays, for what a real shoald never says

    def script(peer, n):                # connection n, from 0
        peer.say(READY)
        peer.until_end()
        peer.say({"type": ...})
    with OddServer(script) as server:
        run(..., server.url)
"""

import base64
import hashlib
import json
import socket
import struct
import threading

READY = {
    "type": "ready", "protocol": "shoal.v1", "server": "odd", "session": "5f0c2a9e81d34b76",
    "model": {"rate": 16000, "depth": 12, "name": "odd", "sha256": "9" * 64},
    "engine": {"same_in_any_company": True, "precision": "fp32", "backend": "own", "kernels": "avx2", "cache": "fp32"},
    "frame_ms": 20, "frame_seconds": 0.020, "frame_samples": 320.00, "dim": 4, "classes": 3, "mels": 80,
    "labels": ["SIL", "AA", "AE"], "depth": 6, "latency_ms": 235,
    "options": {"format": "s16le", "rate": 16000, "channels": 1, "depth": 6, "chunk_ms": 160, "left_ms": 1280,
                "attention": "own", "output": ["phones"], "encoding": "f32", "activity_threshold": 80,
                "activity_hangover_ms": 300, "lm": "on", "durations": "off", "program": "base", "settle_ms": 0,
                "settle_silence_ms": 60, "tentative": "off", "precision": "fp32", "every": 1, "pool": "none",
                "channel": "mix", "activity_min_ms": 0, "activity_max_ms": 0, "activity_pad_ms": 0, "smooth": "off",
                "model": "odd"},
    "limits": {"max_message_bytes": 1048576, "max_backlog_ms": 2000, "idle_timeout_s": 60}, "replay_ms": 12695}


def phones(*found, seq=0, processed=16000):
    return {"type": "phones", "seq": seq, "depth": 6, "received": processed, "processed": processed, "lag_ms": 0,
            "phones": [{"phone": p, "start": 0.1 * i, "end": 0.1 * i + 0.1, "confidence": 0.5}
                       for i, p in enumerate(found)]}


def error(code, message, **more):
    return {"type": "error", "code": code, "message": message, "fatal": True, "retry": False, **more}


def done(samples, **more):
    return {"type": "done", "received": samples, "processed": samples, "frames": samples // 320, "phones": 1,
            "packets": 0, "seconds": samples / 16000, **more}


def frame(opcode, body):
    n = len(body)
    size = bytes([n]) if n < 126 else struct.pack(">BH", 126, n) if n < 65536 else struct.pack(">BQ", 127, n)
    return bytes([0x80 | opcode]) + size + body


class Peer:
    """One connection."""

    def __init__(self, sock):
        self.sock, self.got, self.audio = sock, b"", 0

    def take(self, n):
        while len(self.got) < n:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.got += piece
        taken, self.got = self.got[:n], self.got[n:]
        return taken

    def head(self):
        while b"\r\n\r\n" not in self.got:
            self.got += self.sock.recv(4096) or b"\r\n\r\n"
        head, self.got = self.got.split(b"\r\n\r\n", 1)
        return head.decode()

    def shake_hands(self):
        key = [line.split(":", 1)[1].strip() for line in self.head().splitlines()
               if line.lower().startswith("sec-websocket-key")][0]
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Accept: " + accept + b"\r\nSec-WebSocket-Protocol: shoal.v1\r\n\r\n")

    def read(self):
        """(opcode, bytes)"""
        first, n = self.take(2)
        n &= 127
        if n >= 126:
            n = int.from_bytes(self.take(2 if n == 126 else 8), "big")
        mask, body = self.take(4), self.take(n)
        pad = (mask * (n // 4 + 1))[:n]
        body = (int.from_bytes(body, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big")
        self.audio += n if first & 15 == 2 else 0
        return first & 15, body

    def until_end(self):
        """Bytes of audio that came before the end."""
        while True:
            opcode, body = self.read()
            if opcode == 1 and json.loads(body)["type"] == "end":
                return self.audio

    def say(self, *messages):
        for m in messages:
            self.sock.sendall(frame(1, (m if isinstance(m, str) else json.dumps(m)).encode()))

    def close(self, code=1000):
        self.sock.sendall(frame(8, struct.pack(">H", code)))


class OddServer:
    def __init__(self, script, raw=False):
        self.script, self.raw, self.connections = script, raw, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()
            self.connections += 1

    def _serve(self, sock, n):
        with sock:
            peer = Peer(sock)
            try:
                if not self.raw:
                    peer.shake_hands()
                self.script(peer, n)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):         # or what was sent last may be lost
                    pass
            except (EOFError, OSError):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

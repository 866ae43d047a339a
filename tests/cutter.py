"""cutter.py - a network between client and server that can be told to break"""

import socket
import struct
import threading


class Cutter:
    """A proxy whose connections are reset when cut() is called."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.to, self.pairs = (host, int(port)), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            pair = (client, socket.create_connection(self.to))
            self.pairs.append(pair)
            for one, other in (pair, pair[::-1]):
                threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    @staticmethod
    def carry(one, other):
        try:
            while data := one.recv(4096):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        for s in (s for pair in self.pairs for s in pair):
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self.pairs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()
        self.listener.close()

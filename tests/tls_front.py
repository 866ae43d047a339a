"""tls_front.py - TLS in front of a shoald for tests: a front that wants certificates of its clients, and such
certificates, made by openssl: of its CA, of another one, none."""

import os
import select
import socket
import ssl
import struct
import subprocess
import threading


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make_authority(folder, name):
    """NAME.pem signs; its key is NAME.key"""
    at = os.path.join(folder, name)
    openssl("req", "-x509", *KEY, "-keyout", at + ".key", "-out", at + ".pem", "-days", "2", "-subj", f"/CN={name} CA")


def make_certificate(folder, name, authority, extension):
    at, by = os.path.join(folder, name), os.path.join(folder, authority)
    openssl("req", *KEY, "-keyout", at + ".key", "-out", at + ".csr", "-subj", f"/CN={name}")
    with open(at + ".ext", "w", encoding="ascii") as f:
        f.write(extension)
    openssl("x509", "-req", "-in", at + ".csr", "-CA", by + ".pem", "-CAkey", by + ".key", "-CAcreateserial",
            "-out", at + ".pem", "-days", "2", "-extfile", at + ".ext")


def make_all(folder):
    """ours.pem, the CA of server.pem (localhost, 127.0.0.1) and friend.pem; other.pem, that of stranger.pem"""
    for name in ("ours", "other"):
        make_authority(folder, name)
    make_certificate(folder, "server", "ours", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    make_certificate(folder, "friend", "ours", "extendedKeyUsage=clientAuth")
    make_certificate(folder, "stranger", "other", "extendedKeyUsage=clientAuth")


class Front:
    """Listens on a port of its own until it is closed; passes bytes on to 127.0.0.1:to. A thread a connection: asyncio
    would close one whose handshake fails without sending the alert that says why. mute: who brings no certificate is
    cut off after the handshake without a word, as some middleboxes do."""

    def __init__(self, folder, to, version=None, mute=False):
        self.to, self.admitted, self.mute = to, 0, mute
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=os.path.join(folder, "ours.pem"))
        self.context.verify_mode = ssl.CERT_OPTIONAL if mute else ssl.CERT_REQUIRED
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        self.context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        self.server = socket.create_server(("", 0), backlog=64)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s = self.server.accept()[0]
            except OSError:
                return      # closed
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with self.context.wrap_socket(s, server_side=True) as near:
                if self.mute and not near.getpeercert():
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))   # a reset
                    return
                self.admitted += 1
                with socket.create_connection(("127.0.0.1", self.to)) as far:
                    pass_on(near, far)
        except OSError:     # ssl.SSLError is one
            s.close()

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


def pass_on(near, far):
    """Until either side ends. Whoever reads slowly holds up the other: good enough here."""
    while True:
        for s in select.select([near, far], [], [])[0]:
            while True:
                data = s.recv(65536)
                if not data:
                    return
                (far if s is near else near).sendall(data)
                if s is far or not near.pending():
                    break

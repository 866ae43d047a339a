"""What the settings name, at a start and at a reload: files that make one wait, addresses that exclude
each other, more sockets and connections than there is room for"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

from daemon import PATIENCE, SHOALD, TINY, Shoald, check, die_with_parent, wait_until
from ws import Socket, read_head

STOP_S = 2          # SIGTERM is obeyed within


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def reload(shoald, word):
    """SIGHUP, until the log has that word once more."""
    before = shoald.log().count(word)
    shoald.process.send_signal(signal.SIGHUP)
    wait_until(lambda: shoald.log().count(word) > before, 5, f"no {word} in the log")


def make_fifo(path):
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    os.mkfifo(path)


def case_settings_that_are_pipes():
    """A file that has become a pipe without a writer: the reload says so, the daemon serves and stops"""
    with tempfile.TemporaryDirectory() as directory:
        config, tokens, model, card = (os.path.join(directory, name)
                                       for name in ("conf", "tokens", "m.safetensors", "m.json"))
        shutil.copy(TINY, model)
        write(config, f"tokens = {tokens}\n")
        write(tokens, "anna " + "0" * 64 + "\n")
        for path, word in ((config, "reload_failed"), (tokens, "reload_failed"), (card, "models_reloaded")):
            with Shoald("--config", config, model=model) as shoald:
                before = None
                if os.path.exists(path):
                    with open(path, encoding="ascii") as f:
                        before = f.read()
                make_fifo(path)
                reload(shoald, word)
                check(word != "reload_failed" or f"{path}: it is a pipe" in shoald.log(), "no word of", path)
                check(shoald.get("/healthz")[0] == 200, "it does not answer with a pipe as", path)
                check(shoald.stop(STOP_S) == 0, "exit code not 0 with a pipe as", path)
                os.remove(path)
                if before is not None:
                    write(path, before)
        for name, words in (("config", ["--config", config]), ("tokens", ["--set", "tokens=" + tokens])):
            make_fifo(config if name == "config" else tokens)
            code, said = run(*words, "--listen", "127.0.0.1:0", "--check")
            check(code == 1 and "it is a pipe" in said, "a pipe as", name, "says:", said)


def run(*words):
    done = subprocess.run([SHOALD, "--model", TINY, "--workers", "1", *words], capture_output=True, text=True,
                          timeout=20 * PATIENCE, check=False, preexec_fn=die_with_parent)
    return done.returncode, done.stdout + done.stderr

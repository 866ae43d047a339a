#!/usr/bin/env python3
"""check_odd.py - what our programs make of a server that a test plays: one that fails late, breaks again and again, or
says what no shoald does"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
import unittest
import wave

from odd_server import READY, OddServer, done, error, phones

BUILD = os.path.abspath(os.environ.get("TOP_BUILDDIR", "build"))
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
MIC = os.path.join(BUILD, "clients/shoal-mic")


def run(program, *args, **more):
    return subprocess.run([f"{BUILD}/clients/{program}", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30 * PATIENCE, check=False, **more)


def answers(*messages, code=1000, ready=READY):
    """A script that says them once all audio has come, and closes."""
    def script(peer, _):
        peer.say(ready)
        peer.until_end()
        peer.say(*messages)
        peer.close(code)
    return script


def recording(folder, name="in.wav", seconds=1):
    path = os.path.join(folder, name)
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(16000)
        w.writeframes(os.urandom(32000 * seconds))
    return path


class File(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.wav = recording(self.folder.name)

    def asked(self, script, *more):
        with OddServer(script) as server:
            return run("shoal-file", "--fast", "--url", server.url, *more, self.wav), server.connections

    def test_one_that_breaks_at_the_same_place_is_given_up(self):
        def script(peer, _):
            peer.say(READY)
            peer.until_end()
            peer.say(phones("AA"))
            peer.close(1000)
        began = time.monotonic()
        ended, connections = self.asked(script, "--reconnect", "2", "-q")
        self.assertEqual(ended.returncode, 3, ended)
        self.assertIn("closed the session", ended.stderr)
        self.assertLess(time.monotonic() - began, 6 * PATIENCE)
        self.assertLess(connections, 9)

    def test_a_name_breaks_out_of_no_quotes(self):
        self.wav = os.path.join(self.folder.name, "it's; touch x")
        with open(self.wav, "wb") as f:
            f.write(b"no sound" * 100)
        ended, _ = self.asked(answers(done(0)))
        command = ended.stderr.split("ffmpeg -i ")[1].strip()
        self.assertEqual(shlex.split(command), [self.wav, self.wav + ".wav"])

    def test_control_characters_come_to_no_terminal(self):
        for messages, code in (([phones("A\nB\x1b[31m"), done(16000)], 1000),
                               ([error("unsupported", "go \x1b[31m\x9b1m away\r\n")], 1008)):
            ended, _ = self.asked(answers(*messages, code=code))
            self.assertEqual(ended.returncode, 1, ended)
            said = (ended.stdout + ended.stderr).replace("\n", "")
            self.assertTrue(said.isprintable(), ended)


    def test_what_could_not_be_written_was_not(self):
        other = tempfile.mkdtemp(dir=self.folder.name)
        none = tempfile.mkdtemp(dir=self.folder.name)
        name = os.path.splitext(os.path.basename(recording(other)))[0]
        os.symlink("/nowhere/at/all", f"{none}/{name}.TextGrid.part")
        ended, _ = self.asked(answers(done(0)), "--output", "textgrid", "--out-dir", none, recording(other))
        self.assertEqual(ended.stderr.count("No such file"), 2, ended)


class Words(unittest.TestCase):
    def test_help_that_cannot_be_written_is_no_success(self):
        for program in ("shoal-file", "shoal-load", "shoal-tune", *(["shoal-mic"] if os.path.exists(MIC) else [])):
            for word in ("--help", "--version"):
                with open("/dev/full", "w", encoding="ascii") as full:
                    ended = subprocess.run([f"{BUILD}/clients/{program}", word], stdout=full, stderr=subprocess.PIPE,
                                           check=False)
                self.assertEqual(ended.returncode, 1, (program, word))


class Load(unittest.TestCase):
    def test_an_answer_that_is_no_session_is_told(self):
        def script(peer, _):
            peer.head()
            peer.sock.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 30\r\n\r\n<html>")
        with OddServer(script, raw=True) as server:
            ended = run("shoal-load", "--url", server.url, "--sessions", "1", "--duration", "1")
        self.assertIn("HTTP status 500", ended.stdout + ended.stderr)


@unittest.skipUnless(os.path.exists(MIC), "shoal-mic was not built")
class Mic(unittest.TestCase):
    def heard(self, script, *more):
        with OddServer(script) as server:
            return run("shoal-mic", "--url", server.url, "--input-command", "head -c 32000 /dev/zero", "--rate", "16000", *more)

    def test_a_failure_after_the_end_of_the_sound_is_told(self):
        for messages, code, told in (([error("unsupported", "boom")], 1008, "boom"),
                                     (['{"type":"phones"}'], 1000, "cannot read")):
            for more in ([], ["--jsonl"]):
                ended = self.heard(answers(*messages, code=code), *more)
                self.assertEqual(ended.returncode, 1, ended)
                self.assertIn(told, ended.stderr)

    def test_all_is_well(self):
        ended = self.heard(answers(phones("AA"), done(16000)))
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f"100%: Checks: {result.testsRun}, Failures: {bad}, Errors: 0")
    sys.exit(1 if bad else 0)

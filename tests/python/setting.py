"""setting.py - what the tests of clients/python share: their modules, a shoald, and how they end

To be imported first. Where this Python lacks numpy or websockets, Debian's own is tried, and else the test
skipped."""

import os
import subprocess
import sys
import time
import unittest

SRCDIR = os.environ.get("SRCDIR", ".")
BUILD = os.path.abspath(os.environ.get("TOP_BUILDDIR", "build"))
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
sys.dont_write_bytecode = True          # SRCDIR may be read-only
sys.path[:0] = [os.path.join(SRCDIR, "clients/python"), os.path.join(SRCDIR, "training")]
os.environ.setdefault("LIBSHOAL", os.path.join(BUILD, "engine/.libs/libshoal.so"))

try:
    import numpy
    import websockets
except ImportError as e:
    if os.access("/usr/bin/python3", os.X_OK) and os.path.realpath(sys.executable) != os.path.realpath(
            "/usr/bin/python3") and "AGAIN" not in os.environ:
        os.execve("/usr/bin/python3", ["python3", *sys.argv], {**os.environ, "AGAIN": "1"})
    print(f"skipped: {e} (Debian: python3-numpy python3-websockets)")
    sys.exit(77)


def start_shoald(folder, *args, listen="127.0.0.1:0", settings=()):
    """(process, its address). hostile/daemon.py's would end with the thread that started it, and here that
    may be the one that feeds a session."""
    ready = os.path.join(folder, "address")
    if os.path.exists(ready):
        os.remove(ready)
    shoald = subprocess.Popen([
        os.path.join(BUILD, "daemon/shoald"), "--listen", listen, "--workers", "1", "--ready-file", ready,
        "--log-level", "warning", *args, *(a for s in settings for a in ("--set", s))])
    end = time.monotonic() + 30 * PATIENCE
    while not (os.path.exists(ready) and os.path.getsize(ready)):
        if shoald.poll() is not None or time.monotonic() > end:
            shoald.kill()
            raise RuntimeError("shoald did not start")
        time.sleep(0.02)
    with open(ready, encoding="ascii") as f:
        return shoald, f.read().strip()


# A library with a sanitizer in it cannot be loaded into a Python that has none.
LOADS = subprocess.run([sys.executable, "-c", "import ctypes, os; ctypes.CDLL(os.environ['LIBSHOAL'])"],
                       stderr=subprocess.DEVNULL, check=False).returncode == 0
SPEECH = (0.1 * numpy.sin(numpy.arange(8000) * 0.05)).astype(numpy.float32)


@unittest.skipUnless(LOADS, "no libshoal that Python can load")
class WithEngine(unittest.TestCase):
    """Tests that share one shoal.Engine, as self.engine."""

    @classmethod
    def setUpClass(cls):
        import shoal
        cls.engine = shoal.Engine()

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()


def run():
    print("websockets", websockets.__version__ if hasattr(websockets, "__version__") else "")
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    # as Check words it, so that ./bootstrap check counts them
    print(f"100%: Checks: {result.testsRun}, Failures: {bad}, Errors: 0")
    sys.exit(1 if bad else 0)

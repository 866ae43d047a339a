#!/usr/bin/env python3
"""check_documents.py - what README.md, docs/protocol.md and the libraries' READMEs show, run as it stands there

Every fenced block of Python and JavaScript, every line that calls curl, shoal-file or the compiler, and
every ws:// address, against a real shoald. Only names of places are put in: HOST and ports, build/, files.
What needs a tool that is not here is named as skipped. SRCDIR and TOP_BUILDDIR say where everything is.
"""

import array
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile"))
from daemon import BUILD, PATIENCE, SRC, Failed, Shoald, check      # noqa: E402
from ws import Socket                                               # noqa: E402

RECORDING = "/usr/share/sounds/alsa/Front_Center.wav"
DOCUMENTS = ["README.md", "docs/protocol.md", "clients/python/README.md", "clients/web/README.md"]
WHERE = re.compile(r"(ws://|http://)?(127\.0\.0\.1:7350|localhost:7350|HOST(:PORT)?)(?=[/\"'? \n]|$)")

# What a block of Python takes as given
PYTHON = """
import os, sys
sys.path.insert(0, os.path.join({src!r}, "clients/python"))
import numpy as np, shoal
samples, rate = shoal.blocking.read_audio("talk.wav")
recordings = [samples[:16000].copy(), samples[:9000].copy()]
def blocks():
    yield from np.array_split(samples, 9)
"""
# And of JavaScript: a microphone that says it all in half a second, then the end
JAVASCRIPT = """
import {{ readFileSync }} from "node:fs";
const file = readFileSync("talk.wav");
const pcm = new Int16Array(file.buffer.slice(file.byteOffset + 44, file.byteOffset + file.length));
const samples = Float32Array.from(pcm, s => s / 32768).filter((_, i) => i % 3 === 0);
const microphone = {{}}, again = () => {{}};
const speak = setInterval(() => {{
  if (!microphone.ondata) return;
  clearInterval(speak);
  microphone.ondata(Float32Array.from(pcm, s => s / 32768));
  session.end();
}}, 20);
"""


def text_of(name):
    with open(os.path.join(SRC, name), encoding="utf-8") as f:
        return f.read()


def fenced(name, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(name), re.S)


def lines_with(name, program):
    """Indented or fenced lines that call a program; one that ends in a backslash goes on in the next."""
    whole = re.sub(r" \\\n +", " ", text_of(name))
    return re.findall(rf"^    ((?:build/clients/|\S*/)?{program} .*)$", whole, re.M)


class Place:
    """A folder with a talk in it, and a shoald of its own."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp()
        for name in ("talk.flac", "talk.wav"):          # what they are is told by their bytes
            shutil.copy(RECORDING, os.path.join(self.folder, name))
        with open(RECORDING, "rb") as f:
            pcm = array.array("h", f.read()[44:])
        with open(os.path.join(self.folder, "talk.raw"), "wb") as f:
            pcm[::3].tofile(f)                          # 16 kHz of 48
        self.shoald = Shoald("--log-level", "warning", model=None, capacity=100000, elastic="off", admission="off",
                             late_limit_ms=0)
        self.address = self.shoald.address()
        return self

    def __exit__(self, *_):
        with self.shoald:
            self.shoald.stop()
        shutil.rmtree(self.folder)

    def here(self, text):
        """The same with places that there are."""
        text = WHERE.sub(lambda m: (m[1] or "") + self.address, text)
        return text.replace("build/", BUILD + "/")

    def run(self, command, **more):
        env = {**os.environ, "SHOAL_URL": "ws://" + self.address, "PYTHONDONTWRITEBYTECODE": "1",
               "LIBSHOAL": BUILD + "/engine/.libs/libshoal.so"}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=more.pop("text", True),
                              timeout=60 * PATIENCE, check=False, **more)
        if done.returncode != 0:
            raise Failed(f"exit code {done.returncode}: {done.stderr[-2000:]}{done.stdout[-500:]}")
        return done.stdout


# ---- addresses: `ready`, or for programs and models that only other servers have, the list of what there is ----

def first_message(port, path):
    with Socket(port, path) as ws:
        got = ws.receive()
        check(got, "the connection ended")
        return json.loads(got[1])


def addresses(place):
    for name in DOCUMENTS:
        for path in re.findall(r"ws://[\w.:]+(/v1/stream\?[\w=&,@.%-]+)", text_of(name)):
            m = first_message(place.shoald.port, path)
            expected = "error" if re.search("program=|model=", path) else "ready"
            if m["type"] != expected or (expected == "error" and "base" not in m["message"]):
                raise Failed(f"{path}: {m}")
            yield path


# ---- programs ----

def shoal_file(place):
    for line in lines_with("README.md", "shoal-file"):
        place.run(["sh", "-c", place.here(line)])
        yield line
    out = [os.path.basename(p) for p in glob.glob(place.folder + "/Front_Center.*")]
    if sorted(out) != ["Front_Center.TextGrid", "Front_Center.embedding@12.npy"]:
        raise Failed(f"it wrote {out}")


def curl(place):
    for name in ("README.md", "docs/protocol.md"):
        for line in lines_with(name, "curl"):
            said = place.run(["sh", "-c", place.here(line).replace("curl ", "curl -sS ", 1)])
            for suffix, magic in (("npy", b"\x93NUMPY"), ("packets", b"SHOL")):
                if f"talk.{suffix}" in line:
                    with open(f"{place.folder}/talk.{suffix}", "rb") as f:
                        if not f.read(8).startswith(magic):
                            raise Failed(f"no {suffix}: {line}")
                    break
            else:
                if json.loads(said.splitlines()[-1])["type"] != "done":
                    raise Failed(f"not done: {line}")
            yield line


def compiler(place):
    """The line that compiles a program, on the loop that engine/shoal.h opens with."""
    loop = "\n".join(line[7:] for line in text_of("engine/shoal.h").split("Objects:")[0].splitlines()[2:-1])
    with open(f"{place.folder}/mine.c", "w", encoding="utf-8") as f:
        f.write("#include <err.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <shoal.h>\n"
                "static float pcm[1600];\nstatic size_t left = 16000;\nstatic long seen;\n"
                "static size_t read_audio(float *to, size_t n)\n{\n    (void)to;\n"
                '    if (!left) { printf("%ld frames\\n", seen); exit(seen < 40); }\n'
                "    left -= n;\n    return n;\n}\n"
                "static void use(const float *logp, int frames) { (void)logp; seen += frames; }\n"
                f"int main(void)\n{{\n{loop}\n}}\n")
    os.makedirs(place.folder + "/pc", exist_ok=True)
    with open(place.folder + "/pc/libshoal.pc", "w", encoding="utf-8") as f:   # as installed, but here
        f.write(f"Name: libshoal\nDescription: -\nVersion: 0\nCflags: -I{SRC}/engine\n"
                f"Libs: -L{BUILD}/engine/.libs -Wl,-rpath,{BUILD}/engine/.libs -lshoal\n")
    for line in lines_with("README.md", "cc"):
        place.run(["sh", "-c", f"export PKG_CONFIG_PATH={place.folder}/pc; {line.replace('cc ', 'cc -Wall -Werror ', 1)} && ./mine"])
        yield line


# ---- languages ----

def python_with(*modules):
    for python in (sys.executable, "/usr/bin/python3"):
        if os.access(python, os.X_OK) and subprocess.run(
                [python, "-c", "import " + ",".join(modules)], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    return None


def python(place):
    given = PYTHON.format(src=SRC)
    for name in ("docs/protocol.md", "clients/python/README.md"):
        for block in fenced(name, "python"):
            code = place.here(block)
            if "async with" in code and "asyncio.run" not in code:
                inner = "\n".join("    " + line for line in code.splitlines())
                code = f"import asyncio\nasync def main():\n{inner}\nasyncio.run(main())"
            if "shoal" in code:
                code = given + code
            if "shoal.Engine" in code and not loads():
                print("skipped: an example of shoal.Engine (no libshoal that Python can load)")
                continue
            with open(place.folder + "/talk.raw", "rb") as f:
                said = place.run([PYTHON3, "-c", code], stdin=f)
            if "asyncio.to_thread" in code and "'done'" not in said:
                raise Failed(f"no end: {said[-300:]}")
            yield block


def loads():
    """A library with a sanitizer in it cannot be loaded into a program that has none."""
    return subprocess.run([PYTHON3 or sys.executable, "-c",
                           f"import ctypes; ctypes.CDLL({BUILD + '/engine/.libs/libshoal.so'!r})"],
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def javascript(place):
    flag = [] if node_says("typeof WebSocket === 'function'") else ["--experimental-websocket"]
    for block in fenced("clients/web/README.md", "js"):
        code = JAVASCRIPT.format() + place.here(block).replace('"./shoal.js"', json.dumps(
            "file://" + SRC + "/clients/web/shoal.js"))
        place.run([NODE, *flag, "--no-warnings", "--input-type=module", "-e",
                   code if "microphone.ondata" in block else code + "clearInterval(speak);"])
        yield block
    for block in fenced("docs/protocol.md", "js"):
        code = JAVASCRIPT.format() + place.here(block) + (
            "\nclearInterval(speak); ws.onopen = () => { send(Float32Array.from(pcm, s => s / 32768)); end(); };"
            "\nws.onclose = ({ code }) => process.exit(code === 1000 ? 0 : 1);")
        said = place.run([NODE, *flag, "--no-warnings", "--input-type=module", "-e", code])
        if not re.search(r"^F ", said, re.M) or "first row Float32Array(40)" not in said:
            raise Failed(said[-500:])
        yield block


def node_says(expression):
    return subprocess.run([NODE, "-e", f"process.exit({expression} ? 0 : 1)"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def glossary(place):
    """A word once, in the order of the alphabet"""
    with open(f"{SRC}/docs/glossary.md", encoding="utf-8") as f:
        words = re.findall(r"^\| \*\*(.+?)\*\* \|", f.read(), re.MULTILINE)
    check(words == sorted(set(words), key=str.casefold), f"out of order, or twice: {words}")
    yield words


NODE = shutil.which("node")
PYTHON3 = python_with("numpy", "websockets")
PARTS = [(glossary, True, 1, ""), (addresses, True, 11, ""), (shoal_file, True, 2, ""), (curl, shutil.which("curl"), 7, "curl"),
         (compiler, shutil.which("cc") and shutil.which("pkg-config") and loads(), 1,
          "cc, pkg-config and a library without sanitizers"),
         (python, PYTHON3, 4, "Python with numpy and websockets"),
         (javascript, NODE and node_says("process.versions.node.split('.')[0] >= 20"), 3, "node 20")]


def main():
    if not os.path.exists(RECORDING):
        sys.exit(f"no {RECORDING}")
    failed = passed = 0
    with Place() as place:
        for part, tool, least, needs in PARTS:
            if not tool:
                print(f"skipped: {part.__name__} (needs {needs})")
                continue
            began, seen = time.monotonic(), 0
            try:
                for example in part(place):
                    seen += 1
                if seen < least:
                    raise Failed(f"only {seen} examples found, there were {least}")
            except (Failed, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as e:
                failed += 1
                print(f"FAILED: {part.__name__}, example {seen + 1}: {e}\n{place.shoald.log()[-1000:]}")
            passed += seen
            print(f"{part.__name__}: {seen} in {time.monotonic() - began:.1f} s")
    print(f"100%: Checks: {passed + failed}, Failures: {failed}, Errors: 0")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

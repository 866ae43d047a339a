#!/usr/bin/env python3
"""check_layers.py - dependencies point one way, between folders, rooms and files

Walks every #include of engine/, protocol/, daemon/ and clients/, and, where the tree is built,
what the object files take from each other. Refuses, and says which line:

- an include of a room that the including room may not know (table MAY);
- an include of the system's that has no place in a room (table NOT_HERE);
- a circle of files: a.h and a.c count as one, so b.h included from a.c and a.h from b.h is one;
- two headers with the same guard, of which whoever includes both sees one, or with structs, unions or
  enums of the same tag;
- a circle that includes do not show: two object files that call each other (daemon, clients,
  protocol). session <-> session_out is meant, and the only one.

Environment: SRCDIR, TOP_BUILDDIR (may lack objects)."""

import os
import re
import subprocess
import sys

# What a room may include besides itself. The longest name that begins a path decides; a name with
# a dot is one file. Ours only: see NOT_HERE for the system's.
ENGINE = ["engine/kern/", "engine/gemm/", "engine/shoal.h"]
MAY = {
    "engine/": ["engine/"],
    "engine/shoal.h": ["engine/shoal-phones.h"],
    "engine/shoal-phones.h": [],
    "engine/kern/": ["engine/shoal.h"],
    "engine/gemm/": ["engine/kern/", "engine/shoal.h"],
    # a model holds its operations' weights and its decoder's tables
    "engine/model/": ENGINE + ["engine/ops/op.h", "engine/phones/tables.h"],
    "engine/front/": ENGINE + ["engine/model/"],
    "engine/phones/": ENGINE + ["engine/model/"],
    "engine/ops/": ENGINE + ["engine/model/", "engine/run/"],
    "engine/run/": ENGINE + ["engine/model/", "engine/front/", "engine/ops/"],
    "protocol/": [],
    "daemon/plan/": ["protocol/", "engine/shoal.h"],
    "daemon/base/": ["daemon/plan/", "protocol/", "engine/shoal.h"],
    "daemon/queue": [],
    "daemon/lane": ["daemon/queue.h", "daemon/base/", "daemon/plan/", "protocol/"],
    "daemon/work/": ["daemon/lane.h", "daemon/queue.h", "daemon/base/", "daemon/plan/",
                     "protocol/", "engine/shoal.h"],
    "daemon/session/": ["daemon/lane.h", "daemon/queue.h", "daemon/base/", "daemon/plan/",
                        "protocol/"],
    "daemon/net/": ["daemon/session/", "daemon/lane.h", "daemon/base/", "daemon/plan/",
                    "protocol/"],
    # main, server, mail, clock, watch, stop and trial are the only ones that see everything
    "daemon/": ["daemon/", "protocol/", "engine/shoal.h"],
    "clients/lib/": ["protocol/shoal-protocol.h"],
    "clients/out/": ["protocol/shoal-protocol.h"],
    "clients/tool/": ["clients/out/out_screen.h", "clients/lib/shoal-client.h", "clients/lib/client_tls.h",
                      "clients/lib/client_url.h",
                      "protocol/shoal-protocol.h"],
    "clients/file/": ["clients/lib/", "clients/out/", "clients/tool/",
                      "protocol/shoal-protocol.h"],
    "clients/mic/": ["clients/lib/shoal-client.h", "clients/lib/client_get.h",
                     "clients/lib/client_tls.h", "clients/out/", "clients/tool/",
                     "protocol/shoal-protocol.h"],
    "clients/load/": ["clients/lib/", "clients/file/file_audio.h", "clients/out/out_screen.h", "clients/tool/",
                      "protocol/shoal-protocol.h"],
    "clients/tune/": ["clients/lib/", "clients/file/file_audio.h", "clients/out/out_screen.h", "clients/tool/",
                      "protocol/shoal-protocol.h"],
}

SOCKETS = r"uv\.h|libwebsockets\.h|sys/socket\.h|netinet/|sys/un\.h"
NOT_HERE = {
    "engine/": SOCKETS,
    "protocol/": SOCKETS + r"|pthread\.h|sndfile\.h|soxr\.h|opus/",
    "daemon/plan/": SOCKETS + r"|pthread\.h|time\.h|unistd\.h",
    "daemon/session/": r"libwebsockets\.h|sys/socket\.h|netinet/",
    "daemon/work/": r"libwebsockets\.h|sys/socket\.h|netinet/",
    # of the library, client_ws alone knows libwebsockets, client_watch alone libuv
    **{f"clients/lib/client{part}": SOCKETS
       for part in (".c", "_events", "_failure", "_keep", "_queue", "_session", "_url")},
    "clients/lib/client_ws": r"uv\.h",
    "clients/out/": SOCKETS,
    "clients/tool/": SOCKETS,
    "clients/file/": r"libwebsockets\.h|uv\.h",
    "clients/load/": r"uv\.h",
    "clients/mic/": r"libwebsockets\.h",
}

# Units that may know each other
CIRCLES = [{"daemon/session/session", "daemon/session/session_out"}]

# What is not so yet, while the rooms are being rebuilt: lines as this program prints them, without
# their number. An entry that is no longer needed is named.
KNOWN = [
]

FOLDERS = ("engine", "protocol", "daemon", "clients")
SEARCHED = ("engine", "protocol", "daemon", "clients", "clients/lib", "clients/load")
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')


def sources():
    for folder in FOLDERS:
        for where, _, names in os.walk(folder):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.join(where, name)


def unit(path):
    """a.c, a.h and a-internal.h are one."""
    return re.sub(r"(-internal)?\.[ch]$", "", path)


def includes(path, ours):
    """(line, what is written, our file or None)"""
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            found = INCLUDE.match(line)
            if found:
                places = [os.path.dirname(path), *SEARCHED]
                paths = [os.path.normpath(os.path.join(p, found[1])) for p in places]
                yield number, found[1], next((p for p in paths if p in ours), None)


def room_of(path, table):
    return max((room for room in table if path.startswith(room)), key=len, default=None)


def refused(path, written, target):
    """The words against this include, or None."""
    if target is None:
        for room, pattern in NOT_HERE.items():
            if path.startswith(room) and re.match(pattern, written):
                return f"{room} may not include <{written}>"
        return None
    room = room_of(path, MAY)
    if target.startswith(room) and room_of(target, MAY) == room or unit(target) == unit(path):
        return None
    if any(target.startswith(allowed) for allowed in MAY[room]):
        return None
    return f"{room} may not include {target}"


def circles(graph):
    """The strongly connected parts of more than one node (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph.get(v, ()):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = set(stack[stack.index(v):])
            del stack[stack.index(v):]
            if len(part) > 1:
                found.append(part)

    for v in sorted(graph):
        if v not in index:
            visit(v)
    return [part for part in found if part not in CIRCLES]


def walk_includes():
    ours, wrong, graph, where = set(sources()), [], {}, {}
    for path in sorted(ours):
        graph.setdefault(unit(path), set())
        for line, written, target in includes(path, ours):
            words = refused(path, written, target)
            if words:
                wrong.append((f"{path}: {words}", f"{path}:{line}: {words}"))
            if target and unit(target) != unit(path):
                graph[unit(path)].add(unit(target))
                where[unit(path), unit(target)] = f"{path}:{line}: includes {target}"
    for part in circles(graph):
        name = "circle of files: " + " ".join(sorted(part))
        lines = [text for (a, b), text in sorted(where.items()) if a in part and b in part]
        wrong.append((name, "\n    ".join([name, *lines])))
    return wrong


GUARD = re.compile(r"^#ifndef (\w+)\n#define \1$", re.M)
TAG = re.compile(r"^(?:typedef )?(?:struct|union|enum) (\w+)\s*\{", re.M)


def walk_names():
    """What two headers call by one name."""
    places, wrong = {}, []
    for path in sources():
        if path.endswith(".h"):
            with open(path, encoding="utf-8") as f:
                text = f.read()
            for what, pattern in (("guard", GUARD), ("tag", TAG)):
                for name in set(pattern.findall(text)):
                    places.setdefault((what, name), []).append(path)
    for (what, name), paths in sorted(places.items()):
        if len(paths) > 1:
            words = f"the same {what} {name}: {' '.join(sorted(paths))}"
            wrong.append((words, words))
    return wrong


def symbols(objects):
    """(who defines what, who wants what), both by unit"""
    defined, wanted = {}, {}
    for path, name in objects:
        text = subprocess.run(["nm", "-P", path], capture_output=True, text=True, check=True).stdout
        wanted[name] = set()
        for line in text.splitlines():
            symbol, kind = line.split()[:2]
            if kind == "U":
                wanted[name].add(symbol)
            elif kind in "TDRBC":
                defined[symbol] = name
    return defined, wanted


def objects_of(build, ours):
    """Objects whose source is still there (libtool's twins in .libs/ say the same)."""
    for folder in ("protocol", "daemon", "clients"):
        for where, _, names in os.walk(os.path.join(build, folder)):
            for name in names:
                room = os.path.relpath(where, build).removesuffix("/.libs")
                # automake's prefix: libshoald_la-conn.o, shoal_file-shoal-file.o
                base = os.path.join(room, re.sub(r"^[a-z_]+-|\.o$", "", name))
                if name.endswith(".o") and base + ".c" in ours:
                    yield os.path.join(where, name), base


def walk_objects(build):
    defined, wanted = symbols(objects_of(build, set(sources())))
    graph = {name: {defined[s] for s in wants if defined.get(s, name) != name}
             for name, wants in wanted.items()}
    wrong = []
    for part in circles(graph):
        name = "circle of object files: " + " ".join(sorted(part))
        lines = [f"{a} calls {s} of {defined[s]}" for a in sorted(part) for s in sorted(wanted[a])
                 if defined.get(s, a) != a and defined[s] in part]
        wrong.append((name, "\n    ".join([name, *lines])))
    return wrong


def covers(known, name):
    """A known circle may shrink."""
    return known == name or name.startswith("circle") and set(name.split()) <= set(known.split())


def main():
    build = os.path.abspath(os.environ.get("TOP_BUILDDIR", "build"))
    os.chdir(os.environ.get("SRCDIR", "."))
    wrong = walk_includes() + walk_names()
    try:
        wrong += walk_objects(build)
    except FileNotFoundError:
        print("no nm here: calls between object files are not looked at")
    needed = {known for name, _ in wrong for known in KNOWN if covers(known, name)}
    for known in KNOWN:
        print("known:" if known in needed else "no longer needed in KNOWN:", known)
    bad = [text for name, text in wrong if not any(covers(known, name) for known in KNOWN)]
    if bad:
        print("dependencies that point the wrong way, and names of two:", *bad, sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

/* again.test.js - clients/web/shoal-again.js, and sessions of shoal.js that outlive a connection */
import assert from "node:assert/strict";
import test from "node:test";

import {
  Joined,
  Log,
  Patience,
  canGoOn,
  differs,
  firstFrame,
  reachMs,
  waitMs,
} from "../../clients/web/shoal-again.js";
import { connect, decodePacket } from "../../clients/web/shoal.js";
import { FakeSocket, env, packet } from "./fake.js";

const READY = {
  type: "ready",
  latency_ms: 235,
  model: { rate: 16000, sha256: "a" },
  engine: { precision: "fp32", backend: "own", kernels: "avx2" },
  options: {
    format: "s16le",
    rate: 16000,
    channels: 1,
    chunk_ms: 160,
    left_ms: 160,
    depth: 1,
    output: ["phones"],
    activity_hangover_ms: 300,
  },
};

test("where a replay begins", () => {
  assert.equal(reachMs(READY), 3575); // as tests/check_client_resume.c has it
  assert.equal(firstFrame(READY, 400), 216);
  assert.equal(firstFrame(READY, 100), 0);
  const odd = { ...READY, options: { ...READY.options, rate: 11025 } };
  assert.equal(firstFrame(odd, 400) % 8, 0);
  const deep = { ...READY, options: { ...READY.options, depth: [1, 3] } };
  assert.equal(reachMs(deep) - reachMs(READY), 2 * 480);
});

test("waits are doubled, but not without end, and never shorter than the server says", () => {
  assert.deepEqual(
    [0, 1, 2, 20].map(n => waitMs(n, 0, 0)),
    [250, 500, 1000, 5000],
  );
  assert.equal(waitMs(0, 0, 1), 375);
  assert.equal(waitMs(0, 2000, 0), 2000);
});

test("another model, precision or kernels", () => {
  assert.equal(differs(READY, structuredClone(READY)), null);
  assert.equal(differs(READY, { ...READY, model: { sha256: "b" } }).code, "other_model");
  const engine = { ...READY.engine, precision: "int8" };
  assert.equal(differs(READY, { ...READY, engine }).code, "other_precision");
  const kernels = { ...READY.engine, kernels: "scalar" };
  assert.equal(differs(READY, { ...READY, engine: kernels }).cause, "rejected");
});

test("patience is renewed by what is new, and by nothing else", () => {
  const p = new Patience(3000),
    lost = { retryMs: 500, askedMs: 0 };
  p.breaks(1000);
  assert.equal(p.wait(lost, 1000, 0), 500);
  p.hear({ type: "phones", processed: 0 });
  p.hear({ type: "changed" });
  p.breaks(3800);
  assert.equal(p.wait(lost, 3800, 0), 200); // the last attempt
  assert.equal(p.wait(lost, 4000, 0), -1);
  p.hear({ type: "phones", processed: 320 });
  p.breaks(9000);
  assert.equal(p.wait(lost, 9000, 0), 500);
  p.hear({ type: "phones", processed: 320 });
  p.breaks(12000);
  assert.equal(p.wait(lost, 12000, 0), -1);
  p.hear({ type: "pong" });
  p.breaks(13000);
  assert.equal(p.wait({ retryMs: 3001, askedMs: 3001 }, 13000, 0), -1);
  assert.equal(p.wait({ retryMs: 2900, askedMs: 2900 }, 13000, 0), 2900);
  const endless = new Patience(Infinity);
  endless.breaks(0);
  assert.equal(endless.wait({ retryMs: 2 ** 40, askedMs: 2 ** 40 }, 0), 2 ** 31 - 1);
});

test("a session whose numbers cannot be reckoned with has no replay", () => {
  assert.equal(canGoOn(READY), true);
  for (const name of ["rate", "chunk_ms", "channels", "left_ms", "format"])
    for (const value of [0.5, -1, NaN, "toString", "x"]) {
      const options = { ...READY.options, [name]: value };
      if (name !== "left_ms" || value !== 0.5) // rounded up to chunks
        assert.equal(canGoOn({ ...READY, options }), false, `${name} ${value}`);
    }
  assert.equal(canGoOn({ ...READY, latency_ms: undefined }), false);
});

const numbers = log => n => log.add(new Uint8Array(n).map((_, i) => log.to + i));
const seen = messages => messages.map(m => (typeof m === "string" ? m : [...m]));

test("what the server of a kept session has not got", () => {
  const log = new Log(),
    add = numbers(log);
  add(4);
  log.add("a");
  add(2);
  log.add("b");
  add(3);
  assert.deepEqual(seen(log.after(5, 1)), [[5], "b", [6, 7, 8]]);
  assert.deepEqual(seen(log.after(9, 1)), ["b"]);
  log.drop(5);
  assert.equal(log.from, 4);
  assert.deepEqual(seen(log.after(4, 0)), ["a", [4, 5], "b", [6, 7, 8]]);
  log.drop(6);
  assert.deepEqual(seen(log.after(6, 1)), ["b", [6, 7, 8]]);
  assert.equal(log.after(5, 1), null);
  for (const held of [10, -1, NaN, undefined]) assert.equal(log.after(held, 1), null);
  assert.equal(log.after(6, undefined), null);
  assert.equal(log.after(6, 0), null); // request 0 went with what lay behind it
});

test("what a new session is given, and counts from there", () => {
  const log = new Log(),
    add = numbers(log);
  add(4);
  log.add("answered");
  add(4);
  log.breaks(["set", "ping"]);
  add(2);
  log.add("flush");
  add(1);
  const given = [[6, 7], "set", "ping", [8, 9], "flush", [10]];
  assert.deepEqual(seen(log.restart(6)), given);
  assert.deepEqual(seen(log.after(0, 0)), given);
  assert.deepEqual(seen(log.after(4, 3)), [[10]]);
  log.breaks(["again"]);
  assert.deepEqual(seen(log.restart(11)), ["again"]);
});

test("what was given before is dropped, what goes on is moved", () => {
  const joined = new Joined(16000);
  const rows = (first, values, more) => ({
    ...decodePacket(packet({ first, rows: values, dim: 1, ...more })),
    processed: 320 * (first + values.length),
  });
  joined.take(rows(0, [1, 2, 3, 4]));
  joined.take({
    type: "phones",
    processed: 1280,
    phones: [{ phone: "AH", start: 0.02, end: 0.06 }],
  });
  assert.equal(joined.framesDone(), 4);
  joined.begin(2); // frame 0 of the connection is frame 2 of the session
  assert.equal(joined.take(rows(0, [3, 4])), null);
  const on = joined.take(rows(1, [4, 5, 6]));
  assert.deepEqual([on.first_frame, on.start_sample, on.frames, on.seq], [4, 1280, 2, 2]);
  assert.deepEqual([...on.values], [5, 6]);
  const phones = joined.take({
    type: "phones",
    processed: 1280,
    phones: [
      { phone: "AH", start: 0, end: 0.02 },
      { phone: "N", start: 0.02, end: 0.08 },
    ],
    tentative: [{ phone: "T", start: 0.08, end: 0.1 }],
  });
  assert.deepEqual(phones.phones, [{ phone: "N", start: 0.06, end: 0.12 }]);
  assert.deepEqual(phones.tentative, [{ phone: "T", start: 0.12, end: 0.14 }]);
  const done = joined.take({
    type: "done",
    received: 1280,
    frames: 4,
    phones: 2,
    packets: 2,
    seconds: 0.08,
  });
  assert.deepEqual(
    [done.received, done.frames, done.phones, done.packets, done.seconds],
    [1920, 6, 2, 2, 0.12],
  );
});

/** A session that outlives its connection, its socket, and all messages it gave. */
function begin(reconnectMs = 60000) {
  const seen = [];
  const session = connect(
    "ws://h:1?depth=1",
    {},
    { ...env, reconnectMs, onmessage: m => seen.push(m) },
  );
  return { session, seen, socket: FakeSocket.last };
}

/** The next connection of a session, within a second. */
async function next(before) {
  for (let i = 0; i < 100 && FakeSocket.last === before; i++)
    await new Promise(done => setTimeout(done, 10));
  assert.notEqual(FakeSocket.last, before, "a new connection");
  return FakeSocket.last;
}

test("a broken connection: audio, sets, pings and the end go again", async () => {
  const { session, seen, socket } = begin();
  socket.accept(READY);
  session.send(new Uint8Array(3000).fill(1));
  socket.say({ type: "phones", processed: 640, phones: [] });
  session.set({ depth: 1 });
  session.ping();
  socket.hangUp(1006);
  session.send(new Uint8Array(200).fill(2)); // while there is none
  const ended = session.end();
  const other = await next(socket);
  assert.match(other.url, /left_ms=160/); // what was granted is insisted on
  other.onopen();
  assert.equal(other.sent.length, 0); // not before ready
  other.say(READY);
  assert.deepEqual(
    other.audio().map(m => m.length),
    [3000, 200],
  );
  assert.deepEqual(
    other.texts().map(m => m.type),
    ["set", "ping", "end"],
  );
  other.say({ type: "phones", processed: 640, phones: [] });
  other.say({ type: "phones", processed: 1600, phones: [] });
  other.say({ type: "done", received: 1600, frames: 5, phones: 0, packets: 0, seconds: 0.1 });
  other.hangUp(1000);
  assert.equal((await ended).frames, 5);
  assert.deepEqual(
    seen.map(m => [m.type, m.processed]),
    [
      ["ready", undefined],
      ["phones", 640],
      ["resumed", undefined],
      ["phones", 1600],
      ["done", undefined],
    ],
  );
  assert.equal(seen[2].replayed_s, 0.1);
  assert.equal(session.failure, null);
});

test("a server that breaks at the same place each time is given up", async () => {
  let { session, socket } = begin(1200);
  socket.accept(READY);
  session.send(new Uint8Array(100));
  socket.hangUp(1006);
  for (let i = 0; i < 4 && !session.closed; i++) {
    socket = await next(socket);
    socket.accept(READY);
    socket.hangUp(1006);
  }
  assert.equal(session.failure?.code, "connection_lost");
});

test("a server that asks for more than patience has is not waited for", async () => {
  for (const ms of [60000, 2147483647]) {
    const { session, socket } = begin(3000);
    socket.accept(READY);
    socket.hangUp(1006);
    const other = await next(socket);
    other.onopen();
    const full = { type: "error", code: "overloaded", message: "m", fatal: true, retry: true };
    other.say({ ...full, retry_after_ms: ms });
    other.hangUp(1013);
    assert.deepEqual([session.failure?.code, session.failure?.retryMs], ["overloaded", ms]);
  }
});

test("a session that the server keeps is gone back to, whatever was asked of it", async () => {
  const { session, seen, socket } = begin();
  const audio = n => session.send(new Uint8Array(n));
  socket.accept({ ...READY, resume: "abc", park_ms: 30000 });
  audio(1000);
  const flushed = session.flush();
  audio(500);
  socket.say({ type: "phones", processed: 320, phones: [] });
  socket.hangUp(1006);
  audio(200);
  session.skip(16000);
  const other = await next(socket);
  assert.equal(other.url, "ws://h:1/v1/stream?resume=abc&got=1");
  const resumed = { bytes: 1100, requests: 1, received: 550 };
  other.accept({ ...READY, resume: "def", park_ms: 30000, resumed });
  assert.deepEqual(
    other.sent.map(m => (typeof m === "string" ? JSON.parse(m).type : m.length)),
    [400, 200, "skip"],
  );
  other.say({ type: "flushed", id: "js-0", processed: 480, received: 500, frames: 1 });
  assert.equal((await flushed).frames, 1);
  other.hangUp(1006);
  const third = await next(other);
  assert.equal(third.url, "ws://h:1/v1/stream?resume=def&got=2");
  session.close();
  assert.deepEqual(
    seen.map(m => m.type),
    ["ready", "phones", "resumed", "flushed"],
  );
});

test("a session that is kept no more: replay, or the failure", async () => {
  const refusal = { type: "error", code: "cannot_resume", message: "m", fatal: true, retry: false };
  for (const flush of [false, true]) {
    const { session, socket } = begin();
    socket.accept({ ...READY, resume: "abc", park_ms: 30000 });
    session.send(new Uint8Array(100));
    if (flush) session.flush();
    socket.hangUp(1006);
    const other = await next(socket);
    other.onopen();
    other.say(refusal);
    other.hangUp(1008);
    if (flush) {
      assert.equal(session.failure.code, "cannot_resume");
      continue;
    }
    const third = await next(other);
    assert.match(third.url, /left_ms=160/);
    third.accept({ ...READY, resume: "ghi" });
    assert.deepEqual(
      third.audio().map(m => m.length),
      [100],
    );
    third.say({ type: "phones", processed: 320, phones: [] });
    third.hangUp(1006);
    const fourth = await next(third);
    assert.match(fourth.url, /resume=ghi&got=1$/); // messages of the new session
    session.close();
  }
});

test("another server is a failure; so is a second break after a flush", async () => {
  let { session, socket } = begin();
  socket.accept(READY);
  socket.hangUp(1012);
  const other = await next(socket);
  other.accept({ ...READY, model: { sha256: "b", rate: 16000 } });
  assert.equal(session.failure.code, "other_model");
  ({ session, socket } = begin());
  socket.accept(READY);
  session.flush();
  socket.hangUp(1006);
  assert.equal(session.failure.cause, "lost");
  assert.equal(FakeSocket.last, socket);
});

test("a refusal, means and who waits no longer are not gone on with", async () => {
  let { session, socket } = begin();
  socket.accept(READY);
  socket.say({ type: "error", code: "bad_message", message: "m", fatal: true, retry: false });
  socket.hangUp(1007);
  assert.equal(session.failure.cause, "rejected");
  ({ session, socket } = begin());
  socket.accept({ ...READY, options: { ...READY.options, every: 5 } });
  socket.hangUp(1006);
  assert.equal(session.failure.cause, "lost");
  ({ session, socket } = begin(1));
  socket.accept(READY);
  socket.hangUp(1006);
  const other = await next(socket);
  other.hangUp(1006);
  assert.equal(session.failure.cause, "unreachable");
  ({ session, socket } = begin());
  socket.hangUp(1006); // never ready: nothing to go on with
  assert.equal(session.failure.cause, "unreachable");
});

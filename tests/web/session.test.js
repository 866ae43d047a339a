/* session.test.js - clients/web/shoal.js against a fake WebSocket */
import assert from "node:assert/strict";
import test from "node:test";

import { connect, features } from "../../clients/web/shoal.js";
import { FakeSocket, env, packet } from "./fake.js";

const begin = (options, more) => {
  const session = connect("ws://h:1", options, { ...env, ...more });
  return [session, FakeSocket.last];
};
const error = (code, more) => ({
  type: "error",
  code,
  message: `${code} it is`,
  fatal: true,
  ...more,
});

test("what is sent before the connection stands arrives, in order", async () => {
  const [session, socket] = begin({ depth: [3, 12] });
  assert.equal(socket.url, "ws://h:1/v1/stream?rate=16000&depth=3-12");
  assert.deepEqual(socket.protocol, ["shoal.v1"]);
  assert.equal(socket.binaryType, "arraybuffer");
  session.send(Float32Array.of(0.5, -0.5));
  session.set({ depth: 4 });
  session.send(Int16Array.of(1, 2));
  assert.equal(socket.sent.length, 0);
  assert.equal(session.bufferedAmount, 8);
  socket.accept({ depth: 12 });
  assert.equal((await session.ready).depth, 12);
  assert.deepEqual(
    socket.sent.map(m => (typeof m === "string" ? m : m.length)),
    [4, '{"type":"set","depth":4}', 4],
  );
  session.close();
});

test("a token goes as a subprotocol, in base64url, and nowhere else", () => {
  const [session, socket] = begin({}, { token: "sh\u00f6al?>~" });
  assert.deepEqual(socket.protocol, ["shoal.v1", "shoal.token.c2jDtmFsPz5-"]);
  assert.equal(socket.url.includes("token"), false);
  session.close();
});

test("audio is cut to what the server takes", async () => {
  const [session, socket] = begin({ format: "f32le" });
  session.send(new Float32Array(1000));
  socket.accept({ limits: { max_message_bytes: 100 } });
  assert.deepEqual(
    socket.audio().map(m => m.length),
    [1024, 1024, 1024, 928],
  );
  session.send(new Uint8Array(250));
  assert.deepEqual(
    socket
      .audio()
      .slice(4)
      .map(m => m.length),
    [100, 100, 50],
  );
  session.close();
});

test("an opus packet is one message; floats are refused for formats that have none", () => {
  let [session, socket] = begin({ format: "opus" });
  session.send(new Uint8Array(5000));
  socket.accept();
  assert.equal(socket.audio()[0].length, 5000);
  session.close();
  [session] = begin({ format: "mulaw" });
  assert.throws(() => session.send(new Float32Array(3)), /s16le or f32le/);
  session.close();
});

test("messages, in order, by for await; done ends it", async () => {
  const [session, socket] = begin();
  socket.accept();
  socket.say({ type: "phones", seq: 0, phones: [{ phone: "AH", start: 0.1, end: 0.2 }] });
  socket.packet(packet({ rows: [1, 2], dim: 2 }));
  socket.say({
    type: "features",
    kind: "embedding",
    first_frame: 5,
    frames: 1,
    dim: 2,
    data: [[3, null]],
  });
  socket.say({ type: "of_a_later_server", x: 1 });
  const ended = session.end();
  setTimeout(() => {
    socket.say({ type: "done", frames: 1 });
    socket.hangUp(1000);
  }, 5);
  const seen = [];
  for await (const m of session) seen.push(m);
  assert.deepEqual(
    seen.map(m => m.type),
    ["ready", "phones", "features", "features", "of_a_later_server", "done"],
  );
  assert.deepEqual([...seen[2].values], [1, 2]);
  assert.deepEqual([...seen[3].values], [3, NaN]);
  assert.equal((await ended).frames, 1);
  assert.equal(session.failure, null);
  assert.throws(() => session.send(new Uint8Array(2)), /after end/);
});

test("onmessage takes the messages as they come", () => {
  const seen = [];
  const [session, socket] = begin({}, { onmessage: m => seen.push(m.type) });
  socket.accept();
  socket.say({ type: "phones", phones: [] });
  assert.deepEqual(seen, ["ready", "phones"]);
  session.close();
});

test("flush and ping are answered by their ids", async () => {
  const [session, socket] = begin();
  socket.accept();
  const answers = [session.flush(), session.flush(), session.ping()];
  const [a, b, c] = socket.texts();
  assert.deepEqual([a.type, b.type, c.type], ["flush", "flush", "ping"]);
  socket.say({ type: "pong", id: c.id });
  socket.say({ type: "flushed", id: b.id, frames: 2 });
  socket.say({ type: "flushed", id: a.id, frames: 1 });
  const [first, second] = await Promise.all(answers);
  assert.deepEqual([first.frames, second.frames], [1, 2]);
  session.close();
});

test("a refusal reaches ready, the iterator and whoever waits, as one failure", async () => {
  const [session, socket] = begin();
  const flushed = session.flush();
  socket.onopen();
  socket.say(error("overloaded", { retry: true, retry_after_ms: 300 }));
  socket.hangUp(1013);
  const want = {
    name: "ShoalFailure",
    cause: "full",
    retryMs: 300,
    closeCode: 1013,
    message: "overloaded it is",
  };
  await assert.rejects(session.ready, want);
  await assert.rejects(flushed, want);
  await assert.rejects(async () => {
    for await (const _ of session);
  }, want);
  session.send(new Uint8Array(2)); // harmless
  assert.equal(socket.audio().length, 0);
  await assert.rejects(session.end(), want);
});

test("an error that is not fatal is a message", async () => {
  const seen = [];
  const [session, socket] = begin({}, { onmessage: m => seen.push(m) });
  socket.accept();
  socket.say(error("overloaded", { fatal: false, ref: "depth" }));
  assert.equal(seen[1].ref, "depth");
  assert.equal(session.closed, false);
  session.close();
});

test("nobody there, gone in the middle, an answer that makes no sense", async () => {
  let [session, socket] = begin();
  socket.hangUp(1006);
  await assert.rejects(session.ready, { cause: "unreachable", code: "connection_failed" });
  [session, socket] = begin();
  socket.onerror(); // and no close
  await assert.rejects(session.ready, { cause: "unreachable", code: "connection_failed" });
  [session, socket] = begin();
  socket.accept();
  socket.hangUp(1006);
  assert.equal(session.failure.cause, "lost");
  [session, socket] = begin();
  socket.accept();
  socket.say("{nonsense");
  assert.equal(session.failure.cause, "broken");
  assert.equal(socket.closedWith, 1000);
  socket.say({ type: "phones", phones: [] });
  const seen = [];
  await assert.rejects(async () => {
    for await (const m of session) seen.push(m.type);
  });
  assert.deepEqual(seen, ["ready"]);
});

test("whatever a server says that makes no sense ends the session, and says so", () => {
  const odd = ["null", "5", '"x"', "[1]", "{}", '{"type":5}', '{"type":"phones"}'];
  odd.push('{"type":"phones","phones":null}', '{"type":"features","kind":"mel"}');
  odd.push('{"type":"phones","phones":[],"processed":-1}', '{"type":"done","frames":"5"}');
  odd.push('{"type":"done","received":1e999}', '{"type":"done","seconds":null}');
  odd.push('{"type":"ready"}'); // a second one
  for (const phone of ["A\nB", "A\u001b[31m", "\u009b1m", 5, null])
    odd.push(JSON.stringify({ type: "phones", phones: [{ phone, end: 1 }] }));
  for (const text of odd) {
    const [session, socket] = begin();
    socket.accept();
    socket.say(text);
    assert.equal(session.failure?.code, "bad_answer", text);
    assert.equal(socket.closedWith, 1000);
  }
  const [session, socket] = begin();
  socket.accept();
  assert.equal(session.failure, null);
  socket.packet(packet({ rows: [1], dim: 1, head: 72, row_ms: 0 }));
  assert.equal(session.failure?.code, "bad_answer");
});

test("texts are fit for a terminal", async () => {
  const [session, socket] = begin();
  socket.onopen();
  socket.say(error("x", { message: "go \u001b[31m away\r\n" }));
  socket.hangUp(1008);
  await assert.rejects(session.ready, { message: "go  [31m away  " });
});

test("a limit that no server has is none", () => {
  for (const max_message_bytes of [0, -5, 0.5, "x", null]) {
    const [session, socket] = begin();
    socket.accept({ limits: { max_message_bytes } });
    session.send(new Uint8Array(70000));
    assert.deepEqual(
      socket.audio().map(m => m.length),
      [65536, 4464],
    );
    session.close();
  }
});

test("a code of every name is a code", async () => {
  for (const code of ["constructor", "toString", "__proto__"]) {
    const [session, socket] = begin();
    socket.onopen();
    socket.say(error(code, { retry: true, retry_after_ms: "soon" }));
    socket.hangUp(1008);
    await assert.rejects(session.ready, { cause: "rejected", retryMs: 500, askedMs: 0 });
  }
});

test("closing is no failure", async () => {
  const [session, socket] = begin();
  socket.accept();
  const ended = session.end();
  session.close();
  for await (const _ of session);
  assert.equal(session.failure, null);
  await assert.rejects(ended, { code: "closed" });
});

/** The session's clock in the test's hand: tick(s) lets so many seconds go by. */
function withClock(run) {
  const { setInterval: real, clearInterval: realClear } = globalThis,
    { now } = Date;
  let time = 1e6;
  const timers = new Set();
  globalThis.setInterval = f => (timers.add(f), f);
  globalThis.clearInterval = f => timers.delete(f);
  Date.now = () => time;
  try {
    run(seconds => {
      for (let i = 0; i < seconds; i++) {
        time += 1000;
        timers.forEach(f => f());
      }
    });
  } finally {
    Object.assign(globalThis, { setInterval: real, clearInterval: realClear });
    Date.now = now;
  }
}

test("a quiet client pings before the server's idle timeout", () =>
  withClock(tick => {
    const [session, socket] = begin();
    socket.accept({ limits: { idle_timeout_s: 30 } });
    tick(10);
    assert.equal(socket.texts().length, 0);
    tick(1);
    assert.deepEqual(socket.texts(), [{ type: "ping" }]);
    session.close();
  }));

test("a silent server is asked, then given up; so is one that never opens", () =>
  withClock(tick => {
    let [session, socket] = begin();
    socket.accept();
    tick(21);
    assert.deepEqual(socket.texts(), [{ type: "ping" }]);
    tick(19);
    assert.equal(session.failure, null);
    tick(1);
    assert.equal(session.failure.cause, "lost");
    [session, socket] = begin();
    tick(21);
    assert.equal(session.failure.cause, "unreachable");
  }));

test("features() joins a whole recording", async () => {
  const audio = new Float32Array(40000);
  const whole = features(
    "ws://h:1",
    audio,
    { output: ["phones", "posteriors", "embedding@4"] },
    env,
  );
  const socket = FakeSocket.last;
  socket.accept();
  while (!socket.texts().length) await new Promise(setImmediate);
  assert.equal(
    socket.audio().reduce((n, m) => n + m.length, 0),
    80000,
  );
  socket.packet(packet({ rows: [1, 2], dim: 2 }));
  socket.packet(packet({ kind: 2, rows: [7], dim: 1, tap: 4 }));
  socket.packet(packet({ first: 1, rows: [3, 4], dim: 2 }));
  socket.say({ type: "phones", phones: [{ phone: "S", end: 1 }] });
  socket.say({ type: "phones", tap: 4, phones: [{ phone: "T", end: 2.52 }] });
  socket.say({ type: "done", frames: 2, seconds: 2.5 });
  socket.hangUp(1000);
  const found = await whole;
  assert.deepEqual([...found.posteriors.values], [1, 2, 3, 4]);
  assert.deepEqual([...found["embedding@4"].values], [7]);
  assert.deepEqual(found.phones, [
    { phone: "S", end: 1, tap: 0 },
    { phone: "T", end: 2.5, tap: 4 },
  ]);
  assert.equal(found.done.frames, 2);
});

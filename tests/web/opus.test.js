/* opus.test.js - clients/web/shoal-opus.js: samples to packets, with an encoder that a test plays */
import assert from "node:assert/strict";
import test from "node:test";

import { connect, opusTrouble } from "../../clients/web/shoal.js";
import { FakeEncoder, FakeSocket, codecs, env } from "./fake.js";

/** A session of Opus at 16 kHz, its socket and its encoder. */
function begin(options = {}, more = {}) {
  const session = connect(
    "ws://h:1",
    { format: "opus", ...options },
    { ...env, ...codecs, ...more },
  );
  const socket = FakeSocket.last;
  try {
    session.send(new Float32Array(0)); // makes the encoder
  } catch (e) {
    session.close(); // or it would wait for the server
    throw e;
  }
  return [session, socket, FakeEncoder.all.at(-1)];
}

const sent = socket => socket.sent.map(m => (typeof m === "string" ? JSON.parse(m).type : [...m]));
const samples = (n, value) => new Float32Array(n).fill(value);

test("where there is no Opus, words say why", async () => {
  assert.match(await opusTrouble(16000), /WebCodecs/); // Node has none
  assert.match(await opusTrouble(44100, codecs), /no 44100 Hz/);
  assert.match(await opusTrouble(8000, codecs), /does not encode Opus$/);
  const throwing = { AudioEncoder: { isConfigSupported: () => Promise.reject(new Error("so")) } };
  assert.match(await opusTrouble(48000, { ...codecs, ...throwing }), /\(so\)$/);
  assert.equal(await opusTrouble(48000, codecs), "");
  const session = connect("ws://h:1", { format: "opus" }, env);
  assert.throws(() => session.send(new Float32Array(3)), /no AudioEncoder here/);
  session.send(Uint8Array.of(1, 2)); // packets of one's own need none
  FakeSocket.last.accept();
  assert.deepEqual(sent(FakeSocket.last), [[1, 2]]);
  session.close();
});

test("what cannot be made is refused by name", () => {
  assert.throws(() => begin({ rate: 44100 }), /no rate of 44100/);
  assert.throws(() => begin({ channels: 2 }), /one channel/);
});

test("samples become packets of 20 ms, however they are cut; requests keep their place", async () => {
  const [session, socket, encoder] = begin();
  assert.deepEqual(
    [encoder.config.sampleRate, encoder.config.bitrate, encoder.config.opus.frameDuration],
    [16000, 24000, 20000],
  );
  socket.accept();
  session.send(samples(100, 0.1));
  assert.equal(session.bufferedAmount, (60 * 100) / 320);
  session.send(samples(400, 0.2));
  session.send(samples(700, 0.3)); // 1200: three packets and 240 samples
  assert.equal(encoder.encodeQueueSize, 3);
  session.set({ depth: 3 });
  const flushed = session.flush();
  session.ping(); // does not overtake the flush
  session.send(samples(320, 0.4));
  session.skip(16000);
  await encoder.work(2);
  assert.deepEqual(sent(socket), ["set", [0, 10, 20], [1, 20, 30]]);
  await encoder.work();
  assert.deepEqual(sent(socket).slice(3), [
    [2, 30, 30],
    "flush",
    "ping",
    [3, 30, 40],
    [4, 40, 0],
    "skip",
  ]);
  assert.equal(socket.texts().at(-1).samples, 16000 - 80); // the zeros that filled the packet are of them
  socket.say({ type: "flushed", id: "js-0" });
  await flushed;
  session.send(samples(10, 0.5));
  const ended = session.end();
  await encoder.work();
  assert.deepEqual(sent(socket).slice(9), [[5, 50, 0], "end"]);
  socket.say({ type: "done" });
  socket.hangUp(1000);
  await ended;
  assert.equal(encoder.state, "closed");
});

test("an encoder that fails ends the session by name; a session that failed feeds none", async () => {
  const failures = [];
  const [session, socket, encoder] = begin({}, { onclose: f => failures.push(f) });
  socket.accept();
  encoder.error(new Error("no more"));
  assert.equal(session.failure.code, "encoder_failed");
  assert.match(session.failure.message, /no more/);
  assert.deepEqual([failures.length, socket.closedWith], [1, 1000]);
  session.send(samples(640, 0.1));
  assert.equal(encoder.queue.length, 0);
});

test("a session that the server kept gets the packets that it has not; another server refuses", async t => {
  t.mock.method(globalThis, "setTimeout", f => queueMicrotask(f));
  const ready = {
    resume: "abc",
    options: { format: "opus", rate: 16000, channels: 1, output: ["phones"], chunk_ms: 160 },
    model: { rate: 16000, sha256: "a" },
  };
  const breaks = [];
  const more = { reconnectMs: 1000, onbreak: f => breaks.push(f.cause) };
  const [session, socket, encoder] = begin({}, more);
  socket.accept(ready);
  session.send(samples(960, 0.1));
  await encoder.work();
  socket.hangUp(1006);
  session.send(samples(320, 0.2));
  await encoder.work();
  const other = FakeSocket.last;
  assert.match(other.url, /[?]resume=abc&got=0$/);
  other.accept({ ...ready, resumed: { bytes: 6, requests: 0 } });
  assert.deepEqual(sent(other), [
    [2, 10, 10],
    [3, 20, 20],
  ]);
  other.hangUp(1006);
  await null;
  await null;
  const third = FakeSocket.last;
  third.onopen();
  third.say({ type: "error", code: "cannot_resume", message: "m", fatal: true, retry: false });
  third.hangUp(1008);
  assert.equal(session.failure.code, "cannot_resume");
  assert.deepEqual(breaks, ["lost", "lost"]);
});

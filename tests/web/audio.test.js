/* audio.test.js - what is no audio is refused by name, before a server hears of it */
import assert from "node:assert/strict";
import test from "node:test";
import vm from "node:vm";

import { connect, features } from "../../clients/web/shoal.js";
import { audioBytes, checkAudio } from "../../clients/web/shoal-wire.js";
import { FakeSocket, env } from "./fake.js";

const speech = Float32Array.from({ length: 800 }, (_, i) => 0.1 * Math.sin(i / 20));
const withOne = value => speech.map((v, i) => (i === 17 ? value : v));

/** What, error, its words. */
const WRONG = [
  [withOne(NaN), RangeError, /sample 17 is NaN/],
  [withOne(Infinity), RangeError, /sample 17 is Infinity/],
  [Float64Array.from(withOne(-Infinity)), RangeError, /sample 17 is -Infinity/],
  [speech.map(v => Math.round(32768 * v)), RangeError, /divide them by 32768 /],
  [speech.map(v => 8388608 * v), RangeError, /divide them by 8388608 /],
  [Float64Array.from(speech, v => 2147483648 * v), RangeError, /divide them by 2147483648 /],
  [[0.1, 0.2], TypeError, /^Array is no audio: .*Float32Array\.from/],
  ["talk.wav", TypeError, /^String is no audio: a file's name\?/],
  [undefined, TypeError, /^undefined is no audio/],
  [null, TypeError, /^null is no audio/],
  [7, TypeError, /^Number is no audio/],
  [{}, TypeError, /^Object is no audio/],
  [Promise.resolve(speech), TypeError, /^Promise is no audio: await it/],
  [new Blob(["RIFF"]), TypeError, /^Blob is no audio: .*decodeAudioData/],
  [{ [Symbol.toStringTag]: "File" }, TypeError, /^File is no audio: .*decodeAudioData/],
  [{ [Symbol.toStringTag]: "AudioBuffer" }, TypeError, /getChannelData/],
  [new Int32Array(9), TypeError, /^Int32Array is no audio: divide by 2147483648/],
  [new Uint16Array(9), TypeError, /^Uint16Array is no audio: give an Int16Array/],
  [new Uint32Array(9), TypeError, /^Uint32Array is no audio/],
  [new BigInt64Array(9), TypeError, /^BigInt64Array is no audio/],
];

test("features refuses it before a server is asked", async () => {
  FakeSocket.last = null;
  for (const [audio, kind, message] of WRONG)
    await assert.rejects(features("ws://h:1", audio, {}, env), e => {
      assert.ok(e instanceof kind, `${e}`);
      assert.match(e.message, message);
      return true;
    });
  await assert.rejects(
    features("ws://h:1?format=mulaw", speech, {}, env),
    /Float32Array is .*mulaw/,
  );
  await assert.rejects(features("h", new Int16Array(2), { format: "opus" }, env), /Int16Array is/);
  assert.equal(FakeSocket.last, null);
});

test("a session refuses it, in every format of samples, and goes on", () => {
  for (const format of ["s16le", "f32le", "opus"]) {
    const session = connect("ws://h:1", { format }, env),
      socket = FakeSocket.last;
    socket.accept();
    for (const [audio, name, message] of WRONG)
      assert.throws(() => session.send(audio), { name: name.name, message });
    assert.deepEqual(socket.sent, []);
    session.send(Uint8Array.of(1, 2));
    assert.deepEqual(socket.audio(), [Uint8Array.of(1, 2)]);
    session.close();
  }
});

test("samples of every kind are the bytes of the format", () => {
  const bytes = (audio, format) => [...audioBytes(checkAudio(audio, format), format)];
  const half = [0, 0x40],
    halfFloat = [0, 0, 0, 0x3f];
  for (const floats of [
    Float32Array.of(0.5),
    Float64Array.of(0.5),
    vm.runInNewContext("Float32Array.of(0.5)"),
  ]) {
    assert.deepEqual(bytes(floats, "s16le"), half);
    assert.deepEqual(bytes(floats, "f32le"), halfFloat);
  }
  assert.deepEqual(bytes(Int16Array.of(16384), "s16le"), half);
  assert.deepEqual(bytes(Int16Array.of(16384), "f32le"), halfFloat);
  assert.deepEqual(bytes(Float32Array.of(-7.9, 3), "s16le"), [0, 0x80, 0xff, 0x7f]); // loud, on the same scale
  const raw = Uint8Array.of(9, 1, 2, 3, 9);
  for (const same of [
    raw.subarray(1, 4),
    raw.slice(1, 4).buffer,
    new DataView(raw.buffer, 1, 3),
    new Int8Array(raw.buffer, 1, 3),
    new Uint8ClampedArray(raw.buffer, 1, 3),
    Buffer.from([1, 2, 3]),
  ])
    for (const format of ["s16le", "mulaw", "opus"])
      assert.deepEqual(bytes(same, format), [1, 2, 3]);
});

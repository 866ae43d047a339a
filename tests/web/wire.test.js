/* wire.test.js - clients/web/shoal-wire.js: URLs, packets, samples, failures */
import assert from "node:assert/strict";
import test from "node:test";

import {
  decodeHalves,
  decodePacket,
  encodeOptions,
  failureOf,
  failureOfClose,
  joinFrames,
  nameOf,
  sessionURL,
  toS16,
} from "../../clients/web/shoal-wire.js";
import { packet } from "./fake.js";

/* The packet of docs/protocol.md, 5: posteriors at depth 6, f16, first after a change of depth */
const EXAMPLE =
  "53484f4c 01010206 40000100 07000000 2800000000000000 0032000000000000" +
  "803e000000000000 8034000000000000 02000300 e8030000 02010000 00000000" +
  "003c00c00038 ff7b00fc0100";

function bytes(hex) {
  return Uint8Array.from(hex.replace(/ /g, "").match(/../g), b => parseInt(b, 16));
}

test("the packet of the manual", () => {
  const p = decodePacket(bytes(EXAMPLE).buffer);
  assert.deepEqual([...p.values], [1, -2, 0.5, 65504, -Infinity, 2 ** -24]);
  delete p.values;
  assert.deepEqual(p, {
    type: "features",
    kind: "posteriors",
    seq: 7,
    depth: 6,
    tap: 0,
    flags: 1,
    first_frame: 40,
    start_sample: 12800,
    received: 16000,
    processed: 13440,
    frames: 2,
    dim: 3,
    row_ms: 20,
    queued_us: 1000,
    computed_us: 258,
  });
});

test("a packet inside a larger buffer, at an odd offset, with a longer header", () => {
  const inner = new Uint8Array(packet({ head: 71, rows: [1.5, -3, 0.25, 8], dim: 2, tap: 4 }));
  const outer = new Uint8Array(inner.length + 5);
  outer.set(inner, 3);
  const p = decodePacket(outer.subarray(3, 3 + inner.length));
  assert.deepEqual([...p.values], [1.5, -3, 0.25, 8]);
  assert.equal(p.tap, 4);
});

test("packets that are none", () => {
  const good = bytes(EXAMPLE);
  const cases = [good.subarray(0, 63), good.subarray(0, 75), bytes(EXAMPLE + "00")];
  for (const [at, value] of [
    [0, 0],
    [4, 2],
    [5, 5],
    [6, 3],
    [8, 63],
  ]) {
    const bad = bytes(EXAMPLE);
    bad[at] = value;
    cases.push(bad);
  }
  for (const c of cases)
    assert.throws(() => decodePacket(c), { name: "ShoalFailure", cause: "broken", retryMs: -1 });
});

test("halves", () => {
  const bits = [0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3555, 0xc248, 0x7bff, 0x7c00, 0xfc00];
  const want = [
    0,
    -0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    0.333251953125,
    -3.140625,
    65504,
    Infinity,
    -Infinity,
  ];
  assert.deepEqual([...decodeHalves(bits)], want);
  assert.ok(Number.isNaN(decodeHalves([0x7e00])[0]));
});

test("joined frames", () => {
  const at = (first, rows) => decodePacket(packet({ first, rows, dim: 2 }));
  const none = decodePacket(packet({ rows: [], dim: 2 }));
  const joined = joinFrames([none, at(3, [1, 2]), at(4, [3, 4, 5, 6])]);
  assert.equal(joined.first_frame, 3);
  assert.equal(joined.frames, 3);
  assert.deepEqual([...joined.values], [1, 2, 3, 4, 5, 6]);
  assert.equal(joinFrames([]).frames, 0);
  assert.throws(() => joinFrames([at(0, [1, 2]), at(2, [3, 4])]), /frame 1 is missing/);
});

test("rows that are no frames: mels of 10 ms, means; names of outputs", () => {
  const of = more => decodePacket(packet({ dim: 1, ...more }));
  const mel = of({ kind: 4, head: 72, row_ms: 10, first: 3, rows: [1, 2, 3, 4], depth: 0 });
  assert.deepEqual([mel.kind, mel.row_ms, nameOf(mel)], ["mel", 10, "mel"]);
  const on = of({ kind: 4, head: 72, row_ms: 10, first: 5, rows: [5, 6], depth: 0 });
  const { values, ...mels } = joinFrames([mel, on]);
  assert.deepEqual(mels, { first_frame: 3, frames: 6, dim: 1, row_ms: 10 });
  assert.deepEqual([...values], [1, 2, 3, 4, 5, 6]);
  assert.throws(() => joinFrames([mel, mel]), /frame 5 is missing/);
  const mean = first => of({ kind: 2, head: 72, row_ms: 100, first, rows: [first] });
  assert.deepEqual([...joinFrames([mean(10), mean(40)]).values], [10, 40]); // utterances
  const hidden = more => nameOf(of({ kind: 3, rows: [1], ...more }));
  assert.deepEqual(
    [hidden({ depth: 0 }), hidden({ depth: 4, tap: 4 }), hidden({ depth: 4 })],
    ["hidden@0", "hidden@4", "hidden"],
  );
});

test("URLs", () => {
  const url = (...a) => sessionURL(...a);
  assert.equal(url("ws://h"), "ws://h:7350/v1/stream?rate=16000");
  assert.equal(url("h:1"), "ws://h:1/v1/stream?rate=16000");
  assert.equal(url("ws://h:80"), "ws://h/v1/stream?rate=16000");
  assert.equal(url("wss://h"), "wss://h/v1/stream?rate=16000");
  assert.equal(url("https://h/"), "wss://h/v1/stream?rate=16000");
  assert.equal(url("https://h/shoal/"), "wss://h/shoal/v1/stream?rate=16000");
  assert.equal(url("http://h/?x=1"), "ws://h/v1/stream?rate=16000&x=1");
  assert.equal(
    url("ws://[::1]:9/shoal?depth=3-12&rate=8000", { depth: 4 }),
    "ws://[::1]:9/shoal?rate=8000&depth=4",
  );
  assert.throws(() => url("ftp://h"), { cause: "rejected", code: "bad_url" });
});

test("options", () => {
  assert.equal(
    encodeOptions({ depth: [3, 12], output: ["phones@4", "embedding"], lm: undefined }),
    "depth=3-12&output=phones@4,embedding",
  );
  assert.equal(encodeOptions({ program: "a&b" }), "program=a%26b");
  assert.equal(encodeOptions({ lm: false, tentative: true, t0: 5 }), "lm=off&tentative=on&t0=5");
});

test("samples", () => {
  const s16 = new Int16Array(toS16(Float32Array.of(0, 0.5, -1, 1, 2, -2, 1 / 32768)));
  assert.deepEqual([...s16], [0, 16384, -32768, 32767, 32767, -32768, 1]);
});

test("errors and closes as failures", () => {
  const of = (code, more) => failureOf({ code, message: "m", ...more });
  assert.deepEqual(
    [
      of("overloaded", { retry: true, retry_after_ms: 700 }).cause,
      of("overloaded", { retry: true, retry_after_ms: 700 }).retryMs,
    ],
    ["full", 700],
  );
  assert.equal(of("draining", { retry: true }).cause, "restarting");
  assert.equal(of("idle_timeout", { retry: true }).cause, "lost");
  assert.equal(of("internal", { retry: true }).cause, "broken");
  assert.equal(of("bad_option", { ref: "depth" }).cause, "rejected");
  assert.equal(of("bad_option", { ref: "depth" }).retryMs, -1);
  for (const [code, cause] of [
    [1013, "full"],
    [1012, "restarting"],
    [1001, "restarting"],
    [1006, "lost"],
    [1008, "rejected"],
    [1011, "broken"],
  ])
    assert.equal(failureOfClose(code, "", true, "ws://h").cause, cause, `close ${code}`);
  const refused = failureOfClose(1006, "", false, "ws://h:7350");
  assert.equal(refused.cause, "unreachable");
  assert.match(refused.message, /ws:\/\/h:7350.*running/);
});

/* timeline.test.js - clients/web/timeline.js: messages in, what the picture shows */
import assert from "node:assert/strict";
import test from "node:test";

import { Recent, Timeline, Utterances, differences } from "../../clients/web/timeline.js";

const READY = {
  type: "ready",
  classes: 2,
  labels: ["SIL", "AA"],
  depth: 12,
  options: { chunk_ms: 160 },
};
const heard = (phone, start, end, more) => ({ phone, start, end, ...more });
const phones = (list, more) => ({ type: "phones", phones: list, ...more });
const rows = (first_frame, values, more) => ({
  type: "features",
  kind: "posteriors",
  first_frame,
  frames: values.length / 2,
  dim: 2,
  queued_us: 1000,
  computed_us: 2000,
  values: Float32Array.from(values),
  ...more,
});

function line(at = 0, rate = 16000) {
  const t = new Timeline();
  t.begin(at, rate);
  t.take(READY, at);
  return t;
}

test("a phone lies where it was heard, whatever session heard it", () => {
  const t = line(10);
  t.take(phones([heard("AA", 0.5, 0.6)]), 11);
  t.begin(20, 8000);
  t.take(READY, 20);
  t.take(phones([heard("AA", 0.5, 0.6)]), 21);
  assert.deepEqual(
    t.lanes[0].settled.map(p => p.start),
    [10.5, 20.5],
  );
});

test("tentative phones are replaced, and turn settled where they stood", () => {
  const t = line();
  t.take(phones([], { tentative: [heard("AA", 1, 1.1), heard("S", 1.1, 1.2)] }), 1.3);
  t.take(phones([heard("AA", 1, 1.1)], { tentative: [heard("T", 1.1, 1.2)] }), 1.5);
  assert.deepEqual(
    t.lanes[0].settled.map(p => [p.phone, p.start]),
    [["AA", 1]],
  );
  assert.deepEqual(
    t.lanes[0].tentative.map(p => [p.phone, p.start]),
    [["T", 1.1]],
  );
  t.take(phones([]), 1.6);
  assert.deepEqual(t.lanes[0].tentative, []);
});

test("another model or program begins with a mark that names it", () => {
  const t = new Timeline();
  const begin = (at, depth, model, program = "base", classes = 2) => {
    t.begin(at, 16000);
    const labels = ["SIL", "AA", "AE"].slice(0, classes);
    t.take({ ...READY, depth, classes, labels, options: { model, program } }, at);
    return t.marks.map(m => [m.time, m.depth, m.named]);
  };
  assert.deepEqual(begin(0, 12, "base"), [[0, 12, ""]]); // the first needs no name
  t.take(rows(0, [0, -1]), 1);
  assert.deepEqual(begin(2, 12, "small").at(-1), [2, 12, "small"]);
  assert.equal(t.row(0)[1], -1); // what the other heard stays
  assert.deepEqual(begin(4, 3, "small", "short").at(-1), [4, 3, "short"]);
  assert.equal(begin(6, 3, "small", "short").length, 3); // the same again: no mark
  begin(8, 3, "wide", "base", 3);
  assert.deepEqual([t.row(0), t.row(399)], [null, null]); // other classes: other rows
});

test("a label stays where it was first shown, though the begin of its phone moves", () => {
  const t = line(5),
    say = (settled, tentative) => t.take(phones(settled, { tentative }), 7);
  say([], [heard("AA", 1, 1.1), heard("S", 1.1, 1.16)]);
  say([], [heard("AA", 1.02, 1.12), heard("T", 1.12, 1.16), heard("S", 1.16, 1.2)]);
  assert.deepEqual(
    t.lanes[0].tentative.map(p => [p.phone, p.start, p.at]),
    [
      ["AA", 6.02, 6],
      ["T", 6.12, 6.12],
      ["S", 6.16, 6.1],
    ],
  );
  say([heard("AA", 1.04, 1.12)], [heard("AA", 1.12, 1.2)]);
  assert.deepEqual(
    [...t.lanes[0].settled, ...t.lanes[0].tentative].map(p => [p.start, p.at]),
    [
      [6.04, 6],
      [6.12, 6.12],
    ],
  );
  say([heard("AA", 2, 2.1)], []); // far away: another one
  assert.equal(t.lanes[0].settled[1].at, 7);
});

test("sound that was sent and never answered is lost with its connection", () => {
  const t = line(1);
  t.take(rows(0, [-1, -2, -3, -4]), 1.2);
  t.lose(1.5, 1.6);
  t.lose(1.6, 1.7);
  assert.deepEqual(t.gaps, [{ from: 1.04, to: 1.7 }]);
  t.begin(2, 16000);
  t.lose(2, 2.5); // a session that never began
  assert.deepEqual(t.gaps[1], { from: 2, to: 2.5 });
  t.lose(3, 3); // nothing was
  assert.equal(t.gaps.length, 2);
  assert.equal(t.lost.toFixed(3), "1.160");
});

test("outputs with an @ have a lane of their own", () => {
  const t = line();
  t.take(phones([heard("AA", 1, 1.1)], { tap: 4 }), 1.3);
  assert.equal(t.lanes[0].settled.length, 0);
  assert.equal(t.lanes[1].settled.length, 1);
  assert.equal(t.phones, 0);
});

test("rows are kept by frame; between sessions there are none", () => {
  const t = line(1);
  t.take(rows(0, [-1, -2, -3, -4]), 1.2);
  assert.deepEqual([...t.row(51)], [-3, -4]);
  assert.equal(t.row(52), null);
  t.begin(2, 16000);
  t.take(rows(1, [-5, -6]), 2.2);
  assert.deepEqual([...t.row(101)], [-5, -6]);
  assert.deepEqual([...t.row(100)], [NaN, NaN]);
  assert.deepEqual([...t.row(60)], [NaN, NaN]);
  assert.equal(t.serverMs.percentile(0.5), 3);
});

test("what is older than two minutes is forgotten", () => {
  const t = line();
  t.take(rows(0, [-1, -2]), 0.1);
  t.take(phones([heard("AA", 0, 0.1)]), 0.2);
  t.take(rows(6000, [-3, -4]), 120.1);
  assert.equal(t.row(0), null);
  assert.deepEqual([...t.row(6000)], [-3, -4]);
  t.take(phones([]), 121);
  assert.equal(t.lanes[0].settled.length, 0);
});

test("marks: where a depth begins and why", () => {
  const t = line(2);
  t.take({ type: "changed", depth: 5, from_frame: 50, reason: "load" }, 4);
  t.take({ type: "changed", depth: 5, from_frame: 60, reason: "set" }, 4);
  assert.deepEqual(t.marks, [
    { time: 2, depth: 12, reason: "set", named: "" },
    { time: 3, depth: 5, reason: "load", named: "" },
  ]);
  assert.equal(t.depth, 5);
});

test("lags: computed, shown, settled", () => {
  const t = line(10);
  t.take(
    phones([], { processed: 16000, tentative: [heard("AA", 0.7, 0.8), heard("S", 0.8, 0.9)] }),
    11.25,
  );
  assert.equal(t.computedLag.toFixed(3), "0.250");
  assert.equal(t.shownLag.percentile(0.5).toFixed(3), "0.450"); // AA ended at 10.8; S has not
  t.take(
    phones([heard("AA", 0.7, 0.8)], { tentative: [heard("S", 0.8, 0.9), heard("T", 0.9, 1)] }),
    11.5,
  );
  assert.deepEqual(
    t.shownLag.values.map(v => v.toFixed(2)),
    ["0.45", "0.60"],
  );
  assert.deepEqual(
    t.settledLag.values.map(v => v.toFixed(2)),
    ["0.70"],
  );
});

test("speech, also when the session ends in it; sound that nobody heard", () => {
  const t = line(1);
  t.take({ type: "activity", state: "speech", time: 0.5 }, 2);
  assert.deepEqual(t.speech, [{ from: 1.5, to: Infinity }]);
  t.take({ type: "done", seconds: 2 }, 3);
  assert.deepEqual(t.speech, [{ from: 1.5, to: 3 }]);
  t.lose(4, 4.02);
  t.lose(4.02, 4.04);
  t.lose(6, 6.02);
  assert.deepEqual(t.gaps, [
    { from: 4, to: 4.04 },
    { from: 6, to: 6.02 },
  ]);
});

test("levels are those of the last two minutes", () => {
  const t = new Timeline();
  t.addLevel(1, 1.02, 0.5);
  assert.deepEqual([t.level(49), t.level(50), t.level(51)], [0, 0.5, 0]);
  t.addLevel(121, 121.02, 0.25);
  assert.deepEqual([t.level(50), t.level(6050)], [0, 0.25]);
});

test("what two lanes do not agree on", () => {
  const a = [heard("AA", 0, 0.1), heard("S", 0.1, 0.2), heard("T", 0.2, 0.3)];
  const b = [heard("AA", 0.02, 0.1), heard("Z", 0.1, 0.2), heard("T", 0.27, 0.4)];
  assert.deepEqual(
    [...differences(b, a)].map(p => p.phone),
    ["Z", "T"],
  );
  assert.deepEqual([...differences(a, a)], []);
});

test("an utterance is told once, when its last phone has come", () => {
  const t = line(),
    said = new Utterances();
  const told = h => said.take(t, h).map(u => u.phones.map(p => p.phone).join(" "));
  t.take({ type: "activity", state: "speech", time: 1 }, 1.2);
  t.take(phones([heard("AA", 0.9, 1.1)], { tentative: [heard("S", 1.1, 1.3)] }), 1.4);
  assert.deepEqual(told(1.4), []);
  t.take({ type: "activity", state: "silence", time: 1.3 }, 1.6);
  assert.deepEqual(told(1.6), []); // S may still come
  t.take(phones([heard("S", 1.1, 1.3)]), 1.8);
  assert.deepEqual(told(1.8), ["AA S"]);
  assert.deepEqual(told(9), []);
  t.take({ type: "activity", state: "speech", time: 2 }, 2);
  t.take({ type: "activity", state: "silence", time: 2.2 }, 2.5);
  t.take(phones([heard("T", 2, 2.1)]), 2.5);
  assert.deepEqual(told(Infinity), ["T"]);
});

test("percentiles of the last so many", () => {
  const r = new Recent(3);
  assert.ok(Number.isNaN(r.percentile(0.5)));
  for (const v of [100, 3, 1, 2]) r.add(v);
  assert.equal(r.percentile(0.5), 2);
  assert.equal(r.percentile(0.99), 3);
});

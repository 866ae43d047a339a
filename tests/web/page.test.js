/* page.test.js - the page's other pure parts: rows, settings, words, layout, clock, link */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Clock, cancels, level, mix } from "../../clients/web/capture.js";
import { Link } from "../../clients/web/link.js";
import { choicesOf, placeOf, queryOf } from "../../clients/web/models.js";
import { PHONES, describe, learn, phoneOf, rowOrder } from "../../clients/web/phones.js";
import { readToken } from "../../clients/web/token.js";
import * as settings from "../../clients/web/settings.js";
import { ShoalFailure } from "../../clients/web/shoal.js";
import { ramp } from "../../clients/web/strip.js";
import { layout, rightEdge } from "../../clients/web/view.js";
import * as words from "../../clients/web/words.js";
import { FakeSocket, env } from "./fake.js";

const LABELS =
  "SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH";

test("all 40 classes have a row, neighbours by manner, and the server's IPA and word", () => {
  const labels = LABELS.split(" "),
    order = rowOrder(labels);
  assert.equal(order.length, 40);
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    [...labels.keys()],
  );
  assert.deepEqual(
    labels.map(l => PHONES.has(l)),
    labels.map(() => true),
  );
  const manners = order.map(c => phoneOf(labels[c]).manner);
  assert.equal(new Set(manners).size, manners.filter((m, i) => m !== manners[i - 1]).length);
  assert.deepEqual(rowOrder(["XX", "SIL"]), [1, 0]);
  assert.equal(describe("IH"), "IH, IH: a vowel");
  learn(undefined);
  learn([
    { label: "IH", ipa: "ɪ", example: "fIt" },
    { label: "JH", ipa: null },
    { label: "XX", ipa: "x" },
  ]);
  assert.equal(describe("IH"), "IH, ɪ as in fIt: a vowel");
  assert.match(describe("JH"), /an affricate/);
});

test("settings go into the address and back", () => {
  assert.equal(readToken("#token=shoal_a-b%2B"), "shoal_a-b+");
  assert.equal(readToken(""), "");
  assert.equal(readToken("#prices"), "");
  const s = settings.readSettings("?depth=6&compare=4&chunk=80&elastic=0&lm=0&opus=1", 12);
  assert.deepEqual(s, {
    depth: 6,
    compare: 4,
    chunk: 80,
    elastic: false,
    ipa: true,
    lm: false,
    opus: true,
    model: "",
    program: "",
    server: "",
  });
  assert.deepEqual(settings.readSettings(settings.writeSettings(s)), s);
  assert.equal(settings.writeSettings(settings.defaults()), "");
  const odd = settings.readSettings("?depth=99&compare=12&chunk=161&elastic=yes&x=1", 12);
  assert.deepEqual(odd, settings.defaults());
});

test("settings as options and as a set", () => {
  const s = settings.readSettings("?depth=6&compare=4");
  assert.deepEqual(settings.optionsOf(s, 48000), {
    rate: 48000,
    depth: [3, 6],
    chunk_ms: 160,
    encoding: "f16",
    tentative: "on",
    output: ["phones", "posteriors", "activity", "phones@4"],
  });
  assert.equal("tentative" in settings.optionsOf(s, 48000, { tentative: false }), false);
  const opus = (rate, can) => settings.optionsOf({ ...s, opus: true }, rate, can).format;
  assert.deepEqual(
    [opus(48000), opus(44100), opus(48000, { opus: false })],
    ["opus", undefined, undefined],
  );
  assert.equal(settings.changeOf(s, { ...s, opus: true }), null);
  assert.equal(settings.depthOf({ ...s, depth: 2 }), 2);
  assert.equal(settings.depthOf({ ...s, elastic: false }), 6);
  assert.deepEqual(settings.changeOf(s, { ...s, depth: 9 }), { depth: [3, 9] });
  assert.deepEqual(settings.changeOf(s, { ...s, compare: 0 }), {
    output: ["phones", "posteriors", "activity"],
  });
  assert.deepEqual(settings.changeOf(s, { ...s, chunk: 80 }), { chunk_ms: 80 });
  assert.deepEqual(settings.changeOf(s, { ...s, ipa: false }), {});
  assert.equal(settings.changeOf(s, { ...s, lm: false }), null);
});

test("models and their programs are one list, of which settings name one", () => {
  const page = {
    models: [
      { name: "base", depth: 12, programs: [{ name: "base", depth: 12 }] },
      {
        name: "two",
        depth: 12,
        programs: [
          { name: "base", depth: 12 },
          { name: "short", depth: 3 },
        ],
      },
    ],
  };
  const all = choicesOf(page);
  assert.deepEqual(
    all.map(c => [c.model, c.program, c.text, c.depth]),
    [
      ["", "", "base", 12],
      ["two", "", "two, base", 12],
      ["two", "short", "two, short", 3],
    ],
  );
  const place = (model, program = "") => placeOf(all, { model, program });
  assert.deepEqual([place(""), place("base"), place("base", "base")], [0, 0, 0]);
  assert.deepEqual([place("two"), place("two@d6ca3568"), place("two", "short")], [1, 1, 2]);
  assert.deepEqual([place("large"), place("base", "short"), placeOf([], all[0])], [-1, -1, -1]);
  assert.deepEqual(choicesOf({ type: "error" }), []); // of an older server
  assert.equal(queryOf({ model: "", program: "" }), "");
  assert.equal(queryOf({ model: "two@d6ca3568", program: "" }), "?model=two%40d6ca3568");
  assert.equal(queryOf({ model: "two", program: "short" }), "?model=two&program=short");
  const s = settings.readSettings("?model=two&program=short");
  assert.equal(settings.writeSettings(s), "?model=two&program=short");
  const { model, program } = settings.optionsOf(s, 16000);
  assert.deepEqual([model, program], ["two", "short"]);
  assert.equal("model" in settings.optionsOf(settings.defaults(), 16000), false);
  assert.equal(settings.changeOf(s, { ...s, model: "" }), null); // another session
  assert.match(words.modelTrouble({ message: "model: no" }).hint, /^Model: no\. .*first/);
  assert.match(words.fileTrouble("a.wav", 0).title, /^a\.wav is empty/);
  assert.match(words.fileTrouble("a.wav", 9).title, /no sound/);
});

test("every failure has its sentence", () => {
  const of = name => words.microphoneTrouble({ name });
  assert.match(of("NotAllowedError").title, /refused/);
  assert.match(of("NotFoundError").title, /no microphone/);
  assert.match(of("NotReadableError").hint, /Another program/);
  assert.match(words.microphoneTrouble({ message: "odd" }).hint, /odd/);
  const insecure = words.microphoneTrouble({}, false);
  assert.match(insecure.hint, /localhost/);
  assert.equal(insecure.again, false);
  const titles = ["unreachable", "full", "restarting", "lost", "rejected", "broken"].map(
    cause => words.sessionTrouble(new ShoalFailure(cause, "why")).title,
  );
  assert.equal(new Set(titles).size, 6);
  const gone = new ShoalFailure("rejected", "why", { code: "cannot_resume" });
  assert.deepEqual(
    [words.sessionTrouble(gone).waits, words.sessionTrouble(gone).again],
    [true, false],
  );
  const broke = words.breakTrouble(new ShoalFailure("lost", "why"));
  assert.deepEqual([broke.title, broke.waits], ["The connection was lost.", true]);
  assert.match(broke.hint, /is kept/);
  assert.equal(words.sessionTrouble(new ShoalFailure("full", "why")).waits, true);
  assert.equal(
    words.sessionTrouble(new ShoalFailure("rejected", "depth: why")).hint,
    "Depth: why.",
  );
});

test("prices in words, of the chunk in use where the server tells it", () => {
  const prices = {
    chunk_ms: 160,
    depths: [
      {
        depth: 6,
        cpu_ms: 6.123,
        streams: 163.4,
        per: 0.3607,
        chunks: [{ chunk_ms: 80, cpu_ms: 9.2, streams: 108.7, settled_ms: { p50: 275, p90: 555 } }],
      },
    ],
  };
  assert.equal(
    words.priceWords(words.priceOf(prices, 6, 160), 160),
    "163 streams a core, 36.1 % of phones wrong",
  );
  assert.equal(
    words.priceWords(words.priceOf(prices, 6, 80), 80),
    "109 streams a core, 36.1 % of phones wrong, settled after 275 ms (9 of 10: 555)",
  );
  assert.match(words.priceWords(words.priceOf(prices, 6, 40), 40), /wrong, with chunks of 160 ms$/);
  assert.deepEqual(words.priceTable(prices, 80), [
    { depth: 6, cells: ["109", "9.2", "36.1", "275 / 555"] },
  ]);
  assert.deepEqual(words.priceTable(prices, 160)[0].cells, ["163", "6.1", "36.1", "–"]);
  assert.deepEqual(words.priceTable(null, 160), []);
  assert.equal(words.priceOf(prices, 6, 80).cpu_ms, 9.2);
  assert.equal(words.priceWords(words.priceOf(prices, 7, 160), 160), "");
  assert.equal(words.priceWords(words.priceOf(null, 7, 160), 160), "");
  assert.equal(words.milliseconds(NaN), "–");
  assert.equal(words.milliseconds(0.2534), "253 ms");
});

test("the picture fits: rows below lanes below the level, narrow screens too", () => {
  for (const [width, lanes] of [
    [360, 1],
    [360, 2],
    [1180, 2],
  ]) {
    const g = layout(width, 40, lanes);
    assert.equal(g.rowsTop, g.lanesTop + lanes * g.laneHeight);
    assert.equal(g.axisTop, g.rowsTop + 40 * g.rowHeight);
    assert.ok(g.height > g.axisTop && g.height < 640);
    assert.ok((g.right - g.left) / g.speed > 1.5, "seconds that are seen");
  }
  assert.equal(rightEdge(7.3, 5, false), 7.3);
  assert.equal(rightEdge(7.3, 5, true), 10); // who wants less motion: pages
});

test("more likely is always further from the paper", () => {
  for (const dark of [true, false]) {
    const table = ramp(dark),
      light = i => table[3 * i] * 0.3 + table[3 * i + 1] * 0.6 + table[3 * i + 2] * 0.1;
    for (let i = 8; i < 256; i += 8)
      assert.ok(dark ? light(i) > light(i - 8) : light(i) < light(i - 8), `${dark} ${i}`);
  }
});

test("the clock runs on between blocks, never far ahead, never back", () => {
  let now = 0;
  const clock = new Clock(() => now);
  assert.equal(clock.read(), 0);
  clock.add(0.02);
  now = 10;
  assert.equal(clock.read().toFixed(3), "0.030");
  now = 500;
  assert.equal(clock.read().toFixed(3), "0.080");
  clock.stop();
  assert.equal(clock.read(), 0.02);
});

test("levels and mixing", () => {
  assert.equal(level(Float32Array.of(0.5, -0.75)).peak, 0.75);
  assert.equal(level(Float32Array.of(0.5, -0.5)).rms, 0.5);
  const channels = [Float32Array.of(1, 0), Float32Array.of(0, 0.5)];
  const sound = { length: 2, numberOfChannels: 2, getChannelData: c => channels[c] };
  assert.deepEqual([...mix(sound)], [0.5, 0.25]);
  const of = (...all) =>
    cancels({
      length: 2,
      numberOfChannels: all.length,
      getChannelData: c => Float32Array.from(all[c]),
    });
  assert.deepEqual(
    [
      of([0.5, -0.2], [-0.5, 0.2]),
      of([0.5, -0.2], [-0.4, 0.2]),
      of([0, 0], [0, 0]),
      of([0.5, 0.1]),
    ],
    [true, false, false, false],
  );
});

function newLink(more = { reconnectMs: 0 }) {
  const seen = [],
    hook =
      name =>
      (...a) =>
        seen.push([name, ...a]);
  const hooks = {
    onbegin: hook("begin"),
    onmessage: m => seen.push([m.type]),
    onfailure: (f, wait) => seen.push(["failure", f.cause, wait]),
    onbreak: f => seen.push(["break", f.cause]),
    onlost: hook("lost"),
    onend: hook("end"),
  };
  return [new Link("ws://h:1", rate => ({ rate }), hooks, { ...env, ...more }), seen];
}

const BLOCK = new Float32Array(320);

test("a link goes on after a failure, waits longer each time, tells what was lost", t => {
  const timers = [];
  t.mock.method(globalThis, "setTimeout", f => timers.push(f));
  const [link, seen] = newLink();
  link.feed(BLOCK, 0); // before start: nothing
  link.start(1, 16000);
  FakeSocket.last.accept();
  link.feed(BLOCK, 1);
  FakeSocket.last.hangUp(1012);
  link.feed(BLOCK, 1.02);
  timers.pop()();
  link.feed(BLOCK, 1.04);
  FakeSocket.last.hangUp(1006);
  timers.pop()();
  link.feed(BLOCK, 5);
  FakeSocket.last.hangUp(1006);
  assert.deepEqual(seen, [
    ["begin", 1, 16000],
    ["ready"],
    ["lost", 1.02, 1.02], // and what had no results
    ["failure", "restarting", 500],
    ["lost", 1.02, 1.04],
    ["begin", 1.04, 16000],
    ["lost", 1.04, 1.06],
    ["failure", "unreachable", 2000 * 1.6],
    ["begin", 5, 16000],
    ["lost", 5, 5.02],
    ["failure", "unreachable", 2000 * 1.6 ** 2],
  ]);
  link.stop();
});

test("samples that are none end a link by name, and throw at nobody", () => {
  const [link, seen] = newLink();
  link.start(1, 16000);
  FakeSocket.last.accept();
  const audio = BLOCK.slice();
  audio[3] = NaN;
  link.feed(audio, 1);
  link.feed(BLOCK, 1.02);
  assert.deepEqual(seen, [["begin", 1, 16000], ["ready"], ["failure", "rejected", -1]]);
  assert.deepEqual(FakeSocket.last.audio(), []);
  const { hint } = words.sessionTrouble(
    new ShoalFailure("rejected", "sample 3 is NaN", { code: "bad_samples" }),
  );
  assert.equal(hint, "Sample 3 is NaN.");
});

test("only a server without Opus is one: what it heard is another thing", () => {
  const refused = (code, ref, format) =>
    settings.refusedOpus(new ShoalFailure("rejected", "", { code, ref }), { format });
  assert.equal(refused("unsupported", "format", "opus"), true);
  assert.equal(refused("bad_option", "format", "opus"), true);
  assert.equal(refused("bad_option", "format", undefined), false); // asked for samples
  assert.equal(refused("bad_audio_format", "format", "opus"), false);
  assert.equal(refused("unsupported", "attention", "opus"), false);
});

test("a session outlives its connection, and is caught up with; one that cannot go on is followed", t => {
  const timers = [];
  t.mock.method(globalThis, "setTimeout", f => timers.push(f));
  const [link, seen] = newLink({});
  const ready = {
    resume: "abc",
    options: { format: "s16le", rate: 16000, every: 5, output: [] },
    model: { rate: 16000 },
  };
  link.start(1, 16000);
  FakeSocket.last.accept(ready);
  link.feed(BLOCK, 1);
  FakeSocket.last.hangUp(1006);
  link.feed(BLOCK, 1.02);
  timers.pop()();
  const socket = FakeSocket.last;
  socket.accept({ ...ready, resumed: { bytes: 640, requests: 0 } });
  assert.deepEqual(
    socket.audio().map(m => m.length),
    [640],
  );
  socket.bufferedAmount = 10 * 32000;
  link.feed(BLOCK, 1.04);
  assert.equal(socket.closedWith, null);
  socket.bufferedAmount = 0;
  link.feed(BLOCK, 1.06);
  socket.hangUp(1006);
  timers.pop()();
  FakeSocket.last.onopen();
  FakeSocket.last.say({ type: "error", code: "cannot_resume", message: "m", fatal: true });
  FakeSocket.last.hangUp(1008);
  timers.pop()();
  link.feed(BLOCK, 1.08);
  assert.deepEqual(seen, [
    ["begin", 1, 16000],
    ["ready"],
    ["break", "lost"],
    ["resumed"],
    ["break", "lost"],
    ["lost", 1.08, 1.08],
    ["failure", "rejected", 0],
    ["begin", 1.08, 16000],
  ]);
  link.stop();
});

test("a link that was refused for good stops; one that is ended gives its last results", async () => {
  const [refused, seen] = newLink();
  refused.start(0, 16000);
  FakeSocket.last.onopen();
  FakeSocket.last.say({ type: "error", code: "bad_option", message: "m", fatal: true });
  FakeSocket.last.hangUp(1008);
  refused.feed(BLOCK, 1);
  assert.deepEqual(seen, [
    ["begin", 0, 16000],
    ["failure", "rejected", -1],
  ]);
  const [link, told] = newLink();
  link.start(0, 16000);
  FakeSocket.last.accept();
  link.feed(BLOCK, 0);
  link.end();
  link.feed(BLOCK, 1);
  assert.equal(FakeSocket.last.audio().length, 1);
  FakeSocket.last.say({ type: "phones", phones: [] });
  FakeSocket.last.say({ type: "done" });
  FakeSocket.last.hangUp(1000);
  assert.deepEqual(
    told.slice(2).map(e => e[0]),
    ["phones", "done", "end"],
  );
});

test("a network slower than speech ends the session instead of queueing for ever", () => {
  const [link, seen] = newLink();
  link.start(0, 16000);
  FakeSocket.last.accept();
  FakeSocket.last.bufferedAmount = 4 * 32000 + 1;
  link.feed(BLOCK, 0);
  assert.deepEqual(seen.at(-1).slice(0, 2), ["failure", "lost"]);
  assert.equal(FakeSocket.last.closedWith, 1000);
  link.stop();
});

test("a restart begins a session with the next sound", () => {
  const [link, seen] = newLink();
  link.start(0, 16000);
  const first = FakeSocket.last;
  first.accept();
  link.feed(BLOCK, 0.98);
  link.restart();
  link.feed(BLOCK, 2);
  assert.notEqual(FakeSocket.last, first);
  assert.equal(first.closedWith, 1000);
  assert.deepEqual(seen.slice(-2), [
    ["lost", 1, 1], // and what had no results
    ["begin", 2, 16000],
  ]);
  link.stop();
});

test("the page asks nothing of other hosts, and runs nothing inline", () => {
  const read = name => readFileSync(new URL(`../../clients/web/${name}`, import.meta.url), "utf8");
  const page = read("index.html");
  assert.doesNotMatch(page, /<script(?![^>]*src=)|\son\w+=|style=|https?:\/\//);
  assert.doesNotMatch(read("shoal.css"), /url\(|@import/);
  for (const [, name] of page.matchAll(/(?:src|href)="([\w-]+[.]\w+)"/g)) read(name);
});

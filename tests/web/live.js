/* live.js - clients/web/shoal.js against a real shoald: live.js HOST:PORT RECORDING SHOAL_FILE
 *
 * The recording (16 bits, mono, a header of 44 bytes) is streamed in uneven pieces; its phones must
 * be those that shoal-file prints. Then the page: every file that it names, byte for byte.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import { connect, features, joinFrames } from "../../clients/web/shoal.js";
import { road } from "./road.js";

const [url, recording, shoalFile] = process.argv.slice(2);
const WebSocket = globalThis.WebSocket ?? (await import("ws").catch(() => ({}))).default;
if (!WebSocket) {
  console.log("no WebSocket in this Node (22 has one, 20 with --experimental-websocket)");
  process.exit(77);
}
const env = { WebSocket };
const file = readFileSync(recording);
const samples = new Int16Array(
  file.buffer.slice(file.byteOffset + 44, file.byteOffset + file.length),
);
const rate = file.readUInt32LE(24);

function phonesOfShoalFile() {
  const args = ["--url", `ws://${url}`, "--fast", "--depth", "6", "--output", "jsonl", recording];
  const lines = execFileSync(shoalFile, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return lines
    .split("\n")
    .filter(Boolean)
    .map(l => JSON.parse(l))
    .filter(m => m.phone)
    .map(m => [m.phone, m.start, m.end]);
}

const plain = list => list.map(p => [p.phone, p.start, p.end]);

async function stream(sound = samples) {
  const session = connect(url, { rate, depth: 6 }, env),
    phones = [];
  for (let at = 0, n = 1; at < sound.length; at += n, n = 1 + ((7 * n) % 5000))
    session.send(sound.subarray(at, at + n));
  const ended = session.end();
  for await (const m of session) if (m.type === "phones") phones.push(...m.phones);
  const done = await ended;
  assert.equal(done.received, sound.length);
  assert.ok(phones.at(-1).end <= done.seconds);
  return { phones, seconds: done.seconds };
}

/** Sound that ends within a phone: so does the phone, not with the padding of its last frame. */
async function endInAPhone(phones) {
  const longest = phones.reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a));
  const cut = Math.round(((longest.start + longest.end) / 2) * rate) + 7;
  const { phones: heard, seconds } = await stream(samples.subarray(0, cut));
  assert.equal(heard.at(-1).end, seconds);
}

async function changeDepth() {
  const seen = [];
  const session = connect(url, { rate, depth: 3 }, { ...env, onmessage: m => seen.push(m) });
  session.send(samples.subarray(0, rate / 2));
  await session.flush();
  session.set({ depth: 9 });
  session.set({ depth: 99 });
  session.send(samples.subarray(rate / 2, rate));
  await session.end();
  const changed = seen.find(m => m.type === "changed");
  assert.deepEqual([changed.depth, changed.reason], [9, "set"]);
  const refused = seen.find(m => m.type === "error");
  assert.deepEqual([refused.code, refused.fatal, refused.ref], ["bad_option", false, "depth"]);
}

async function recordings() {
  const whole = await features(url, samples, { rate, depth: 6 }, env);
  const none = await features(url, new Float32Array(0), { output: "phones,embedding@1" }, env);
  assert.deepEqual([none.phones, none.errors, none["embedding@1"].frames], [[], [], 0]);
  const inverted = Int16Array.from({ length: 2 * samples.length }, (_, i) =>
    i & 1 ? -samples[i >> 1] : samples[i >> 1],
  );
  const cancels = await features(url, inverted, { rate, channels: 2, depth: 1 }, env);
  assert.deepEqual(
    cancels.errors.map(e => [e.ref, e.fatal]),
    [["channels", false]],
  );
  assert.deepEqual(plain(whole.phones), want);
  const options = { rate, depth: 4, output: ["posteriors", "embedding@2"] };
  const [f32, f16, json] = await Promise.all(
    ["f32", "f16", "json"].map(encoding =>
      features(url, samples.subarray(0, rate), { ...options, encoding }, env),
    ),
  );
  assert.equal(f32.posteriors.frames, 50);
  assert.equal(f32["embedding@2"].dim, f32.ready.dim);
  for (const name of ["posteriors", "embedding@2"])
    f32[name].values.forEach((v, i) => {
      assert.equal(json[name].values[i], v);
      const off = Math.abs(f16[name].values[i] - v),
        most = Math.abs(v) / 2048 + 2 ** -24;
      assert.ok(off <= most, `${name} ${i}: ${f16[name].values[i]} for ${v}`);
    });
}

async function failures() {
  await assert.rejects(connect(url, { rate, depth: 40 }, env).ready, {
    cause: "rejected",
    code: "bad_option",
    ref: "depth",
    retryMs: -1,
    closeCode: 1008,
  });
  const nobody = await road(url); // (a port that fetch knows as a bad one would take 20 s)
  nobody.close();
  await assert.rejects(connect(nobody.address, {}, env).ready, { cause: "unreachable" });
}

/** Rows that are no frames, and a layer as it is. */
async function rows() {
  const options = { rate, depth: 2, output: ["mel", "hidden@0", "hidden"] };
  const f = await features(url, samples.subarray(0, rate), options, env);
  assert.deepEqual([f.mel.frames, f.mel.dim, f.mel.row_ms], [100, f.ready.mels, 10]);
  assert.deepEqual([f["hidden@0"].frames, f.hidden.frames, f.hidden.dim], [50, 50, f.ready.dim]);
  const mean = { rate, depth: 2, output: "embedding", every: 5, t0: 1e9, activity_pad_ms: 100 };
  const m = await features(url, samples.subarray(0, rate), mean, env);
  assert.deepEqual([m.embedding.frames, m.embedding.row_ms, m.ready.options.every], [10, 100, 5]);
  const session = connect(url, { rate, depth: 2 }, { ...env, onmessage() {} });
  session.send(samples.subarray(0, rate / 2));
  session.skip(2 * rate);
  session.set({ chunk_ms: 80 });
  session.send(samples.subarray(rate / 2, rate));
  assert.equal((await session.end()).seconds, 3);
}

/** A connection that breaks twice: the results of one that never did. */
async function again(kept) {
  const long = Float32Array.from(
    { length: 20 * rate },
    (_, i) => samples[i % samples.length] / 32768,
  );
  const options = { rate, depth: 2, left_ms: 320, output: ["phones", "posteriors", "activity"] };
  const whole = await features(url, long, options, env),
    way = await road(url, kept);
  let cuts = 0,
    replayed = 0;
  const found = { phones: [], activity: [], rows: [] };
  const session = connect(way.address, options, {
    ...env,
    reconnectMs: 30000,
    onmessage(m) {
      if (m.type === "phones") found.phones.push(...m.phones);
      if (m.type === "activity") found.activity.push([m.state, m.frame]);
      if (m.type === "resumed") replayed += m.replayed_s;
      if (m.type === "features") found.rows.push(m);
      if (m.type === "features" && m.first_frame > 300 * (cuts + 1) && cuts < 2) way.cut(cuts++);
    },
  });
  session.send(long);
  const done = await session.end();
  way.close();
  assert.equal(cuts, 2);
  assert.equal(/resume=/.test(session.url), kept);
  assert.ok(replayed > 0 && replayed < 40, `${replayed} s went again`);
  const { seq, packets, ...rest } = done,
    { seq: _, packets: __, ...want } = whole.done;
  assert.deepEqual(rest, want);
  assert.deepEqual(
    found.activity,
    whole.activity.map(m => [m.state, m.frame]),
  );
  assert.deepEqual(
    found.phones.map(p => [p.phone, p.start]),
    whole.phones.map(p => [p.phone, p.start]),
  );
  const { values } = joinFrames(found.rows);
  assert.equal(values.length, whole.posteriors.values.length);
  const most = values.reduce((m, v, i) => Math.max(m, Math.abs(v - whole.posteriors.values[i])), 0);
  assert.ok(kept ? most === 0 : most < 1e-4, `${most} apart`);
}

/** The page and all that it names, as they lie in clients/web. */
async function page() {
  const types = {
    html: "text/html; charset=utf-8",
    css: "text/css; charset=utf-8",
    flac: "audio/flac",
    js: "text/javascript; charset=utf-8",
    svg: "image/svg+xml",
  };
  const names = ["index.html", "sample.flac", "worklet.js"],
    seen = new Set();
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    const answer = await fetch(`http://${url}/${name === "index.html" ? "" : name}`);
    const body = Buffer.from(await answer.arrayBuffer());
    assert.equal(answer.status, 200, name);
    assert.equal(answer.headers.get("content-type"), types[name.split(".").pop()], name);
    assert.match(answer.headers.get("content-security-policy"), /^default-src 'self';/);
    assert.equal(answer.headers.get("cache-control"), "no-cache");
    assert.ok(
      body.equals(readFileSync(new URL(`../../clients/web/${name}`, import.meta.url))),
      name,
    );
    if (/[.](html|js)$/.test(name))
      for (const [, next] of String(body).matchAll(/(?:from "[.]\/|src="|href=")([\w-]+[.]\w+)"/g))
        names.push(next);
  }
  assert.ok(seen.size >= 20, [...seen].join());
  const head = await fetch(`http://${url}/`, { method: "HEAD" });
  assert.ok(Number(head.headers.get("content-length")) > 1000);
  assert.equal((await fetch(`http://${url}/live.js`)).status, 404);
}

const want = phonesOfShoalFile();
assert.ok(want.length >= 5, `shoal-file found ${want.length} phones`);
const { phones: found } = await stream();
assert.deepEqual(plain(found), want);
await endInAPhone(found);
await changeDepth();
await recordings();
await rows();
await again(false);
await again(true);
await failures();
await page();
console.log(`${want.length} phones of ${recording}, as shoal-file has them`);

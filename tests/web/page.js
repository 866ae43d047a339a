/* page.js - what the tests of browser.js have in their hands: a page, what it shows, what it heard */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { folder, until, writeWav } from "./daemon.js";

export const option = name => process.argv.includes(name);
const value = name => (option(name) ? process.argv[process.argv.indexOf(name) + 1] : "");
const shots = value("--shots");
export const only = value("-k");
if (shots) mkdirSync(shots, { recursive: true });

const sample = new URL("../../clients/web/sample.flac", import.meta.url).pathname;
const decoded = execFileSync("ffmpeg", [
  "-v",
  "error",
  "-i",
  sample,
  "-f",
  "s16le",
  "-ar",
  "16000",
  "-",
]);
export const speech = new Int16Array(
  decoded.buffer.slice(decoded.byteOffset, decoded.byteOffset + decoded.length),
);
export const voice = writeWav("voice.wav", speech);

/** The sample in another container. @param {string} kind "wav", "flac", "ogg" or "mp3" */
export function encoded(kind) {
  const path = join(folder, `encoded.${kind}`);
  execFileSync("ffmpeg", ["-v", "error", "-y", "-i", sample, path]);
  return path;
}

export function firstHalf(path) {
  const bytes = readFileSync(path),
    half = path.replace(/([.]\w+)$/, "-half$1");
  writeFileSync(half, bytes.subarray(0, bytes.length / 2));
  return half;
}

export async function open(b, url, more = {}, ready = "shoalPage.prices !== null") {
  const context = await b.newContext({ viewport: { width: 1280, height: 900 }, ...more });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", m => m.type() === "error" && page.complaints.push(m.text()));
  page.on("pageerror", e => page.complaints.push(e.message));
  await page.goto(url);
  await until("the page", () => page.evaluate(ready));
  return page;
}

export const shot = async (page, name) =>
  shots && (await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true }));
export const state = page =>
  page.evaluate("({ depth: shoalPage.line.depth, phones: shoalPage.line.phones })");
export const trouble = page =>
  page.evaluate(
    "document.getElementById('trouble').hidden ? '' : document.getElementById('trouble').innerText",
  );
export const hears = (page, more = 5) =>
  until("phones", async () => (await state(page)).phones >= more);

/** ms from the press of the button to each first. */
export const moments = page =>
  page.evaluate(() => {
    const marks = performance.getEntriesByType("mark"),
      at = n => marks.find(m => m.name === `shoal:${n}`)?.startTime;
    const names = ["sound", "movement", "ready", "phone", "label"];
    return Object.fromEntries(names.map(n => [n, Math.round(at(n) - at("pressed"))]));
  });

/** A recording of 20 s, and a depth at which a replay does not go back to its beginning. */
const thrice = writeWav("thrice.wav", Int16Array.from([...speech, ...speech, ...speech]));
export const PLAIN = "?depth=2&elastic=0";

/** All that a page knows when the sound has ended, and what it sent; meanwhile(page): what is done to it. */
export async function heard(b, url, meanwhile = async _ => {}) {
  const page = await open(b, "about:blank", {}, "true");
  await page.addInitScript(() => {
    const { send } = WebSocket.prototype;
    globalThis.bytesSent = 0;
    WebSocket.prototype.send = function (m) {
      globalThis.bytesSent += m.length ?? m.byteLength;
      return send.call(this, m);
    };
  });
  await page.goto(url);
  await until("the page", () => page.evaluate("shoalPage?.prices && shoalPage.can.opus"));
  await page.setInputFiles("#file", thrice);
  await hears(page, 12);
  await meanwhile(page);
  await until(
    "the end",
    () => page.evaluate("!shoalPage.source && !shoalPage.link.running"),
    60000,
  );
  const found = await page.evaluate(() => {
    const { line } = globalThis.shoalPage,
      { firstFrame, nextFrame, classes } = line;
    return {
      phones: line.lanes[0].settled.map(p => [p.phone, p.start.toFixed(2), p.end.toFixed(2)]),
      frames: [firstFrame, nextFrame],
      rows: [...line.frames.subarray(0, nextFrame * classes)],
      lost: document.getElementById("lost-here").hidden
        ? ""
        : document.getElementById("lost-here").innerText,
      bytes: globalThis.bytesSent,
    };
  });
  assert.deepEqual(
    page.complaints.filter(c => !/WebSocket|ERR_/.test(c)),
    [],
  );
  return found;
}

/** Differences of probabilities. */
export const apart = (a, b) =>
  a.reduce((most, v, i) => {
    const d = Math.abs(Math.exp(v) - Math.exp(b[i]));
    return d <= most ? most : d; // NaN stays
  }, 0);

/** Insertions, deletions, substitutions. */
export function edits(a, b) {
  let row = [...b.keys(), b.length];
  a.forEach((x, i) => {
    const next = [i + 1];
    b.forEach((y, j) =>
      next.push(Math.min(row[j] + (x === y ? 0 : 1), row[j + 1] + 1, next[j] + 1)),
    );
    row = next;
  });
  return row.at(-1);
}

/** A server that gives nobody up because the machine is busy. */
export const PATIENT = ["admission=off", "elastic=off", "late_limit_ms=600000"].flatMap(s => [
  "--set",
  s,
]);

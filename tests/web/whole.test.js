/* whole.test.js - files that end early, and those that do not */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { cutOff, promised } from "../../clients/web/whole.js";
import { oddTrouble } from "../../clients/web/words.js";

/** A second of 16 kHz; size: what its header says. */
function wav(there = 32000, size = 32000) {
  const b = Buffer.alloc(36 + 9 + 1 + 8 + there);
  b.write("RIFF\0\0\0\0WAVEfmt \x10", 0, "latin1");
  b.write("LIST\x01", 36, "latin1"); // a chunk of one byte, and one that fills up
  b.write("data", 46);
  b.writeUInt32LE(size, 50);
  return b;
}

/** Pages of ten bytes. @param {number[]} marks of each */
function ogg(...marks) {
  const pages = marks.map(mark => {
    const page = Buffer.alloc(29 + 10);
    page.write("OggS");
    page[5] = mark;
    page.set([2, 4, 6], 26);
    return page;
  });
  return Buffer.concat(pages);
}

const cut = (bytes, there) => cutOff(promised(Uint8Array.from(bytes).buffer), there);

test("WAV: the data chunk is as long as it says, or it does not say", () => {
  assert.equal(cut(wav(), 1), null);
  assert.deepEqual(cut(wav(8000), 0.25), { there: 0.25, whole: 1 });
  assert.equal(cut(wav(30000), 0.94), null); // less than a decoder's delay
  for (const size of [0, 0x7fffffff, 0xffffffff]) assert.equal(cut(wav(8000, size), 0.25), null);
  assert.equal(cut(wav().subarray(0, 48), 0), null);
});

test("FLAC: as many samples as its first block says", () => {
  const flac = readFileSync(new URL("../../clients/web/sample.flac", import.meta.url));
  assert.equal(cut(flac, 6.4796), null);
  const { there, whole } = cut(flac, 3.1);
  assert.deepEqual([there, whole.toFixed(2)], [3.1, "6.48"]);
  flac.fill(0, 22, 26); // of a pipe
  flac[21] &= 0xf0;
  assert.equal(cut(flac, 3.1), null);
});

test("Ogg: the last page has the end mark, and is whole", () => {
  assert.equal(cut(ogg(2, 0, 4), 1), null);
  assert.deepEqual(cut(ogg(2, 0), 1), { there: 1, whole: NaN });
  assert.deepEqual(cut(ogg(2, 4).subarray(0, -1), 1), { there: 1, whole: NaN });
});

test("others do not say, and nothing is too short to be asked", () => {
  assert.equal(cut([0xff, 0xfb, 0x90, 0], 1), null);
  for (const bytes of [wav(), ogg(2), Buffer.from("fLaC")])
    for (let n = 0; n < Math.min(bytes.length, 60); n++) cut(bytes.subarray(0, n), 0);
});

test("it is said with both lengths, where they are known", () => {
  const title = (short, inverted = false) => oddTrouble({ short, inverted })?.title;
  assert.match(title({ there: 3.21, whole: 10 }), /ends early: 3\.2 s of 10\.0 s are there/);
  assert.match(title({ there: 3.21, whole: NaN }, true), /ends early: 3\.2 s are there/);
  assert.match(title(null, true), /cancel each other out/);
  assert.equal(oddTrouble(undefined), null); // a microphone
});

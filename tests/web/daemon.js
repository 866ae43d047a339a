/* daemon.js - a real shoald and a real Chromium for browser.js */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { PLAYWRIGHT, TOP_BUILDDIR, CHROMIUM, TEST_PATIENCE = "1" } = process.env;
const { chromium } = createRequire(`${PLAYWRIGHT}/x.js`)("playwright-core");

export const folder = mkdtempSync(join(tmpdir(), "shoal-web-"));
const running = new Set(); // what a test that failed has left
process.on("exit", () => running.forEach(p => p.kill("SIGKILL")));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

export const sleep = ms => new Promise(done => setTimeout(done, ms));

/** until(...) resolves with the first truthy answer of ask(). */
export async function until(what, ask, ms = 15000) {
  for (const end = Date.now() + ms * Number(TEST_PATIENCE); Date.now() < end; await sleep(50)) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`${what}: not within ${(ms * Number(TEST_PATIENCE)) / 1000} s`);
}

export class Daemon {
  /** @param {string[]} args @param {string} listen */
  static async start(args = [], listen = "127.0.0.1:0") {
    const d = new Daemon(),
      ready = join(folder, `address-${Math.random()}`);
    const all = [
      "--listen",
      listen,
      "--workers",
      "1",
      "--ready-file",
      ready,
      "--log-level",
      "warning",
      ...args,
    ];
    d.process = spawn(`${TOP_BUILDDIR}/daemon/shoald`, all, { stdio: "inherit" });
    running.add(d.process.once("exit", () => running.delete(d.process)));
    await until("shoald", () => existsSync(ready) && readFileSync(ready, "utf8").trim(), 60000);
    d.address = readFileSync(ready, "utf8").trim();
    return d;
  }
  get url() {
    return `http://${this.address}/`;
  }
  stop(signal = "SIGTERM") {
    const gone = new Promise(done => this.process.once("exit", done));
    this.process.kill(signal);
    return gone;
  }
}

/** 16 bits. @param {Int16Array} samples */
export function writeWav(name, samples, rate = 16000, channels = 1) {
  const head = Buffer.alloc(44),
    path = join(folder, name);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples.byteLength, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt32LE((channels << 16) | 1, 20); // PCM
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(2 * channels * rate, 28);
  head.writeUInt32LE(0x100000 | (2 * channels), 32); // bytes a frame, 16 bits
  head.write("data", 36);
  head.writeUInt32LE(samples.byteLength, 40);
  writeFileSync(
    path,
    Buffer.concat([head, Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)]),
  );
  return path;
}

/** @param {{wav?: string, fake?: boolean, allow?: boolean}} [how] fake: there is a microphone */
export function browser({ wav = "", fake = true, allow = true } = {}) {
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--in-process-gpu",
    "--autoplay-policy=no-user-gesture-required",
  ];
  if (fake) args.push("--use-fake-device-for-media-stream");
  if (allow) args.push("--use-fake-ui-for-media-stream");
  if (wav) args.push(`--use-file-for-fake-audio-capture=${wav}`);
  return chromium.launch({ executablePath: CHROMIUM, args });
}

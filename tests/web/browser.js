/* browser.js - the page as a new user meets it; see browser.sh */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

import { Daemon, browser, folder, sleep, until, writeWav } from "./daemon.js";
import {
  PATIENT,
  PLAIN,
  apart,
  edits,
  encoded,
  firstHalf,
  heard,
  hears,
  moments,
  only,
  open,
  option,
  shot,
  speech,
  state,
  trouble,
  voice,
} from "./page.js";
import { road } from "./road.js";

/* ---- the tests ------------------------------------------------------------------------------ */

const tests = {
  async microphone(d) {
    const b = await browser({ wav: voice }),
      page = await open(b, d.url);
    assert.equal(await page.isVisible("#which"), false); // there is one model
    await shot(page, "idle");
    await page.click("#microphone");
    await hears(page, 20);
    const m = await moments(page);
    console.log(
      `  from the press: sound ${m.sound} ms, movement ${m.movement} ms, first phone ${m.label} ms`,
    );
    await page.waitForSelector("#utterances li");
    await shot(page, "microphone");
    const said = await page.textContent("#utterances li");
    assert.match(said, /ʃ|f ɪ|w ɪ m/, said);
    await page.click("#microphone");
    await until("the end", () => page.evaluate("!shoalPage.link.running"));
    console.log(`  lags: ${(await page.innerText("#status")).replace(/\s+/g, " ")}`);
    assert.deepEqual(page.complaints, []);
    await b.close();
  },

  async slider(d) {
    const b = await browser({ wav: voice }),
      page = await open(b, `${d.url}?elastic=0`);
    await page.click("#microphone");
    await hears(page);
    await page.fill("#depth", "4");
    await until("depth 4", async () => (await state(page)).depth === 4);
    const mark = await page.evaluate("shoalPage.line.marks.at(-1)");
    assert.deepEqual([mark.depth, mark.reason], [4, "set"]);
    assert.match(page.url(), /depth=4/);
    await page.keyboard.press("]");
    await page.locator("#picture").press("]");
    await until("depth 5", async () => (await state(page)).depth === 5);
    await page.selectOption("#compare", "2");
    await until("a second lane", () => page.evaluate("shoalPage.line.lanes[1].settled.length > 8"));
    await shot(page, "compare");
    await page.selectOption("#chunk", "320");
    await until("chunks of 320 ms", () => page.evaluate("shoalPage.line.chunkMs === 320"));
    await hears(page, (await state(page)).phones + 3);
    await b.close();
  },

  async models() {
    const two = new URL("../data/tiny2.safetensors", import.meta.url).pathname;
    const d = await Daemon.start([...PATIENT, "--model", "base=", "--model", `two=${two}`]),
      b = await browser({ wav: voice }),
      page = await open(b, d.url);
    const chosen = () => page.$eval("#which", s => s.options[s.selectedIndex].text);
    const session = () => page.evaluate("[shoalPage.line.model, shoalPage.line.program]");
    const choose = async (text, depth) => {
      await page.selectOption("#which", text);
      await until(`${depth} layers`, async () => (await state(page)).depth === depth);
      await until("its prices", () => page.evaluate("shoalPage.prices !== null"));
      assert.equal(await page.innerText("#depth-value"), `${depth} of ${depth}`);
      assert.equal(await page.locator("#price-rows tr").count(), depth);
    };
    assert.deepEqual(await page.locator("#which option").allTextContents(), [
      "base",
      "two, base",
      "two, every-other",
      "two, short",
    ]);
    await page.click("#microphone");
    await hears(page);
    const dear = await page.innerText("#price");
    await choose("two, short", 3);
    assert.deepEqual(await session(), ["two", "short"]);
    assert.match(page.url(), /\?model=two&program=short$/);
    assert.notEqual(await page.innerText("#price"), dear);
    assert.match(await page.textContent("#command"), /--model two --program short --depth 3/);
    await until("its rows", () =>
      page.evaluate("shoalPage.line.nextFrame > 50 * shoalPage.line.base + 25"),
    );
    await shot(page, "models");
    await page.reload(); // the address has it
    await until("prices", () => page.evaluate("shoalPage?.prices != null"));
    assert.equal(await chosen(), "two, short");
    await page.click("#microphone");
    await until("its session", async () => String(await session()) === "two,short");
    await choose("base", 12);
    assert.deepEqual(await session(), ["base", "base"]);
    assert.equal(new URL(page.url()).search, "");
    assert.deepEqual(page.complaints, []);
    const lost = await open(b, `${d.url}?model=gone`);
    await until("words", async () => /Model: gone/.test(await trouble(lost)));
    assert.equal(new URL(lost.url()).search, "");
    await b.close();
    await d.stop();
  },

  async frozen(d) {
    const b = await browser(),
      page = await open(b, `${d.url}?depth=6&ipa=0`, { colorScheme: "dark" });
    await page.click("#sample");
    await hears(page, 20);
    await page.locator("#picture").press("f");
    const at = await page.evaluate("shoalPage.view.frozenAt");
    const seen = await page.evaluate("shoalPage.view.span");
    await page.locator("#picture").press("ArrowLeft");
    const moved = Math.max(at - 0.5, Math.min(at, seen));
    assert.equal(await page.evaluate("shoalPage.view.frozenAt"), moved);
    await sleep(200);
    const first = await page.evaluate(
      "(() => { const v = shoalPage.view, p = v.line.lanes[0].settled.find(p => p.start > v.begin + 1); return [v.x((p.start + p.end) / 2), v.at.lanesTop + 5]; })()",
    );
    const box = await page.locator("#picture").boundingBox();
    await page.mouse.move(box.x + first[0], box.y + first[1]);
    assert.match(await page.innerText("#tip"), / as in .*% sure/);
    await shot(page, "frozen-dark");
    await until("the end", () => page.evaluate("!shoalPage.link.running"), 20000);
    assert.deepEqual(page.complaints, []);
    await b.close();
  },

  async narrow(d) {
    const b = await browser({ wav: voice });
    const page = await open(b, d.url, {
      viewport: { width: 360, height: 740 },
      reducedMotion: "reduce",
    });
    await page.click("#microphone");
    await hears(page, 12);
    await page.click("#prices summary");
    await shot(page, "narrow");
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
    const cut = await page.evaluate(
      "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.tagName + e.id)",
    );
    assert.deepEqual(cut, []); // the table too is all there
    assert.equal(await page.evaluate("shoalPage.view.calm"), true);
    await b.close();
  },

  async file(d) {
    const b = await browser(),
      page = await open(b, d.url);
    await page.setInputFiles("#file", voice);
    await hears(page, 5);
    await page.setInputFiles("#file", new URL(import.meta.url).pathname);
    await until("words", async () => /no sound/.test(await trouble(page)));
    const pair = Int16Array.from({ length: 2 * speech.length }, (_, i) =>
      i & 1 ? -speech[i >> 1] : speech[i >> 1],
    );
    await page.evaluate("shoalPage.line.clear()");
    await page.setInputFiles("#file", writeWav("inverted.wav", pair, 16000, 2));
    await hears(page, 5);
    assert.match(await trouble(page), /cancel each other out/);
    await b.close();
  },

  /** Bytes swapped: what the server refuses is told once, and is no matter of Opus. */
  async refused(d) {
    const b = await browser(),
      page = await open(b, d.url, {}, "shoalPage.prices !== null && shoalPage.can.opus");
    let sessions = 0;
    page.on("websocket", () => sessions++);
    const swapped = new Int16Array(speech);
    Buffer.from(swapped.buffer).swap16();
    await page.setInputFiles("#file", writeWav("swapped.wav", swapped));
    await until("words", async () => /big-endian/.test(await trouble(page)));
    assert.equal(await page.isEnabled("#opus"), true);
    assert.equal(await page.isHidden("#opus-trouble"), true);
    assert.equal(sessions, 1);
    await b.close();
  },

  async "cut-off"(d) {
    const b = await browser(),
      page = await open(b, d.url);
    const [wav, flac, ogg, mp3] = ["wav", "flac", "ogg", "mp3"].map(encoded);
    for (const [whole, words] of [
      [mp3, /^$/], // it does not say
      [wav, /ends early: 3\.2 s of 6\.5 s are there/],
      [flac, /ends early: \d\.\d s of 6\.5 s are there/],
      [ogg, /ends early: \d\.\d s are there/],
    ]) {
      await page.setInputFiles("#file", whole);
      await until("a session", () => page.evaluate("shoalPage.link.running"));
      await hears(page, (await state(page)).phones + 2);
      assert.equal(await trouble(page), "");
      await page.setInputFiles("#file", firstHalf(whole));
      await hears(page, (await state(page)).phones + 2);
      assert.match(await trouble(page), words);
    }
    await shot(page, "cut-off");
    await b.close();
  },

  async refused(d) {
    const b = await browser({ allow: false }),
      page = await open(b, d.url);
    await page.click("#microphone");
    await until("words", async () => /was refused/.test(await trouble(page)));
    await shot(page, "refused");
    await b.close();
  },

  async "no-microphone"(d) {
    const b = await browser({ fake: false }),
      page = await open(b, d.url);
    await page.click("#microphone");
    await until("words", async () => /There is no microphone/.test(await trouble(page)));
    assert.ok(await page.isVisible("#again"));
    await b.close();
  },

  async insecure() {
    const own = Object.values(networkInterfaces())
      .flat()
      .find(i => i.family === "IPv4" && !i.internal);
    if (!own) return console.log("  no address but loopback here");
    const d = await Daemon.start(["--insecure-listen"], `${own.address}:0`),
      b = await browser(),
      page = await open(b, d.url);
    await page.click("#microphone");
    await until("words", async () => /secure pages/.test(await trouble(page)));
    await page.click("#sample");
    await hears(page);
    await b.close();
    await d.stop();
  },

  async full() {
    const d = await Daemon.start(["--set", "max_sessions=1"]),
      b = await browser({ wav: voice });
    const first = await open(b, d.url),
      page = await open(b, d.url);
    await first.click("#microphone");
    await hears(first, 2);
    await page.click("#microphone");
    await until("words", async () => /server is full.*Trying again/s.test(await trouble(page)));
    await shot(page, "full");
    await first.click("#microphone");
    await hears(page, 2);
    assert.equal(await trouble(page), "");
    await b.close();
    await d.stop();
  },

  async tokens() {
    const file = join(folder, "tokens"),
      hash = createHash("sha256").update("shoal_page").digest("hex");
    writeFileSync(file, `page ${hash}\n`);
    const d = await Daemon.start(["--set", `tokens=${file}`]),
      b = await browser();
    const linked = await open(b, `${d.url}#token=shoal_page`);
    assert.equal(await linked.evaluate("location.hash"), "");
    await linked.click("#sample");
    await hears(linked);
    const page = await open(b, d.url, {}, "!document.getElementById('token-form').hidden");
    await shot(page, "token");
    await page.fill("#token", "shoal_wrong");
    await page.click("#token-form button");
    await until("words", async () => /is not the server's/.test(await page.innerText("#model")));
    await page.fill("#token", "shoal_page");
    await page.click("#token-form button");
    await until("prices", () => page.evaluate("shoalPage.prices !== null"));
    assert.equal(await page.isVisible("#token-form"), false);
    await page.click("#sample");
    await hears(page);
    assert.ok(!page.url().includes("shoal_page"));
    await b.close();
    await d.stop();
  },

  async strangers(d) {
    const b = await browser(),
      context = await b.newContext(),
      page = await context.newPage();
    await page.goto("data:text/html,<p>not ours");
    const got = await page.evaluate(async url => {
      const socket = new Promise(done => {
        const ws = new WebSocket(`${url.replace("http", "ws")}v1/stream?rate=16000`);
        ws.onopen = () => done("open");
        ws.onerror = () => done("refused");
      });
      const page = path =>
        fetch(url + path).then(
          () => "read",
          () => "refused",
        );
      return [await socket, await page("v1/model"), await page("healthz"), await page("shoal.js")];
    }, d.url);
    assert.deepEqual(got, ["refused", "refused", "refused", "refused"]);
    await b.close();
  },

  async opus(d) {
    const b = await browser();
    const [pcm, opus] = await Promise.all([
      heard(b, d.url + PLAIN),
      heard(b, `${d.url + PLAIN}&opus=1`),
    ]);
    const names = f => f.phones.map(p => p[0]);
    const wrong = edits(names(pcm), names(opus)) / pcm.phones.length,
      share = opus.bytes / pcm.bytes;
    console.log(
      `  of ${pcm.phones.length} phones ${(100 * wrong).toFixed(1)} % are others; ` +
        `${opus.bytes} of ${pcm.bytes} bytes: ${(100 * share).toFixed(1)} %`,
    );
    assert.ok(pcm.phones.length > 100 && wrong < 0.2, String(wrong));
    assert.ok(share > 0.05 && share < 0.11, String(share));
    assert.ok(Math.abs(pcm.frames[1] - opus.frames[1]) <= 1, `${opus.frames[1]} frames`);
    assert.deepEqual([pcm.lost, opus.lost], ["", ""]);
    const page = await open(b, d.url);
    assert.equal(await page.isEnabled("#opus"), true);
    await page.click("#sample");
    await hears(page, 3);
    await page.check("#opus");
    await until("Opus", () => page.evaluate("shoalPage.link.options(16000).format === 'opus'"));
    await hears(page, (await state(page)).phones + 3);
    assert.match(page.url(), /opus=1/);
    await shot(page, "opus");
    const without = await b.newContext(),
      old = await without.newPage();
    await old.addInitScript("delete globalThis.AudioEncoder");
    await old.goto(`${d.url}?opus=1`);
    await until("words", () => old.isVisible("#opus-trouble"));
    assert.match(await old.innerText("#opus-trouble"), /WebCodecs/);
    assert.deepEqual([await old.isDisabled("#opus"), await old.isChecked("#opus")], [true, false]);
    await shot(old, "opus-none");
    await old.click("#sample");
    await hears(old, 3);
    await b.close();
  },

  async cut(d) {
    const b = await browser(),
      way = await road(d.address);
    const breaks = async page => {
      way.bar();
      await until("words", async () => /connection was lost.*is kept/s.test(await trouble(page)));
      assert.equal(await page.isVisible("#again"), false); // it tries by itself
      await sleep(1500);
      await shot(page, "cut");
      way.open();
      const { phones } = await state(page);
      await hears(page, phones + 8);
      assert.equal(await trouble(page), "");
      way.cut();
    };
    for (const options of [PLAIN, `${PLAIN}&opus=1`]) {
      const [whole, broken] = await Promise.all([
        heard(b, d.url + options),
        heard(b, `http://${way.address}/${options}`, breaks),
      ]);
      assert.ok(whole.phones.length > 100 && whole.rows.every(v => v < 1));
      assert.deepEqual([whole.lost, broken.lost], ["", "lost 0 ms"]);
      assert.deepEqual(broken.phones, whole.phones);
      assert.deepEqual([broken.frames, apart(broken.rows, whole.rows)], [whole.frames, 0]);
    }
    way.close();
    await b.close();
  },

  async killed(d) {
    let own = await Daemon.start(PATIENT);
    const b = await browser(),
      { address } = own;
    const kill = async page => {
      await until("10 s", () => page.evaluate("shoalPage.clock.seconds > 10"));
      await own.stop("SIGKILL");
      await until("words", async () => /is kept/.test(await trouble(page)));
      own = await Daemon.start(PATIENT, address);
      await until("results", async () => !(await trouble(page)));
      await shot(page, "killed");
    };
    const [whole, broken] = await Promise.all([
      heard(b, d.url + PLAIN),
      heard(b, own.url + PLAIN, kill),
    ]);
    assert.equal(broken.lost, "lost 0 ms");
    assert.deepEqual(broken.phones, whole.phones);
    assert.deepEqual(broken.frames, whole.frames);
    const most = apart(broken.rows, whole.rows);
    assert.ok(most < 1e-3, `${most} apart`);
    console.log(
      `  ${whole.phones.length} phones are the same, probabilities ${most.toExponential(1)} apart at most`,
    );
    const opus = await heard(b, `${own.url + PLAIN}&opus=1`, kill);
    const parts = /^lost (\d+) ms$/.exec(opus.lost);
    assert.ok(parts && Number(parts[1]) > 0, opus.lost); // Opus cannot be sent again, and the page says so
    await b.close();
    await own.stop();
  },

  async restart() {
    let d = await Daemon.start();
    const b = await browser({ wav: voice }),
      page = await open(b, d.url),
      address = d.address;
    await page.click("#microphone");
    await hears(page, 2);
    await d.stop();
    await until("words", async () => /restarts|does not answer/.test(await trouble(page)));
    await sleep(2500);
    await shot(page, "gone");
    const { phones } = await state(page);
    d = await Daemon.start([], address);
    await hears(page, phones + 3);
    assert.equal(await trouble(page), "");
    assert.ok(await page.isVisible("#lost-here"));
    assert.equal(await page.innerText("#lost-here"), "lost 0 ms");
    await d.stop("SIGKILL");
    await until("words", async () => /lost|does not answer/.test(await trouble(page)));
    await b.close();
  },

  async muted(d) {
    const quiet = writeWav("quiet.wav", new Int16Array(16000 * 5));
    const b = await browser({ wav: quiet }),
      page = await open(b, d.url);
    await page.click("#microphone");
    await until("words", async () => /muted/.test(await trouble(page)));
    await shot(page, "muted");
    if (option("--long")) await sleep(70000);
    assert.equal(await page.evaluate("shoalPage.link.running"), true);
    assert.equal(await page.evaluate("shoalPage.line.gaps.length"), 0);
    await b.close();
  },
};

const daemon = await Daemon.start(PATIENT);
let failed = 0;
for (const [name, run] of Object.entries(tests)) {
  if (only && only !== name) continue;
  const began = Date.now();
  try {
    await run(daemon);
    console.log(`ok ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (e) {
    failed++;
    console.log(`FAILED ${name}: ${e.stack}`);
  }
}
await daemon.stop();
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

/* app.js - the page: buttons and sliders to capture, link, time line and picture
 *
 *     capture.js --blocks--> Page.onBlock --> timeline (level), link.js --> shoal.js --> server
 *     server --messages--> link.js --> Page.onMessage --> timeline.js --> view.js, once a frame
 *
 * Settings (settings.js) are read from the address and written back; each change acts on the running
 * session where the protocol allows it. globalThis.shoalPage is for consoles and tests.
 */
import { Capture, Clock, level } from "./capture.js";
import { listen } from "./hands.js";
import { Link } from "./link.js";
import { choicesOf, placeOf, queryOf } from "./models.js";
import { learn, phoneOf } from "./phones.js";
import {
  CHUNKS,
  SWITCHES,
  changeOf,
  optionsOf,
  readSettings,
  refusedOpus,
  writeSettings,
} from "./settings.js";
import { opusTrouble } from "./shoal.js";
import { Timeline, Utterances } from "./timeline.js";
import { Tokens } from "./token.js";
import { View } from "./view.js";
import * as words from "./words.js";

const $ = id => document.getElementById(id);
const MUTED_S = 3; // digital zeros for so long are a muted microphone
const UTTERANCES = 30;

/** A moment that tests measure from the press of a button on; the first of each. */
function moment(name) {
  if (!performance.getEntriesByName(`shoal:${name}`).length) performance.mark(`shoal:${name}`);
}

class Page {
  clock = new Clock();
  line = new Timeline();
  said = new Utterances();
  view = new View(/** @type {any} */ ($("picture")), this.line);
  deepest = 12;
  /** @type {import("./models.js").Choice[]} */
  models = [];
  prices = null;
  source = ""; // "microphone", "sample", "file" or ""
  zeros = 0; // seconds of digital silence
  settings = readSettings(location.search, 12);
  can = { tentative: true, opus: false }; // until a server refuses it; when an encoder is found
  breaks = false; // a connection broke since the page was opened
  tokens = new Tokens();
  link = new Link("", rate => optionsOf(this.settings, rate, this.can), {
    onbegin: (now, rate) => this.line.begin(now, rate),
    onmessage: m => this.onMessage(m),
    onfailure: (f, wait) => this.onFailure(f, wait),
    onbreak: (f, wait) => this.onBreak(f, wait),
    onlost: (from, to) => this.line.lose(from, to),
    onend: () => this.onEnd(),
  });
  capture = new Capture({
    onblock: (samples, rate) => this.onBlock(samples, rate),
    ongone: () => this.onGone(),
    onended: () => this.finish(),
  });

  get server() {
    const { server } = this.settings;
    if (server) return /:\/\//.test(server) ? server : `ws://${server}`;
    return new URL(".", location.href).href;
  }

  /* ---- sound ---- */

  onBlock(samples, rate) {
    const from = this.clock.seconds,
      { peak } = level(samples);
    this.clock.add(samples.length / rate);
    this.line.addLevel(from, this.clock.seconds, peak);
    if (peak > 0) moment("sound");
    if (this.source === "microphone") this.listenForZeros(peak, samples.length / rate);
    this.link.feed(samples, from);
  }

  listenForZeros(peak, seconds) {
    const before = this.zeros;
    this.zeros = peak === 0 ? before + seconds : 0;
    if (before < MUTED_S && this.zeros >= MUTED_S) this.tell(words.MUTED);
    else if (before >= MUTED_S && this.zeros === 0) this.calm();
  }

  /** @param {string} source @param {() => Promise<any>} open of the capture */
  async begin(source, open) {
    this.stop();
    this.calm();
    performance.clearMarks();
    moment("pressed");
    this.source = source;
    this.zeros = 0;
    this.thaw();
    this.show();
    this.odd = null; // what is to be said of a recording once a session hears it
    try {
      this.odd = words.oddTrouble(await open());
    } catch (error) {
      if (this.source === source) this.stop();
      throw error;
    }
    if (this.source !== source) return;
    this.link.url = this.server;
    this.link.env = { token: this.tokens.of(this.server) };
    this.link.start(this.clock.seconds, this.capture.rate);
  }

  microphone() {
    if (this.source === "microphone") return this.finish();
    const secure = Boolean(globalThis.isSecureContext && navigator.mediaDevices);
    if (!secure) return this.tell(words.microphoneTrouble({}, false));
    const again = () => this.microphone();
    return this.begin("microphone", () => this.capture.microphone()).catch(error =>
      this.tell(words.microphoneTrouble(error), again),
    );
  }

  async sample() {
    if (this.source === "sample") return this.finish();
    const again = () => this.sample();
    try {
      const answer = await fetch("sample.flac");
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const bytes = await answer.arrayBuffer();
      await this.begin("sample", () => this.capture.recording(bytes));
    } catch (e) {
      this.tell(
        { title: "The sample cannot be played.", hint: e.message, again: true, waits: false },
        again,
      );
    }
  }

  /** @param {File | undefined} file */
  async file(file) {
    if (!file) return;
    const bytes = await file.arrayBuffer();
    await this.begin("file", () => this.capture.recording(bytes)).catch(() =>
      this.tell(words.fileTrouble(file.name, file.size)),
    );
  }

  /** No more sound; what was heard is still finished. */
  finish() {
    this.capture.stop();
    this.clock.stop();
    this.source = "";
    this.link.end();
    this.show();
  }

  /** At once: something else begins. */
  stop() {
    this.capture.stop();
    this.clock.stop();
    this.source = "";
    this.link.stop();
    this.show();
  }

  /* ---- what comes back ---- */

  onMessage(m) {
    const now = this.clock.read();
    this.line.take(m, now);
    if (m.type === "ready") moment("ready");
    if (m.type === "ready" || m.type === "resumed") this.calm();
    if (m.type === "ready" && this.odd) this.tell(this.odd);
    if (m.type === "phones" && (m.phones.length || m.tentative?.length)) moment("phone");
    if (m.type === "error") this.onRefusal(m);
    if (m.type === "changed" || m.type === "ready") this.show();
    const heard = this.line.base + (m.processed ?? 0) / this.line.rate;
    for (const u of this.said.take(this.line, heard)) this.write(u);
  }

  onEnd() {
    for (const u of this.said.take(this.line, Infinity)) this.write(u);
  }

  /** An error that left everything as it was. A server that cannot change chunks begins anew. */
  onRefusal(m) {
    if (m.ref === "chunk_ms" || /chunk_ms/.test(m.message)) this.link.restart();
    else
      this.tell({
        title: "The server refused this change.",
        hint: m.message,
        again: false,
        waits: false,
      });
  }

  onBreak(failure, wait) {
    this.breaks = true;
    this.tell(words.breakTrouble(failure), null, wait);
  }

  /** What a server or a browser cannot do after all is done without. */
  without(failure) {
    const { tentative, opus } = this.can,
      asked = optionsOf(this.settings, this.capture.rate, this.can);
    if (failure.ref === "tentative") this.can.tentative = false;
    if (refusedOpus(failure, asked)) this.cannotOpus("this server has none");
    if (failure.code === "encoder_failed") this.cannotOpus(failure.message);
    return tentative !== this.can.tentative || opus !== this.can.opus;
  }

  /** @param {string} why "": it can */
  cannotOpus(why) {
    this.can.opus = why === "";
    $("opus").disabled = why !== "";
    $("opus-trouble").textContent = why;
    $("opus-trouble").hidden = why === "";
  }

  onFailure(failure, wait) {
    if (this.without(failure)) return this.link.start(this.clock.seconds, this.capture.rate);
    const source = this.source;
    const again = () => {
      this.calm();
      if (this.source) this.link.restart();
      else if (source === "sample") this.sample();
      else this.microphone();
    };
    this.tell(words.sessionTrouble(failure), again, wait);
    if (wait < 0) this.stop();
  }

  onGone() {
    this.finish();
    this.tell(words.MICROPHONE_GONE, () => this.microphone());
  }

  write({ from, phones }) {
    const item = document.createElement("li"),
      time = document.createElement("span");
    time.className = "faint";
    time.textContent = `${from.toFixed(1)} s`;
    const text = phones.map(p => (this.settings.ipa ? phoneOf(p.phone).ipa : p.phone)).join(" ");
    item.append(time, ` ${text}`);
    const list = $("utterances");
    list.append(item);
    while (list.children.length > UTTERANCES) list.firstChild.remove();
  }

  /* ---- trouble ---- */

  /** @param {words.Trouble} t @param {(() => void) | null} [again] @param {number} [wait] ms */
  tell(t, again = null, wait = -1) {
    clearInterval(this.countdown);
    $("trouble-title").textContent = t.title;
    $("trouble-hint").textContent = t.hint;
    $("trouble-wait").textContent = "";
    $("again").hidden = !t.again || !again;
    $("again").onclick = again;
    $("trouble").hidden = false;
    if (!t.waits || wait < 0) return;
    const until = performance.now() + wait;
    const count = () => {
      const left = words.inSeconds(until - performance.now());
      $("trouble-wait").textContent = `Trying again ${left}.`;
    };
    count();
    this.countdown = setInterval(count, 500);
  }

  calm() {
    clearInterval(this.countdown);
    $("trouble").hidden = true;
  }

  /* ---- settings ---- */

  /** @param {Partial<import("./settings.js").Settings>} change */
  set(change) {
    const before = this.settings,
      after = { ...before, ...change };
    const other = queryOf(before) !== queryOf(after);
    if (other) this.fit(after);
    if (after.compare >= after.depth) after.compare = 0;
    this.settings = after;
    history.replaceState(null, "", writeSettings(after, this.deepest) || location.pathname);
    const wire = changeOf(before, after);
    if (wire) this.link.set(wire);
    else if (this.link.running) this.link.restart();
    this.show();
    if (other) this.askServer();
  }

  /** To another model: as deep as that goes, if it was so before. */
  fit(settings) {
    const depth = this.models[placeOf(this.models, settings)]?.depth ?? this.deepest;
    settings.depth = settings.depth === this.deepest ? depth : Math.min(settings.depth, depth);
    this.deepest = depth;
    this.prices = null;
  }

  show() {
    const s = this.settings;
    $("microphone").setAttribute("aria-pressed", String(this.source === "microphone"));
    $("sample").setAttribute("aria-pressed", String(this.source === "sample"));
    $("freeze").setAttribute("aria-pressed", String(this.view.frozen));
    $("depth").max = this.deepest;
    $("depth").value = s.depth;
    $("depth-value").textContent = `${s.depth} of ${this.deepest}`;
    $("depth").setAttribute("aria-valuetext", `${s.depth} of ${this.deepest} layers`);
    choices(
      $("compare"),
      [[0, "nothing"], ...range(1, s.depth - 1).map(d => [d, `depth ${d}`])],
      s.compare,
    );
    choices(
      $("chunk"),
      CHUNKS.map(c => [c, `${c} ms`]),
      s.chunk,
    );
    choices($("which"), [...this.models.map(c => c.text).entries()], placeOf(this.models, s));
    $("which-here").hidden = this.models.length < 2;
    for (const name of SWITCHES) $(name).checked = s[name] && !$(name).disabled;
    const row = words.priceOf(this.prices, s.depth, s.chunk);
    $("price").textContent = words.priceWords(row, s.chunk);
    this.showPrices();
    $("hello").hidden = this.clock.seconds > 0 || this.source !== "";
    this.view.ipa = s.ipa;
    this.view.compare = s.compare;
    const address = this.server.replace(/^http/, "ws").replace(/\/$/, "");
    const which = ["model", "program"]
      .map(name => (s[name] ? ` --${name} ${s[name]}` : ""))
      .join("");
    $("command").textContent =
      `shoal-file --url ${address}${which} --depth ${s.depth} --chunk-ms ${s.chunk} speech.wav`;
  }

  /** All depths at the chunk in use; a row chooses its depth. */
  showPrices() {
    const table = words.priceTable(this.prices, this.settings.chunk);
    $("prices").hidden = table.length === 0;
    $("prices-chunk").textContent = `chunks of ${this.settings.chunk} ms`;
    const rows = table.map(({ depth, cells }) => {
      const row = document.createElement("tr"),
        choose = document.createElement("button");
      row.className = depth === this.settings.depth ? "chosen" : "";
      choose.textContent = String(depth);
      choose.setAttribute("aria-pressed", String(depth === this.settings.depth));
      choose.onclick = () => this.set({ depth });
      row.insertCell().append(choose);
      for (const cell of cells) row.insertCell().textContent = cell;
      return row;
    });
    if ($("prices").contains(document.activeElement)) return; // a reader's place is kept
    $("price-rows").replaceChildren(...rows);
  }

  showLags() {
    const live = this.link.running,
      line = this.line;
    $("computed").textContent = words.milliseconds(live ? line.computedLag : NaN);
    $("shown").textContent = words.milliseconds(line.shownLag.percentile(0.5));
    $("settled").textContent = words.milliseconds(line.settledLag.percentile(0.5));
    $("server-ms").textContent = words.milliseconds(line.serverMs.percentile(0.5) / 1000);
    $("depth-now").textContent = line.depth || "–";
    $("lost-here").hidden = !this.breaks && line.lost === 0;
    $("lost").textContent = words.milliseconds(line.lost);
  }

  freeze() {
    if (this.view.frozen) this.thaw();
    else this.view.frozenAt = this.view.end;
    this.show();
  }

  thaw() {
    this.view.frozenAt = NaN;
    this.show();
  }

  /** @param {number} seconds that a frozen picture moves */
  pan(seconds) {
    const { frozen, frozenAt, span } = this.view;
    if (!frozen) return;
    const first = Math.min(span, frozenAt);
    this.view.frozenAt = Math.min(this.clock.seconds, Math.max(first, frozenAt + seconds));
  }

  /* ---- the server's pages ---- */

  askForToken() {
    $("token-form").hidden = false;
    $("model").textContent = this.tokens.of(this.server) ? "this token is not the server's" : "";
    this.prices = null;
    this.show();
  }

  async askServer() {
    const page = path => this.tokens.fetch(this.server, path),
      query = queryOf(this.settings);
    try {
      const paths = ["v1/models", `v1/model${query}`, `v1/depths${query}`];
      const [models, model, prices] = await Promise.all(paths.map(page));
      if (!model || !prices) return this.askForToken();
      if (query !== queryOf(this.settings)) return; // another was chosen meanwhile
      this.models = choicesOf(models);
      if (model.code) return this.withoutModel(model);
      this.take(model, prices);
    } catch {
      $("model").textContent = "the server does not answer";
    }
    this.show();
  }

  /** What the server's pages say of the model in use. */
  take(model, prices) {
    $("token-form").hidden = true;
    this.prices = prices;
    learn(model.phones);
    if (!this.line.classes) this.line.labels = model.phones?.map(p => p.label) ?? [];
    const depth = prices.depths.length;
    $("model").textContent = words.modelWords(model, depth);
    $("load-now").textContent = `load ${Math.round(100 * prices.load)} %`;
    if (depth === this.deepest) return;
    this.deepest = depth;
    this.settings = readSettings(location.search, depth);
  }

  /** The address names one that this server does not have. */
  withoutModel(refusal) {
    if (this.link.running) return; // a session keeps what it has
    this.tell(words.modelTrouble(refusal));
    this.set({ model: "", program: "" });
  }
}

const range = (from, to) => Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);

/** The options of a select, made anew only when they differ. */
function choices(select, list, value) {
  const key = list.join();
  if (select.dataset.key !== key) {
    select.replaceChildren(...list.map(([v, text]) => new Option(String(text), String(v))));
    select.dataset.key = key;
  }
  select.value = String(value);
}

function draw(page) {
  page.view.draw(page.clock.read());
  if (page.line.heardUntil > 0) moment("movement");
  if (page.line.lanes[0].settled.length + page.line.lanes[0].tentative.length) moment("label");
  requestAnimationFrame(() => draw(page));
}

function start() {
  const page = new Page();
  globalThis.shoalPage = page;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const theme = matchMedia("(prefers-color-scheme: dark)");
  calm.onchange = () => (page.view.calm = calm.matches);
  calm.onchange();
  theme.onchange = () => page.view.restyle();
  listen(page);
  page.show();
  page.tokens.take(page.server);
  page.askServer();
  page.capture.warm();
  opusTrouble(16000)
    .then(why => page.cannotOpus(why))
    .then(() => page.show());
  setInterval(() => !document.hidden && page.askServer(), 10000);
  setInterval(() => page.showLags(), 250);
  draw(page);
}

start();

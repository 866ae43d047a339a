/* shoal-session.js - one session with a shoal server: the class behind connect() of shoal.js
 *
 * One Session is one session of docs/protocol.md. What is sent before the connection stands waits for
 * it, in order. With reconnectMs a session outlives its connection (shoal-again.js): it is gone back
 * to, or a new one is given again what the next results depend on, and results go on without a gap or
 * a copy. `again` holds all of that; `away` of it is set while there is no connection.
 */

import {
  Joined,
  Log,
  Patience,
  canGoOn,
  differs,
  firstFrame,
  frameBytes,
  helps,
} from "./shoal-again.js";
import { packetsFor } from "./shoal-opus.js";
import {
  ShoalFailure,
  audioBytes,
  checkAudio,
  failureOf,
  failureOfClose,
  messageOf,
  mostOf,
  resumeURL,
  sessionURL,
  tokenProtocol,
} from "./shoal-wire.js";

/** @typedef {import("./shoal-wire.js").Options} Options */
/** @typedef {import("./shoal-wire.js").Message} Message */
/** @typedef {import("./shoal-wire.js").Environment} Environment */

/** A silent server is asked for a sign of life after so long, given up after twice that. */
const PATIENCE_MS = 20000;

/** What is known of going on, until there is something. token: of a session that the server keeps;
 *  got: messages of it; replay: a new session may go on; last: but not over the next break */
const NOT_YET = { ready: null, joined: null, token: "", got: 0, away: false, timer: 0 };

const after = ms => new Promise(done => setTimeout(done, ms));

export class Session {
  #Socket;
  #protocols;
  #ws;
  #asked; // URL and options, as connect was given them
  #url;
  #format;
  #waiting = [];
  #events = [];
  #readers = [];
  #answers = [];
  #sets = []; // those that no answer has come to
  #maxMessage = 1024;
  #failure = null;
  #opened = false;
  #begun = false;
  #ended = false;
  #closed = false;
  #watch = null;
  #settle;
  #error = null;
  #idle = 0;
  #lastSent = 0;
  #lastHeard = Date.now();
  #alive = false; // a sign of life has been asked for
  #ids = 0;
  #onmessage = null;
  #onclose = null;
  #onbreak = null;
  #encoder; // of Opus, made when samples come
  /** @type {import("./shoal-opus.js").Packets | null} */
  #packets = null;
  #again; // of reconnectMs; null: the session ends with its connection

  /**
   * Use connect(). @param {string | URL} url @param {Options} options
   * @param {Environment} env
   */
  constructor(url, options, env) {
    this.#Socket = env.WebSocket ?? globalThis.WebSocket;
    if (!this.#Socket)
      throw new TypeError("no WebSocket here: give one, connect(url, options, { WebSocket })");
    this.#protocols = ["shoal.v1", ...(env.token ? [tokenProtocol(env.token)] : [])];
    this.#asked = url;
    this.#url = sessionURL(url, options);
    const { searchParams: asked } = new URL(this.#url);
    this.#format = asked.get("format") ?? "s16le";
    this.#encoder = () =>
      packetsFor(
        asked,
        env,
        p => this.#put(p),
        f => this.#giveUpFor(f),
      );
    this.#onmessage = env.onmessage ?? null;
    this.#onclose = env.onclose ?? null;
    this.#onbreak = env.onbreak ?? null;
    this.#again = env.reconnectMs
      ? { ...NOT_YET, patience: new Patience(env.reconnectMs), log: new Log() }
      : null;
    /** what was granted; rejected with the failure if there is none. @type {Promise<Message>} */
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.ready.catch(() => {});
    this.#connect();
    this.#watch = setInterval(() => this.#look(Date.now()), 1000);
  }

  #connect() {
    const ws = new this.#Socket(this.#url, this.#protocols);
    const ours = f => event => ws === this.#ws && f(event);
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onopen = ours(() => this.#open());
    ws.onmessage = ours(({ data }) => this.#receive(data));
    ws.onclose = ours(({ code, reason }) => this.#close(code, reason));
    // close follows and says more, but not in Node 20 where there was no connection
    ws.onerror = ours(() => this.#opened || setTimeout(ours(() => this.#close(1006, ""))));
  }

  /** the URL of the session */
  get url() {
    return this.#url;
  }
  /** why it ended early, or null. @type {ShoalFailure | null} */
  get failure() {
    return this.#failure;
  }
  get closed() {
    return this.#closed;
  }
  /** bytes that wait here, for the encoder, for the connection or in the socket */
  get bufferedAmount() {
    const here = this.#waiting.reduce((n, m) => n + (m.byteLength ?? 0), 0);
    return here + (this.#ws?.bufferedAmount ?? 0) + (this.#packets?.waiting ?? 0);
  }

  /**
   * Audio, cut anywhere. Float32Array in [-1, 1] is made s16le, or what format f32le or opus says (opus:
   * mono, at 8, 12, 16, 24 or 48 kHz, where there is an encoder: opusTrouble), Int16Array s16le or f32le;
   * Uint8Array and ArrayBuffer are bytes in the session's format (opus: one packet a call). Whatever else,
   * and values that are no samples, is a TypeError or a RangeError, and nothing of it is sent. Without
   * effect once the session has failed. @param {Float32Array | ArrayBuffer | ArrayBufferView} given
   */
  send(given) {
    if (this.#ended) throw new TypeError("nothing may be sent after end()");
    const audio = checkAudio(given, this.#format);
    if (this.#closed) return;
    if (audio instanceof Float32Array && this.#format === "opus")
      return (this.#packets ??= this.#encoder()).add(audio);
    const bytes = audioBytes(audio, this.#format);
    const most = this.#format === "opus" ? Math.max(1, bytes.length) : this.#maxMessage;
    for (let at = 0; at < bytes.length; at += most) this.#put(bytes.slice(at, at + most));
  }

  /**
   * So many samples of a channel were left out here: counters and times go on as if they had been
   * there (docs/protocol.md, 3). For half a second and more.
   */
  skip(samples) {
    this.#noReplay("skip");
    const zeros = this.#packets?.fill() ?? 0;
    this.#request(JSON.stringify({ type: "skip", samples: samples - zeros }), true);
  }

  /** Resolves when no more than so many bytes wait; also when the session is over. */
  async drained(bytes = 65536) {
    while (!this.#closed && this.bufferedAmount > bytes) await after(10);
  }

  /** Change depth, output, chunk_ms in mid-speech; a `changed` (or an `error`) message follows. */
  set(change) {
    if ("chunk_ms" in change) this.#noReplay("set");
    const message = JSON.stringify({ type: "set", ...change });
    if (this.#again?.joined && !this.#again.last) this.#sets.push(message);
    this.#request(message);
  }

  /** Everything about the audio so far (opus: the whole packets of it), now. @returns {Promise<Message>} `flushed` */
  flush() {
    this.#noReplay("flush");
    return this.#ask("flush", "flushed", true);
  }

  /** @returns {Promise<Message>} `pong` */
  ping() {
    return this.#ask("ping", "pong");
  }

  /** No more audio. Resolves after all results. @returns {Promise<Message>} `done` */
  end() {
    const done = this.#answer("done");
    if (!this.#ended) {
      this.#packets?.fill();
      this.#request(JSON.stringify({ type: "end" }), true);
    }
    this.#ended = true;
    return done;
  }

  /** Hang up: what is under way is lost. The iterator ends, what waits is rejected. */
  close() {
    if (this.#closed) return;
    this.#ws?.close(1000);
    this.#finish(
      new ShoalFailure("lost", "closed by this side", { code: "closed", retryMs: 0 }),
      true,
    );
  }

  /** All messages, in order, from the first; throws the ShoalFailure of a session that fails. */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      if (this.#events.length) yield this.#events.shift();
      else if (this.#closed) {
        if (this.#failure) throw this.#failure;
        return;
      } else await new Promise(wake => this.#readers.push(wake));
    }
  }

  #ask(type, answer, behindAudio = false) {
    const id = `js-${this.#ids++}`,
      answered = this.#answer(answer, id);
    this.#request(JSON.stringify({ type, id }), behindAudio);
    return answered;
  }

  /** behindAudio: after the packets of all that was sent, where an encoder makes them. */
  #request(message, behindAudio = false) {
    const packets = this.#packets;
    if (packets && (behindAudio || packets.busy)) packets.after(() => this.#put(message));
    else this.#put(message);
  }

  #answer(type, id) {
    const answered = new Promise((resolve, reject) => {
      if (this.#closed)
        reject(
          this.#failure ?? new ShoalFailure("lost", "the session is over", { code: "closed" }),
        );
      else this.#answers.push({ type, id, resolve, reject });
    });
    answered.catch(() => {}); // who does not wait need not catch
    return answered;
  }

  #put(message) {
    if (this.#closed) return;
    this.#lastSent = Date.now();
    this.#again?.log.add(message);
    if (this.#opened) this.#ws.send(message);
    else if (!this.#again?.away) this.#waiting.push(message); // else the log has it
  }

  #open() {
    if (this.#closed) return;
    this.#lastHeard = this.#lastSent = Date.now();
    if (this.#again?.away) return; // `ready` is to be seen first
    this.#opened = true;
    for (const message of this.#waiting.splice(0)) this.#ws.send(message);
  }

  #receive(data) {
    if (this.#closed) return;
    this.#lastHeard = Date.now();
    try {
      this.#take(messageOf(data));
    } catch (e) {
      this.#ws.close(1000);
      this.#finish(
        e instanceof ShoalFailure
          ? e
          : new ShoalFailure("broken", `an answer that makes no sense: ${e.message}`, {
              code: "bad_answer",
            }),
      );
    }
  }

  #take(m) {
    if (m.type === "ready" && !this.#granted(m)) return;
    if (m.type !== "ready" && this.#again && !this.#again.away) this.#again.got++;
    if (m.type === "error" && m.fatal)
      this.#error = m; // the close that follows ends the session
    else {
      const joined = m.type === "ready" ? m : this.#join(m);
      if (joined) this.#again?.patience.hear(joined);
      if (joined) this.#deliver(joined);
      m = joined ?? m;
    }
    const i = this.#answers.findIndex(a => a.type === m.type && (!a.id || a.id === m.id));
    if (i >= 0) this.#answers.splice(i, 1)[0].resolve(m);
    this.done = this.done || m.type === "done";
  }

  /** `ready`: true if the program is to see it. */
  #granted(m) {
    const again = this.#again;
    if (again?.away) {
      if (m.resumed) this.#resumed(m);
      else this.#goOn(m);
      return false;
    }
    if (this.#begun) throw new TypeError("a second ready");
    this.#begun = true;
    this.#maxMessage = mostOf(m);
    this.#idle = (m.limits?.idle_timeout_s ?? 0) * 1000;
    const joined = again && canGoOn(m) ? new Joined(m.options.rate) : null;
    if (again) Object.assign(again, { ready: m, token: m.resume ?? "", joined });
    if (!again?.token && !joined) this.#again = null;
    this.#settle.resolve(m);
    return true;
  }

  /** The message as one of the session, or null if it was given before. */
  #join(m) {
    const again = this.#again;
    if (!again?.joined) return m;
    const answers = m.type === "changed" ? m.reason === "set" : m.type === "error";
    if (answers) this.#sets.shift();
    if (answers && m.type === "changed")
      Object.assign(again.ready.options, { depth: m.range, output: m.output });
    const joined = again.joined.take(m);
    const { joined: j, ready, log, last } = again;
    const needed = last ? j.processed : j.sample(firstFrame(ready, j.framesDone()));
    if (last !== "skip") log.drop(needed * frameBytes(ready));
    return joined;
  }

  #deliver(m) {
    if (this.#onmessage) this.#onmessage(m);
    else this.#events.push(m);
    this.#wake();
  }

  #wake() {
    this.#readers.splice(0).forEach(wake => wake());
  }

  /**
   * Every second. The server ends a session that says nothing for #idle ms, and a network may lose
   * both directions without telling anybody.
   */
  #look(now) {
    if (this.#again?.away) return this.#lookAgain(now);
    const silence = now - this.#lastHeard;
    if (silence > (this.#opened ? 2 * PATIENCE_MS : PATIENCE_MS)) this.#giveUp();
    else if (this.#opened && !this.#ended) {
      const quiet = this.#idle > 0 && now - this.#lastSent > this.#idle / 3;
      if (quiet || (silence > PATIENCE_MS && !this.#alive))
        this.#put(JSON.stringify({ type: "ping" }));
      this.#alive = silence > PATIENCE_MS;
    }
  }

  #giveUp() {
    const at = this.#url.replace(/\/v1\/.*/, "");
    const ws = this.#ws;
    this.#broken(
      this.#opened
        ? new ShoalFailure("lost", `${at} is silent: connect again`, { code: "connection_lost" })
        : failureOfClose(1006, "", false, at),
    );
    ws.close();
  }

  #close(code, reason) {
    if (this.done) this.#finish(null);
    else
      this.#broken(
        this.#error
          ? failureOf(this.#error, code)
          : failureOfClose(code, reason, this.#opened, this.#url.replace(/\/v1\/.*/, "")),
      );
  }

  /* ---- a connection that broke ---- */

  /** From here on chunks do not count from the beginning: no new session can go on. */
  #noReplay(why) {
    if (this.#again && this.#again.last !== "skip") this.#again.last = why;
  }

  #broken(failure) {
    const again = this.#again,
      now = Date.now();
    if (this.#closed) return;
    const refused = failure.code === "cannot_resume";
    if (again && (this.#error || refused)) again.token = ""; // it is kept for nobody
    if (again && !again.away) this.#breaks(now);
    const way = again?.ready && (again.token || again.replay),
      helpful = helps(failure) || refused;
    let wait = way && helpful ? again.patience.wait(failure, now) : -1;
    if (wait < 0) return this.#finish(failure);
    if (refused) wait = 0; // it is there, and the replay need not wait
    this.#opened = false;
    this.#error = null;
    this.#ws = null; // what it still says is nobody's
    this.#onbreak?.(failure, wait);
    again.timer = setTimeout(() => {
      const { token, got, ready } = again;
      this.#url = token
        ? resumeURL(this.#asked, token, got)
        : sessionURL(this.#asked, ready.options);
      this.#lastHeard = Date.now();
      this.#connect();
    }, wait);
  }

  #breaks(now) {
    const again = this.#again,
      pings = this.#answers.filter(a => a.type === "pong");
    const asked = [...this.#sets, ...pings.map(a => JSON.stringify({ type: "ping", id: a.id }))];
    if (this.#ended) asked.push(JSON.stringify({ type: "end" }));
    again.log.breaks(asked);
    again.patience.breaks(now);
    Object.assign(again, { away: true, replay: again.joined && !again.last });
  }

  /** A server that takes a connection and says nothing. */
  #lookAgain(now) {
    if (this.#ws && now - this.#lastHeard > PATIENCE_MS) this.#giveUp();
  }

  /** The same session again: what the server has not got. */
  #resumed(ready) {
    const { bytes, requests } = ready.resumed;
    this.#sendAgain(ready, this.#again.log.after(bytes, requests));
  }

  /** A new session in its place. */
  #goOn(ready) {
    const { log, joined, ready: before } = this.#again;
    const frame = firstFrame(before, joined.framesDone()),
      at = joined.sample(frame) * frameBytes(before);
    const other = differs(before, ready);
    if (other) return this.#giveUpFor(other);
    if (at < log.from) return this.#sendAgain(ready, null);
    joined.begin(frame);
    this.#again.got = 0;
    this.#sendAgain(ready, log.restart(at));
  }

  #sendAgain(ready, messages) {
    if (!messages)
      return this.#giveUpFor(
        new ShoalFailure("rejected", "the audio on which results depend is not kept any more", {
          code: "audio_forgotten",
        }),
      );
    Object.assign(this.#again, { ready, token: ready.resume ?? "", away: false });
    this.#opened = true;
    for (const message of messages) this.#ws.send(message);
    const bytes = messages.reduce((n, m) => n + (typeof m === "string" ? 0 : m.length), 0);
    const second = frameBytes(ready) * ready.options.rate;
    this.#deliver({ type: "resumed", replayed_s: second ? bytes / second : NaN });
  }

  #giveUpFor(failure) {
    this.#ws?.close(1000);
    this.#finish(failure);
  }

  #finish(failure, meant = false) {
    if (this.#closed) return;
    this.#closed = true;
    this.#failure = meant ? null : failure;
    clearInterval(this.#watch);
    clearTimeout(this.#again?.timer);
    this.#packets?.close();
    const rejection =
      failure ?? new ShoalFailure("lost", "the session is over", { code: "closed" });
    this.#settle.reject(rejection);
    this.#answers.splice(0).forEach(a => a.reject(rejection));
    this.#waiting.length = 0;
    this.#wake();
    this.#onclose?.(this.#failure);
  }
}

/**
 * Begin a session. It may be sent to at once.
 * @param {string | URL} url ws://HOST[:PORT] or wss://; port 7350 and path /v1/stream are filled
 *   in; or the http(s) address of a page that shoald serves
 * @param {Options} [options] rate is 16000 where nothing says so
 * @param {Environment} [env]
 */
export function connect(url, options = {}, env = {}) {
  return new Session(url, options, env);
}

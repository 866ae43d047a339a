/* shoal.js - send audio to a shoal server, get phones and speech features back
 *
 *     import { connect } from "./shoal.js";
 *
 *     const session = connect("ws://localhost:7350", { rate: 48000, depth: [3, 12] });
 *     microphone.ondata = samples => session.send(samples);      // Float32Array, any size
 *     for await (const m of session)
 *         if (m.type === "phones") m.phones.forEach(p => console.log(p.phone, p.start, p.end));
 *
 * For browsers and for Node from 18 on; this and shoal-wire.js, nothing to install. Where there
 * is no global WebSocket (Node below 22) give one: connect(url, options, { WebSocket }).
 *
 * One Session is one session of docs/protocol.md. Messages keep the names that they have there;
 * those that this file does not know are given out as they are. A feature packet, binary or JSON,
 * becomes a message {type: "features", kind, frames, dim, values, ...}. What is sent before the
 * connection stands waits for it, in order.
 *
 * Whatever ends a session early, by whatever road, is one ShoalFailure: `cause` and `retryMs` tell
 * a program what to do, `message` tells a person. `ready`, `end()`, the iterator and all that waits
 * are rejected with it; there is no second channel of errors. A refusal that leaves everything as
 * it was (a `set` to a depth that has no room) is a message of type "error" that is not `fatal`.
 */

import {
  ShoalFailure,
  audioBytes,
  decodePacket,
  failureOf,
  failureOfClose,
  featuresOfJson,
  joinFrames,
  sessionURL,
} from "./shoal-wire.js";

export {
  ShoalFailure,
  decodeHalves,
  decodePacket,
  encodeOptions,
  joinFrames,
  sessionURL,
  toS16,
} from "./shoal-wire.js";

/* ---- a session ------------------------------------------------------------------------------- */

/** @typedef {import("./shoal-wire.js").Options} Options */
/** @typedef {{type: string, [member: string]: any}} Message as docs/protocol.md, 4, has them */

/**
 * WebSocket: the class to use. onmessage: called with each message, instead of the iterator; onclose:
 * at the end, with the failure or null.
 * @typedef {{WebSocket?: any, onmessage?: (m: Message) => void,
 *   onclose?: (f: ShoalFailure | null) => void}} Environment
 */

/** A silent server is asked for a sign of life after so long, given up after twice that. */
const PATIENCE_MS = 20000;

const after = ms => new Promise(done => setTimeout(done, ms));

export class Session {
  #ws;
  #url;
  #format;
  #waiting = [];
  #events = [];
  #readers = [];
  #answers = [];
  #maxMessage = 1024;
  #failure = null;
  #opened = false;
  #ended = false;
  #closed = false;
  #watch = null;
  #settle;
  #error = null;
  #idle = 0;
  #lastSent = 0;
  #lastHeard = Date.now();
  #asked = false;
  #ids = 0;
  #onmessage = null;
  #onclose = null;

  /**
   * Use connect(). @param {string | URL} url @param {Options} options
   * @param {Environment} env
   */
  constructor(url, options, env) {
    const Socket = env.WebSocket ?? globalThis.WebSocket;
    if (!Socket)
      throw new TypeError("no WebSocket here: give one, connect(url, options, { WebSocket })");
    this.#url = sessionURL(url, options);
    this.#format = new URL(this.#url).searchParams.get("format") ?? "s16le";
    this.#onmessage = env.onmessage ?? null;
    this.#onclose = env.onclose ?? null;
    /** what was granted; rejected with the failure if there is none. @type {Promise<Message>} */
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.ready.catch(() => {});
    this.#ws = new Socket(this.#url, "shoal.v1");
    this.#ws.binaryType = "arraybuffer";
    this.#ws.onopen = () => this.#open();
    this.#ws.onmessage = ({ data }) => this.#receive(data);
    this.#ws.onclose = ({ code, reason }) => this.#close(code, reason);
    this.#ws.onerror = () => {}; // close follows and says more
    this.#watch = setInterval(() => this.#look(Date.now()), 1000);
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
  /** bytes that wait here, for the connection or in the socket */
  get bufferedAmount() {
    return (
      this.#waiting.reduce((n, m) => n + (m.byteLength ?? 0), 0) + (this.#ws.bufferedAmount ?? 0)
    );
  }

  /**
   * Audio, cut anywhere (opus: one packet a call). Float32Array in [-1, 1] is made s16le unless
   * format is f32le; all else are bytes in the session's format. Without effect once the session
   * has failed.
   * @param {Float32Array | ArrayBuffer | ArrayBufferView} audio
   */
  send(audio) {
    if (this.#ended) throw new TypeError("nothing may be sent after end()");
    const bytes = audioBytes(audio, this.#format);
    const most = this.#format === "opus" ? Math.max(1, bytes.length) : this.#maxMessage;
    for (let at = 0; at < bytes.length; at += most) this.#put(bytes.slice(at, at + most));
  }

  /** Resolves when no more than so many bytes wait; also when the session is over. */
  async drained(bytes = 65536) {
    while (!this.#closed && this.bufferedAmount > bytes) await after(10);
  }

  /** Change depth, output, chunk_ms in mid-speech; a `changed` (or an `error`) message follows. */
  set(change) {
    this.#put(JSON.stringify({ type: "set", ...change }));
  }

  /** Everything about the audio so far, now. @returns {Promise<Message>} `flushed` */
  flush() {
    return this.#ask("flush", "flushed");
  }

  /** @returns {Promise<Message>} `pong` */
  ping() {
    return this.#ask("ping", "pong");
  }

  /** No more audio. Resolves after all results. @returns {Promise<Message>} `done` */
  end() {
    const done = this.#answer("done");
    if (!this.#ended) this.#put(JSON.stringify({ type: "end" }));
    this.#ended = true;
    return done;
  }

  /** Hang up: what is under way is lost. The iterator ends, what waits is rejected. */
  close() {
    if (this.#closed) return;
    this.#ws.close(1000);
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

  #ask(type, answer) {
    const id = `js-${this.#ids++}`,
      answered = this.#answer(answer, id);
    this.#put(JSON.stringify({ type, id }));
    return answered;
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
    if (this.#opened) this.#ws.send(message);
    else this.#waiting.push(message);
  }

  #open() {
    if (this.#closed) return;
    this.#opened = true;
    this.#lastHeard = this.#lastSent = Date.now();
    for (const message of this.#waiting.splice(0)) this.#ws.send(message);
  }

  #receive(data) {
    if (this.#closed) return;
    this.#lastHeard = Date.now();
    try {
      let m = typeof data === "string" ? JSON.parse(data) : decodePacket(data);
      if (m.type === "features" && m.data) m = featuresOfJson(m);
      this.#take(m);
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
    if (m.type === "ready") {
      this.#maxMessage = Math.min(65536, m.limits?.max_message_bytes ?? 65536);
      this.#idle = (m.limits?.idle_timeout_s ?? 0) * 1000;
      this.#settle.resolve(m);
    }
    if (m.type === "error" && m.fatal)
      this.#error = m; // the close that follows ends the session
    else this.#deliver(m);
    const i = this.#answers.findIndex(a => a.type === m.type && (!a.id || a.id === m.id));
    if (i >= 0) this.#answers.splice(i, 1)[0].resolve(m);
    this.done = this.done || m.type === "done";
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
    const silence = now - this.#lastHeard;
    if (silence > (this.#opened ? 2 * PATIENCE_MS : PATIENCE_MS)) this.#giveUp();
    else if (this.#opened && !this.#ended) {
      const quiet = this.#idle > 0 && now - this.#lastSent > this.#idle / 3;
      if (quiet || (silence > PATIENCE_MS && !this.#asked))
        this.#put(JSON.stringify({ type: "ping" }));
      this.#asked = silence > PATIENCE_MS;
    }
  }

  #giveUp() {
    const at = this.#url.replace(/\/v1\/.*/, "");
    this.#finish(
      this.#opened
        ? new ShoalFailure("lost", `${at} is silent: connect again`, { code: "connection_lost" })
        : failureOfClose(1006, "", false, at),
    );
    this.#ws.close();
  }

  #close(code, reason) {
    if (this.done) this.#finish(null);
    else
      this.#finish(
        this.#error
          ? failureOf(this.#error, code)
          : failureOfClose(code, reason, this.#opened, this.#url.replace(/\/v1\/.*/, "")),
      );
  }

  #finish(failure, meant = false) {
    if (this.#closed) return;
    this.#closed = true;
    this.#failure = meant ? null : failure;
    clearInterval(this.#watch);
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

/**
 * A whole recording. Gives `ready`, `done`, `phones` and `activity` (lists of what their messages
 * had, with `tap`) and, for each output of rows by its name, "posteriors" or "embedding@4", its
 * joined frames.
 * @param {string | URL} url @param {Float32Array | ArrayBuffer | ArrayBufferView} audio
 * @param {Options} [options] @param {Environment} [env]
 */
export async function features(url, audio, options = {}, env = {}) {
  const found = { ready: null, done: null, phones: [], activity: [] },
    packets = {};
  const session = connect(url, options, {
    ...env,
    onmessage(m) {
      if (m.type === "phones") found.phones.push(...m.phones.map(p => ({ ...p, tap: m.tap ?? 0 })));
      else if (m.type === "activity") found.activity.push(m);
      else if (m.type === "features")
        (packets[m.tap ? `${m.kind}@${m.tap}` : m.kind] ??= []).push(m);
    },
  });
  found.ready = await session.ready;
  const step = 16384; // elements a message; waits for the socket between them
  const all = audio instanceof Float32Array ? audio : audioBytes(audio, "");
  for (let at = 0; at < all.length && !session.closed; at += step) {
    session.send(all.subarray(at, at + step));
    await session.drained(262144);
  }
  found.done = await session.end();
  // the last frame covers padding
  for (const p of found.phones) p.end = Math.min(p.end, found.done.seconds ?? p.end);
  for (const name of Object.keys(packets)) found[name] = joinFrames(packets[name]);
  return found;
}

/* link.js - sound into sessions, one after the other, for as long as there is sound
 *
 * A Link is fed with all that is captured. It keeps a session open. A connection that breaks is made
 * anew by the session itself (shoal-again.js): for as long as a server keeps sessions, then nothing
 * is lost. A session that fails where a retry may help, because nobody came back or the new server
 * cannot go on where the old one was, is followed by another, after the time that the failure
 * names, longer each time. What is heard meanwhile goes to nobody, and is told (onlost), never queued.
 */
import { ShoalFailure, connect } from "./shoal.js";

const LONGEST_WAIT_MS = 10000;
const RECONNECT_MS = 30000; // what a server's park_ms is where nobody set it
const MOST_BUFFERED_S = 4; // of sound in the socket: then the network is slower than speech
const CATCHING_UP_S = 120; // but after a break all that is needed goes at once
const OPUS_BYTES_S = 4000;

/** A session cannot go on where it was, and another can begin. @param {ShoalFailure} failure */
export const canBeginAnew = failure =>
  /^(cannot_resume|audio_forgotten|other_(model|precision|kernels))$/.test(failure.code);

/**
 * @typedef {object} Hooks
 * @property {(base: number, rate: number) => void} onbegin a session begins at this time
 * @property {(m: any) => void} onmessage
 * @property {(f: ShoalFailure, waitMs: number) => void} onfailure waitMs: -1 if nothing more is tried
 * @property {(f: ShoalFailure, waitMs: number) => void} onbreak a connection; the session may outlive it
 * @property {(from: number, to: number) => void} onlost seconds that no session heard
 * @property {() => void} onend all results of a link that was ended are there
 */

export class Link {
  #session = null;
  #timer = 0;
  #tries = 0;
  #rate = 0;
  #over = true;
  #began = 0; // the session's first sound, and the end of the last
  #fed = 0;
  #ready = false;
  #behind = false; // a break is being caught up with
  #second = 0; // bytes

  /**
   * @param {string} url @param {(rate: number) => import("./shoal.js").Options} options asked when a
   *   session begins @param {Hooks} hooks @param {import("./shoal.js").Environment} [env]
   */
  constructor(url, options, hooks, env = {}) {
    this.url = url;
    this.options = options;
    this.hooks = hooks;
    this.env = env;
  }

  /** A session runs or is being waited for. */
  get running() {
    return this.#session !== null || this.#timer !== 0;
  }

  /** @param {number} now seconds captured @param {number} rate of the samples that follow */
  start(now, rate) {
    this.#rate = rate;
    this.#over = false;
    this.#open(now);
  }

  /** @param {Float32Array} samples @param {number} from seconds captured before them */
  feed(samples, from) {
    if (this.#over) return;
    const to = from + samples.length / this.#rate;
    if (!this.#session && this.#timer) this.hooks.onlost(from, to);
    else if (!this.#session) this.#open(from);
    if (!this.#session) return;
    try {
      this.#session.send(samples);
    } catch (e) {
      return this.#drop(new ShoalFailure("rejected", e.message, { code: "bad_samples" }));
    }
    this.#fed = to;
    const waits = this.#session.bufferedAmount / this.#second;
    this.#behind &&= waits > 1;
    if (waits > (this.#behind ? CATCHING_UP_S : MOST_BUFFERED_S))
      this.#drop(
        new ShoalFailure("lost", "The network takes less than is said.", { retryMs: 2000 }),
      );
  }

  /** Change what runs; a failure has no need of it, the next session asks anew. */
  set(change) {
    if (Object.keys(change).length) this.#session?.set(change);
  }

  /** A new session, at once: for what `set` cannot change, or a retry that the user asked for. */
  restart() {
    if (this.#session) this.hooks.onlost(this.#fed, this.#fed); // what it has not answered
    this.#drop(null);
    this.#tries = 0;
  }

  /** No more sound: the last results come, then onend. */
  end() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#session)
      this.#session.end().then(
        () => {},
        () => {},
      );
    else this.hooks.onend();
  }

  /** Hang up; nothing more comes. */
  stop() {
    this.#over = true;
    this.#drop(null);
  }

  #open(now) {
    this.#began = this.#fed = now;
    this.#ready = this.#behind = false;
    this.hooks.onbegin(now, this.#rate);
    const options = this.options(this.#rate);
    this.#second = options.format === "opus" ? OPUS_BYTES_S : this.#rate * 2;
    const session = connect(this.url, options, {
      reconnectMs: RECONNECT_MS,
      ...this.env,
      onmessage: m => {
        if (session !== this.#session) return;
        if (m.type === "ready") [this.#ready, this.#tries] = [true, 0];
        if (m.type === "resumed") this.#behind = true;
        this.hooks.onmessage(m);
      },
      onbreak: (failure, wait) => {
        if (session === this.#session) this.hooks.onbreak(failure, wait);
      },
      onclose: failure => {
        if (session === this.#session) this.#closed(failure);
      },
    });
    this.#session = session;
  }

  #closed(failure) {
    this.#session = null;
    if (failure) this.#failed(failure);
    else if (this.#over) this.hooks.onend();
  }

  #failed(failure) {
    const from = this.#ready ? this.#fed : this.#began; // or since the last results: the time line knows
    if (this.#fed > this.#began) this.hooks.onlost(from, this.#fed);
    const anew = canBeginAnew(failure);
    const wait =
      (failure.retryMs < 0 && !anew) || this.#over
        ? -1
        : Math.min(LONGEST_WAIT_MS, Math.max(0, failure.retryMs) * 1.6 ** this.#tries++);
    if (wait >= 0) this.#timer = setTimeout(() => (this.#timer = 0), wait);
    else this.#over = true;
    this.hooks.onfailure(failure, wait);
  }

  #drop(failure) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const session = this.#session;
    this.#session = null;
    session?.close();
    if (failure) this.#failed(failure);
  }
}

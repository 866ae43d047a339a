/* link.js - sound into sessions, one after the other, for as long as there is sound
 *
 * A Link is fed with all that is captured. It keeps a session open: one that fails where a retry may
 * help is followed by another, after the time that the failure names, longer each time. What is
 * heard meanwhile goes to nobody, and is told (onlost), never queued: live sound that arrives late
 * is no use to anyone.
 */
import { ShoalFailure, connect } from "./shoal.js";

const LONGEST_WAIT_MS = 10000;
const MOST_BUFFERED_S = 4; // of sound in the socket: then the network is slower than speech

/**
 * @typedef {object} Hooks
 * @property {(base: number, rate: number) => void} onbegin a session begins at this time
 * @property {(m: any) => void} onmessage
 * @property {(f: ShoalFailure, waitMs: number) => void} onfailure waitMs: -1 if nothing more is tried
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

  /**
   * @param {string} url @param {(rate: number) => import("./shoal.js").Options} options asked when a
   *   session begins @param {Hooks} hooks @param {{WebSocket?: any}} [env]
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
    this.#session.send(samples);
    this.#fed = to;
    if (this.#session.bufferedAmount > MOST_BUFFERED_S * this.#rate * 2)
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
    this.#ready = false;
    this.hooks.onbegin(now, this.#rate);
    const session = connect(this.url, this.options(this.#rate), {
      ...this.env,
      onmessage: m => {
        if (session !== this.#session) return;
        if (m.type === "ready") [this.#ready, this.#tries] = [true, 0];
        this.hooks.onmessage(m);
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
    if (!this.#ready && this.#fed > this.#began) this.hooks.onlost(this.#began, this.#fed);
    const wait =
      failure.retryMs < 0 || this.#over
        ? -1
        : Math.min(LONGEST_WAIT_MS, failure.retryMs * 1.6 ** this.#tries++);
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

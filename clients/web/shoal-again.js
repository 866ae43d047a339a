/* shoal-again.js - one session over several connections: what is sent again, what is given once
 *
 * When a connection breaks, a server keeps the session for a while (docs/protocol.md, 15): who comes
 * back says how many messages it has, the server how many bytes and requests, and both go on from
 * there. A server that does not, or was restarted, gets a new session with the options that were
 * granted, and again the audio on which the next results depend (section 7 has the reckoning).
 * Frames and phones of it that were given before are dropped here, counters and times moved to where
 * the session began. The same as clients/lib/client_again.c and client_join.c.
 *
 *     Log      what was sent and may be needed again
 *     Joined   messages of several connections as one session's
 */
import { ShoalFailure, endFrame, nameOf } from "./shoal-wire.js";

/** @typedef {import("./shoal-session.js").Message} Message */

const FRAME_MS = 20,
  FIRST_MS = 250,
  MOST_MS = 5000;
const CONVOLUTION_MS = 280; // 15 frames see 14 before
const DECODER_MS = 2560; // twice what the decoder of phones waits at most
const SAMPLE_BYTES = { s16le: 2, f32le: 4, mulaw: 1, alaw: 1 };
const KEEP_BYTES = 64 * 1024 * 1024;
const LONGEST_TIMER_MS = 2 ** 31 - 1; // setTimeout takes more for nothing

/** What failed is a connection, and another may do. @param {ShoalFailure} f */
export function helps(f) {
  return f.retryMs >= 0 && f.cause !== "rejected" && f.cause !== "broken";
}

/** Until the next attempt: doubled each time, spread by chance. @param {number} attempt from 0 */
export function waitMs(attempt, retryMs, chance = Math.random()) {
  return Math.max(Math.min(FIRST_MS * 2 ** attempt, MOST_MS), retryMs) * (1 + chance / 2);
}

/**
 * How long a session waits for a server that gets it on. A connection that stands is no end of the waiting, a
 * result that was not there before is: else a server that breaks at the same place each time would be
 * given the same audio for ever.
 */
export class Patience {
  #until = 0;
  #tries = 0;
  #reached = 0; // samples
  #advanced = true;

  /** @param {number} ms reconnectMs */
  constructor(ms) {
    this.ms = ms;
  }

  /** A message of the session that was not there before. The answer to a ping comes after all that was sent
   *  before it: a session in which nobody speaks advances by that alone. @param {Message} m */
  hear(m) {
    if (m.type !== "pong" && !(m.processed > this.#reached)) return;
    this.#reached = Math.max(this.#reached, m.processed ?? 0);
    this.#advanced = true;
  }

  /** It broke: from now on time counts, unless it does already. @param {number} now */
  breaks(now) {
    if (this.#advanced) [this.#until, this.#tries, this.#advanced] = [now + this.ms, 0, false];
  }

  /** Until the next attempt; -1: it is at its end, or would be before the server wants to be asked again. Waits
   *  of our own end where it does, so that the last attempt is made then. @param {ShoalFailure} f */
  wait(f, now, chance = Math.random()) {
    const left = this.#until - now;
    if (!(left > 0) || f.askedMs > left) return -1;
    return Math.min(waitMs(this.#tries++, f.retryMs, chance), left, LONGEST_TIMER_MS);
  }
}

/** A new session can go on where one with these options was: no Opus, no means, and numbers that can be reckoned
 *  with. @param {any} ready */
export function canGoOn(ready) {
  const o = ready.options,
    whole = [o.rate, o.channels ?? 1, o.chunk_ms / FRAME_MS, ready.model?.rate];
  const sane = whole.every(n => Number.isInteger(n) && n > 0) && reachMs(ready) >= 0 && !(o.left_ms < 0);
  const means = (o.every ?? 1) !== 1 || (o.pool ?? "none") !== "none";
  return Object.hasOwn(SAMPLE_BYTES, o.format) && sane && !means;
}

/** Bytes of a sample of all channels. @param {any} ready */
export function frameBytes({ options: o }) {
  return SAMPLE_BYTES[o.format] * (o.channels ?? 1);
}

/** How far before a frame the audio reaches on which its results depend. @param {any} ready */
export function reachMs({ options: o, latency_ms, replay_ms }) {
  if (replay_ms > 0) return replay_ms; // older servers do not say
  const chunks = ms => Math.ceil(ms / o.chunk_ms) * o.chunk_ms;
  const deepest = Array.isArray(o.depth) ? o.depth[1] : o.depth;
  const layers = (chunks(o.left_ms) + chunks(CONVOLUTION_MS)) * deepest;
  return layers + latency_ms + DECODER_MS + (o.activity_hangover_ms ?? 0);
}

const common = (a, b) => (b ? common(b, a % b) : a);

/**
 * The frame from which audio goes again so that results are right from frame `done` on: where a
 * chunk, a sample and a step of the resampler begin.
 * @param {any} ready @param {number} done
 */
export function firstFrame(ready, done) {
  const chunk = ready.options.chunk_ms / FRAME_MS;
  const even = 50 / common(50, common(ready.options.rate, ready.model.rate));
  const step = (chunk * even) / common(chunk, even);
  const first = Math.max(0, done - Math.ceil(reachMs(ready) / FRAME_MS));
  return first - (first % step);
}

/** Why features of the two do not go on in each other, or null. @param {any} a @param {any} b */
export function differs(a, b) {
  const of = ({ model, engine }) => [
    ["other_model", model.sha256],
    ["other_precision", engine?.precision],
    ["other_kernels", engine && `${engine.backend}, ${engine.kernels}`],
  ];
  const [before, now] = [of(a), of(b)];
  const i = now.findIndex(([, value], at) => value !== before[at][1]);
  if (i < 0) return null;
  return new ShoalFailure(
    "rejected",
    `the session cannot go on where it was: the server has ${now[i][1]} now, before ${before[i][1]}; start a new one`,
    { code: now[i][0] },
  );
}

/**
 * What was sent to the server's session, in order: audio as bytes, requests as text. Bytes count from
 * the beginning of the program's session, which may go over several of the server's.
 */
export class Log {
  from = 0; // the first byte that is kept
  to = 0;
  #entries = [];
  #origin = 0; // the byte with which the server's session began
  #first = 0; // requests of it that are not kept any more
  #broke = Infinity; // entries from here on were never sent: there was no connection
  #asked = []; // of those before: what had no answer

  /** @param {Uint8Array | string} message */
  add(message) {
    this.#entries.push(message);
    if (typeof message === "string") return;
    this.to += message.length;
    this.drop(this.to - KEEP_BYTES);
  }

  /** Whole messages of audio that end before byte `at`, and requests before them, are not needed. */
  drop(at) {
    let n = 0,
      end = this.from,
      requests = 0;
    for (let i = 0, asked = 0; i < this.#entries.length; i++) {
      const m = this.#entries[i];
      if (typeof m === "string") asked++;
      else if (end + m.length > at) break;
      else [n, end, requests] = [i + 1, end + m.length, asked];
    }
    if (!n) return;
    this.#entries.splice(0, n);
    this.from = end;
    this.#first += requests;
    this.#broke -= n;
  }

  /** The connection is gone. @param {string[]} asked requests that no answer came to */
  breaks(asked) {
    [this.#broke, this.#asked] = [this.#entries.length, asked];
  }

  /**
   * To the same session of the server, which has so many bytes and requests: the rest; null: it is
   * not kept. @returns {(Uint8Array | string)[] | null}
   */
  after(bytes, requests) {
    const begin = this.#origin + bytes;
    if (!(begin >= this.from && begin <= this.to && requests >= this.#first)) return null;
    let at = this.from,
      nth = this.#first;
    const rest = [];
    for (const m of this.#entries) {
      if (typeof m === "string") {
        if (nth++ >= requests) rest.push(m);
        continue;
      }
      if (at + m.length > begin) rest.push(m.subarray(Math.max(0, begin - at)));
      at += m.length;
    }
    this.#broke = Infinity;
    return rest;
  }

  /** To a new session of the server, from byte `at` on. @returns {(Uint8Array | string)[]} */
  restart(at) {
    const rest = [];
    let end = this.from;
    this.#entries.forEach((m, i) => {
      if (i === this.#broke) rest.push(...this.#asked);
      if (typeof m === "string") return i >= this.#broke && rest.push(m);
      if (end + m.length > at) rest.push(m.subarray(Math.max(0, at - end)));
      end += m.length;
    });
    if (this.#broke >= this.#entries.length) rest.push(...this.#asked);
    [this.from, this.#origin, this.#first, this.#broke] = [at, at, 0, Infinity];
    this.#entries = [...rest];
    return rest;
  }
}

const round = seconds => Math.round(seconds * 1000) / 1000;

export class Joined {
  #base = 0; // the frame of the session that the connection's frame 0 is
  #again = false;
  #seq = 0;
  #given = new Map(); // of an output: its next frame, last end, or last turn
  #total = { phones: 0, packets: 0 };
  #link = { phones: 0, packets: 0 };
  processed = 0;

  /** @param {number} rate of the session */
  constructor(rate) {
    this.rate = rate;
  }

  /** A new connection, whose first frame is that one of the session. */
  begin(base) {
    this.#base = base;
    this.#again = true;
    this.#link = { phones: 0, packets: 0 };
  }

  /** Frames of which every output has its rows. */
  framesDone() {
    const rows = [...this.#given].filter(([name]) => !name.includes(" ")).map(([, next]) => next);
    return Math.min(Math.floor((this.processed * 50) / this.rate), ...rows);
  }

  sample(frame) {
    return Math.floor((frame * this.rate) / 50);
  }

  /** The message as one of the session; null: it was given before. @param {Message} m */
  take(m) {
    const moved = { ...m },
      samples = this.sample(this.#base);
    for (const name of ["received", "processed", "sample", "from_sample"])
      if (name in moved) moved[name] += samples;
    for (const name of ["frame", "from_frame", ...(m.type === "features" ? [] : ["frames"])])
      if (name in moved) moved[name] += this.#base;
    for (const name of ["time", "seconds"])
      if (name in moved) moved[name] = round(moved[name] + this.#base * 0.02);
    if (m.type === "features") return this.#features(moved);
    if (m.type === "phones") return this.#phones(moved);
    if (m.type === "activity") return this.#activity(moved);
    return m.type === "done" ? this.#done(moved) : moved;
  }

  #count(m) {
    this.processed = Math.max(this.processed, m.processed);
    return { ...m, seq: this.#seq++ };
  }

  #features(m) {
    this.#link.packets++;
    const p = { ...m, first_frame: m.first_frame + this.#base },
      name = nameOf(p);
    const before = this.#again ? Math.max(0, (this.#given.get(name) ?? 0) - p.first_frame) : 0;
    const old = Math.min(p.frames, Math.floor((before * FRAME_MS) / p.row_ms)); // rows
    if (this.#again && old === p.frames && p.processed <= this.processed) return null;
    this.#total.packets++;
    if (p.frames > old) this.#given.set(name, endFrame(p));
    p.first_frame += Math.floor((old * p.row_ms) / FRAME_MS);
    p.start_sample = this.sample(p.first_frame);
    p.values = p.values.subarray(old * p.dim);
    p.frames -= old;
    return this.#count(p);
  }

  #phones(m) {
    this.#link.phones += m.phones.length;
    const key = `phones ${m.tap ?? 0}`,
      by = this.#base * 0.02,
      news = m.processed > this.processed;
    const move = p => ({ ...p, start: round(p.start + by), end: round(p.end + by) });
    let end = this.#given.get(key) ?? 0;
    const phones = [];
    for (const p of m.phones.map(move)) {
      if (this.#again && (p.start + p.end) / 2 <= end) continue;
      phones.push(this.#again ? { ...p, start: Math.max(p.start, end) } : p);
      end = p.end;
    }
    this.#given.set(key, end);
    if (this.#again && !phones.length && !news) return null;
    this.#total.phones += phones.length;
    const tentative = m.tentative ? { tentative: m.tentative.map(move) } : {};
    return this.#count({ ...m, phones, ...tentative });
  }

  #activity(m) {
    const key = `activity ${m.tap ?? 0}`,
      [frame, state] = this.#given.get(key) ?? [-1, "silence"];
    if (this.#again && (m.frame <= frame || m.state === state)) return null;
    this.#given.set(key, [m.frame, m.state]);
    return this.#count(m);
  }

  #done(m) {
    const whole = name => m[name] - this.#link[name] + this.#total[name];
    return { ...m, phones: whole("phones"), packets: whole("packets") };
  }
}

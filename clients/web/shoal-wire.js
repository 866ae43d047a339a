/* shoal-wire.js - what travels between a program and a shoal server, as pure functions
 *
 * Options to a URL, binary feature packets to numbers, samples to bytes, and what a refusal, a
 * close or a broken connection means. Nothing here does I/O; shoal.js is the session on top and
 * gives out these names too.
 */

/* ---- failures -------------------------------------------------------------------------- */

/**
 * unreachable: nobody answers. full: no room now. restarting: connect again. lost: the connection
 * broke. rejected: the request is wrong, correct it. broken: one side has a fault, report it.
 * @typedef {"unreachable"|"full"|"restarting"|"lost"|"rejected"|"broken"} Cause
 */

/** When nobody said how long to wait: long enough to be no burden, short for a person. */
const SOON_MS = 500,
  LATER_MS = 2000;
const RETRY_MS = {
  unreachable: LATER_MS,
  full: LATER_MS,
  restarting: SOON_MS,
  lost: SOON_MS,
  rejected: -1,
  broken: -1,
};

const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** Fit for a terminal: Node has one. */
const tame = text => String(text ?? "").replace(CONTROLS, " ");

export class ShoalFailure extends Error {
  /**
   * @param {Cause} cause
   * @param {string} message what happened and what helps, for people
   * @param {{code?: string, retryMs?: number, askedMs?: number, closeCode?: number, ref?: string}} [more]
   */
  constructor(cause, message, more = {}) {
    super(tame(message));
    this.name = "ShoalFailure";
    /** @type {Cause} */
    this.cause = cause;
    /** the same session may be tried again after so many ms; -1: that will not help */
    this.retryMs = more.retryMs ?? RETRY_MS[cause];
    /** of which the server has asked for so many; 0: it said nothing of it */
    this.askedMs = more.askedMs ?? 0;
    /** the protocol's error code, or one of ours: connection_failed, connection_lost, bad_answer */
    this.code = more.code ?? "";
    /** of the WebSocket; 0: there was none */
    this.closeCode = more.closeCode ?? 0;
    /** the option or message that the error is about, or "" */
    this.ref = more.ref ?? "";
  }
}

/** Codes that are not `rejected`. @type {Record<string, Cause>} */
const CAUSES = {
  overloaded: "full",
  too_many_sessions: "full",
  backlog: "full",
  draining: "restarting",
  shutdown: "restarting",
  start_timeout: "lost",
  idle_timeout: "lost",
  slow_reader: "lost",
  internal: "broken",
};

/** What a close without an error message says. @type {Record<number, [Cause, string, string]>} */
const CLOSES = {
  1001: ["restarting", "shutdown", "the server stopped: connect again, or to another one"],
  1011: ["broken", "internal", "the server made a mistake; its log says more"],
  1012: ["restarting", "draining", "the server restarts: connect again"],
  1013: ["full", "overloaded", "the server is full: try later, or ask for a lower depth"],
};

/** An `error` message as a failure. */
export function failureOf(error, closeCode = 0) {
  const cause = Object.hasOwn(CAUSES, error.code) ? CAUSES[error.code] : "rejected";
  const asked = error.retry && error.retry_after_ms > 0 ? Number(error.retry_after_ms) : 0;
  const wait = asked || (cause === "full" ? LATER_MS : SOON_MS);
  return new ShoalFailure(cause, error.message, {
    code: error.code,
    ref: error.ref,
    closeCode,
    retryMs: error.retry ? wait : -1,
    askedMs: asked,
  });
}

/** A close that no `error` came before. */
export function failureOfClose(code, reason, opened, url) {
  if (!opened)
    return new ShoalFailure(
      "unreachable",
      `no shoal server answers at ${url}: is it running, are host and port right?`,
      { code: "connection_failed", closeCode: code },
    );
  const [cause, name, text] =
    CLOSES[code] ??
    (code < 1006 || code === 1007 || code === 1008 || code === 1009
      ? ["rejected", "closed_early", `the server closed the session (${code} ${reason})`]
      : ["lost", "connection_lost", "the connection to the server broke: connect again"]);
  return new ShoalFailure(/** @type {Cause} */ (cause), text, { code: name, closeCode: code });
}

/* ---- options and the URL ----------------------------------------------------------------- */

/**
 * The options of docs/protocol.md, 2, by their names. Arrays are joined: depth [3, 12] is the range
 * 3-12, output ["phones@4", "hidden@0"] is both. A later server's options go as they are.
 * @typedef {{
 *   format?: "s16le" | "f32le" | "mulaw" | "alaw" | "opus", rate?: number, channels?: number,
 *   channel?: "mix" | "left" | "right" | number, depth?: number | string | [number, number],
 *   chunk_ms?: number, left_ms?: number, attention?: "own" | "reuse",
 *   output?: string | string[], encoding?: "f32" | "f16" | "json",
 *   every?: number, pool?: "none" | "utterance",
 *   activity_threshold?: number, activity_hangover_ms?: number,
 *   activity_min_ms?: number, activity_max_ms?: number, activity_pad_ms?: number,
 *   lm?: Switch, durations?: Switch, tentative?: Switch, smooth?: Switch,
 *   settle_ms?: number, settle_silence_ms?: number,
 *   model?: string, program?: string, precision?: "auto" | "fp32" | "bf16" | "int8", t0?: number,
 *   [later: string]: string | number | boolean | (string | number)[] | undefined}} Options
 * @typedef {"on" | "off" | boolean} Switch
 */

/** @typedef {{type: string, [member: string]: any}} Message as docs/protocol.md, 4, has them */

/**
 * WebSocket: the class to use. token: what the server wants, sent as a subprotocol, since browsers
 * send no header of ours. onmessage: called with each message, instead of the iterator; onclose:
 * at the end, with the failure or null. reconnectMs: a connection that breaks is made anew, tried for
 * so long; a message {type: "resumed", replayed_s} says that it was. 0 (as without): the session
 * fails. onbreak: called when it broke, and when a try failed, with why and the ms until the next.
 * AudioEncoder, AudioData: other classes than the browser's, for format opus.
 * @typedef {{WebSocket?: any, token?: string, onmessage?: (m: Message) => void,
 *   onclose?: (f: ShoalFailure | null) => void, reconnectMs?: number,
 *   onbreak?: (f: ShoalFailure, waitMs: number) => void} &
 *   import("./shoal-opus.js").Codecs} Environment
 */

/** true and false are what the protocol calls "on" and "off". */
const plain = v => (v === true ? "on" : v === false ? "off" : v);

/** @param {Options} options @returns {string} the query, without "?" */
export function encodeOptions(options) {
  return Object.entries(options)
    .filter(([, v]) => v !== undefined && v !== null)
    .map(([name, v]) => [name, Array.isArray(v) ? v.join(name === "depth" ? "-" : ",") : plain(v)])
    .map(
      ([name, v]) => `${name}=${encodeURIComponent(v).replace(/%2C/g, ",").replace(/%40/g, "@")}`,
    )
    .join("&");
}

/**
 * The whole URL of a session: path and port are filled in, http becomes ws, options win over
 * those that the URL has.
 * @param {string | URL} url @param {Options} [options]
 */
export function sessionURL(url, options = {}) {
  const text = String(url),
    withScheme = /^[a-z]+:\/\//i.test(text) ? text : `ws://${text}`;
  const u = new URL(withScheme.replace(/^http/i, "ws"));
  if (u.protocol !== "ws:" && u.protocol !== "wss:")
    throw new ShoalFailure("rejected", `${url}: use ws:// or wss://`, { code: "bad_url" });
  // a page's own address names no port when it is the scheme's
  if (!u.port && u.protocol === "ws:" && !/:80(\/|\?|$)/.test(withScheme) && !/^http/i.test(text))
    u.port = "7350";
  if (u.pathname.endsWith("/")) u.pathname += "v1/stream";
  const asked = Object.fromEntries(u.searchParams);
  u.search = "";
  u.hash = "";
  const query = encodeOptions({ rate: 16000, ...asked, ...options });
  return `${u.href}?${query}`;
}

/** A token as a subprotocol may hold it: its bytes in base64url. @param {string} token */
export function tokenProtocol(token) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  const code = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `shoal.token.${code}`;
}

/** To come back to a session: nothing else is asked. @param {string | URL} url as in sessionURL */
export function resumeURL(url, token, got) {
  return sessionURL(url).replace(/\?.*/, () => `?resume=${encodeURIComponent(token)}&got=${got}`);
}

/* ---- feature packets ----------------------------------------------------------------------- */

const KINDS = { 1: "posteriors", 2: "embedding", 3: "hidden", 4: "mel" };
const FRAME_MS = 20;
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** @type {Float32Array | undefined} every half as a float; made when first needed */
let halves;

function half(bits) {
  const exponent = (bits >> 10) & 31,
    fraction = bits & 1023;
  const size =
    exponent === 31
      ? fraction
        ? NaN
        : Infinity
      : exponent
        ? 2 ** (exponent - 15) * (1 + fraction / 1024)
        : 2 ** -14 * (fraction / 1024);
  return bits & 0x8000 ? -size : size;
}

/** IEEE 754 half precision to single. @param {ArrayLike<number>} bits @returns {Float32Array} */
export function decodeHalves(bits) {
  halves ??= Float32Array.from({ length: 65536 }, (_, i) => half(i));
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = halves[bits[i]];
  return values;
}

/** Numbers of `size` bytes at any alignment, on any machine. */
function readValues(view, at, count, encoding) {
  const size = encoding === 2 ? 2 : 4;
  let bytes = view.buffer.slice(view.byteOffset + at, view.byteOffset + at + count * size);
  if (!LITTLE) {
    const from = new DataView(bytes),
      to = new DataView(new ArrayBuffer(bytes.byteLength));
    for (let i = 0; i < bytes.byteLength; i += size)
      for (let j = 0; j < size; j++) to.setUint8(i + j, from.getUint8(i + size - 1 - j));
    bytes = to.buffer;
  }
  return size === 2 ? decodeHalves(new Uint16Array(bytes)) : new Float32Array(bytes);
}

/**
 * Rows of features. `values` has frames x dim numbers, row by row; a row stands for row_ms of sound:
 * 20 for a frame, 10 for mel, more for means (every, pool). tap: N of an output with @N, else 0.
 * flags: 1 the depth changed, 2 the chunk was cut short.
 * @typedef {{type: "features", kind: "posteriors" | "embedding" | "hidden" | "mel", seq: number,
 *   depth: number, tap: number, flags: number, first_frame: number, start_sample: number,
 *   received: number, processed: number, frames: number, dim: number, row_ms: number,
 *   queued_us: number, computed_us: number, values: Float32Array}} Features
 */

/** The output as it was asked for: "posteriors", "embedding@4", "hidden@0". @param {Features} p */
export function nameOf(p) {
  if (p.kind === "hidden" && p.depth === 0) return "hidden@0";
  return p.tap ? `${p.kind}@${p.tap}` : p.kind;
}

/** The frame after the last that a packet's rows stand for. @param {Features} p */
export function endFrame(p) {
  return p.first_frame + Math.floor((p.frames * p.row_ms) / FRAME_MS);
}

/** One binary message. @param {ArrayBuffer | ArrayBufferView} data @returns {Features} */
export function decodePacket(data) {
  const view = ArrayBuffer.isView(data)
    ? new DataView(data.buffer, data.byteOffset, data.byteLength)
    : new DataView(data);
  const bad = why =>
    new ShoalFailure("broken", `a feature packet that cannot be read: ${why}`, {
      code: "bad_answer",
    });
  if (view.byteLength < 64 || view.getUint32(0, false) !== 0x53484f4c || view.getUint8(4) !== 1)
    throw bad("no header of version 1");
  const encoding = view.getUint8(6),
    head = view.getUint16(8, true);
  const frames = view.getUint16(48, true),
    dim = view.getUint16(50, true);
  const size = { 1: 4, 2: 2 }[encoding];
  if (!size || !KINDS[view.getUint8(5)])
    throw bad(`kind ${view.getUint8(5)}, encoding ${encoding}`);
  if (head < 64 || view.byteLength !== head + frames * dim * size)
    throw bad(`${view.byteLength} bytes for ${frames} x ${dim} values behind ${head} bytes`);
  const row_ms = head >= 72 ? view.getUint32(64, true) : FRAME_MS;
  if (!row_ms) throw bad("rows of no time");
  const long = at => Number(view.getBigUint64(at, true));
  return {
    type: "features",
    kind: KINDS[view.getUint8(5)],
    seq: view.getUint32(12, true),
    depth: view.getUint8(7),
    tap: view.getUint8(60),
    flags: view.getUint16(10, true),
    first_frame: long(16),
    start_sample: long(24),
    received: long(32),
    processed: long(40),
    frames,
    dim,
    row_ms,
    queued_us: view.getUint32(52, true),
    computed_us: view.getUint32(56, true),
    values: readValues(view, head, frames * dim, encoding),
  };
}

/** Members that are reckoned with, whatever message has them. */
const NUMBERS = ["seq", "received", "processed", "sample", "from_sample", "frame", "from_frame"];
NUMBERS.push("frames", "packets", "first_frame", "start_sample", "dim", "row_ms", "time", "seconds");

function labelsOf(m) {
  if (m.type === "ready") return m.labels ?? [];
  return m.type === "phones" ? [...m.phones, ...(m.tentative ?? [])].map(p => p.phone) : [];
}

/** One message of a server. What makes no sense is thrown. @param {string | ArrayBuffer} data @returns {Message} */
export function messageOf(data) {
  if (typeof data !== "string") return decodePacket(data);
  const m = JSON.parse(data);
  if (typeof m?.type !== "string") throw new TypeError("no type");
  for (const name of NUMBERS)
    if (name in m && !(Number.isFinite(m[name]) && m[name] >= 0))
      throw new TypeError(`${name} is ${m[name]}`);
  if (m.type === "error") m.message = tame(m.message);
  for (const label of labelsOf(m))
    if (typeof label !== "string" || label.search(CONTROLS) >= 0) throw new TypeError("no label");
  return m.type === "features" ? featuresOfJson(m) : m;
}

const MOST_BYTES = 65536;

/** Bytes of a message of audio; a server that says none has said nothing. @param {Message} ready */
export function mostOf({ limits }) {
  const most = Math.floor(limits?.max_message_bytes);
  return most >= 1 ? Math.min(MOST_BYTES, most) : MOST_BYTES;
}

/** A `features` message of encoding=json, as decodePacket gives it. null (not finite) is NaN. */
export function featuresOfJson(m) {
  const { data, ...rest } = m;
  const values = Float32Array.from(data.flat(), v => v ?? NaN);
  return { tap: 0, row_ms: FRAME_MS, ...rest, values };
}

/**
 * Packets of one output put together. Row i begins i x row_ms after frame first_frame of the
 * session; means begin where their packets say, for utterances leave out what is between.
 * @param {Features[]} packets of one kind and tap, in the order they came
 * @returns {{first_frame: number, frames: number, dim: number, row_ms: number, values: Float32Array}}
 */
export function joinFrames(packets) {
  const full = packets.filter(p => p.frames > 0);
  const frames = full.reduce((n, p) => n + p.frames, 0),
    dim = packets[0]?.dim ?? 0;
  const values = new Float32Array(frames * dim),
    first_frame = full[0]?.first_frame ?? 0,
    row_ms = full[0]?.row_ms ?? FRAME_MS;
  let next = first_frame,
    at = 0;
  for (const p of full) {
    if (p.dim !== dim || (p.row_ms <= FRAME_MS && p.first_frame !== next))
      throw new ShoalFailure("broken", `frame ${next} is missing from the results`, {
        code: "bad_answer",
      });
    values.set(p.values, at);
    at += p.values.length;
    next = endFrame(p);
  }
  return { first_frame, frames, dim, row_ms, values };
}

/* ---- audio --------------------------------------------------------------------------------- */

/** Samples in [-1, 1] as s16le. @param {Float32Array} samples @returns {ArrayBuffer} */
export function toS16(samples) {
  const view = new DataView(new ArrayBuffer(samples.length * 2));
  for (let i = 0; i < samples.length; i++)
    view.setInt16(2 * i, Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768))), true);
  return view.buffer;
}

/** 18 dB above full scale: beyond it samples are on another scale, as the server thinks, too. */
const LOUDEST = 8;
const FULL_SCALES = [
  [16, 32768],
  [24, 8388608],
  [32, 2147483648],
];

/** What else programs have in their hands, by Object.prototype.toString, and what helps. */
const HELP = {
  Array: "give Float32Array.from(it), values in [-1, 1]",
  String: "a file's name? Decode the file (AudioContext.decodeAudioData) and give the samples",
  Undefined: "give a Float32Array in [-1, 1]",
  Null: "give a Float32Array in [-1, 1]",
  Promise: "await it first",
  File: "decode it (await file.arrayBuffer(), AudioContext.decodeAudioData), and give the samples",
  Blob: "decode it (await blob.arrayBuffer(), AudioContext.decodeAudioData), and give the samples",
  AudioBuffer: "give its getChannelData(0)",
  Int32Array: "divide by 2147483648 into a Float32Array",
  Uint16Array: "give an Int16Array of the same buffer",
};

const kindOf = x => Object.prototype.toString.call(x).slice(8, -1);

function noAudio(kind) {
  const name = /^(Undefined|Null)$/.test(kind) ? kind.toLowerCase() : kind,
    help = HELP[kind] ?? "give a Float32Array in [-1, 1], an Int16Array, or bytes (Uint8Array)";
  return new TypeError(`${name} is no audio: ${help}`);
}

function checkFloats(samples) {
  let peak = 0;
  for (let i = 0; i < samples.length; i++) {
    const size = Math.abs(samples[i]);
    if (!(size < Infinity))
      throw new RangeError(`sample ${i} is ${samples[i]}: audio has no NaN and no infinity`);
    if (size > peak) peak = size;
  }
  if (peak <= LOUDEST) return;
  const [bits, full] = FULL_SCALES.find(([, most]) => peak <= most) ?? FULL_SCALES[2];
  throw new RangeError(
    `samples reach ${peak}, but floats lie in [-1, 1]: divide them by ${full} if they are of ${bits} bits`,
  );
}

/**
 * Samples or bytes, as send() can send them in that format: Float32Array (of Float64Array, Float16Array
 * too), Int16Array, Uint8Array. Whatever else is refused by name, before anything of it is sent:
 * TypeError for another kind of thing, RangeError for values.
 * @param {any} audio @param {string} format @returns {Float32Array | Int16Array | Uint8Array}
 */
export function checkAudio(audio, format) {
  const kind = kindOf(audio),
    floats = /^Float(16|32|64)Array$/.test(kind);
  if (/^(Int8|Uint8|Uint8Clamped)Array$|^DataView$/.test(kind))
    return new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength);
  if (/^(Shared)?ArrayBuffer$/.test(kind)) return new Uint8Array(audio);
  if (!floats && kind !== "Int16Array") throw noAudio(kind);
  if (!/^(s16le|f32le)$/.test(format) && !(floats && format === "opus"))
    throw new TypeError(`${kind} is for format s16le or f32le, not ${format}`);
  if (!floats) return audio;
  checkFloats(audio);
  return audio instanceof Float32Array ? audio : Float32Array.from(audio);
}

/** Numbers of two or four bytes as a view writes them: in little-endian order on any machine. */
function written(values, size, write) {
  const view = new DataView(new ArrayBuffer(values.length * size));
  for (let i = 0; i < values.length; i++) view[write](size * i, values[i], true);
  return new Uint8Array(view.buffer);
}

/** What checkAudio gave, as the bytes that the session's format promises. */
export function audioBytes(audio, format) {
  const kind = kindOf(audio);
  if (kind === "Float32Array")
    return format === "f32le" ? written(audio, 4, "setFloat32") : new Uint8Array(toS16(audio));
  if (kind !== "Int16Array") return audio;
  if (format === "s16le") return written(audio, 2, "setInt16");
  return written(
    Float32Array.from(audio, v => v / 32768),
    4,
    "setFloat32",
  );
}

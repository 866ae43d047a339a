/* shoal.js - send audio to a shoal server, get phones and speech features back
 *
 *     import { connect } from "./shoal.js";
 *
 *     const session = connect("ws://localhost:7350", { rate: 48000, depth: [3, 12] });
 *     microphone.ondata = samples => session.send(samples);      // Float32Array, any size
 *     for await (const m of session)
 *         if (m.type === "phones") m.phones.forEach(p => console.log(p.phone, p.start, p.end));
 *
 * For browsers and for Node from 18 on; five files, nothing to install. Where there is no global
 * WebSocket (Node below 22) give one: connect(url, options, { WebSocket }).
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
 *
 *     shoal.js            this: the door
 *     shoal-session.js    a session
 *     shoal-again.js      what it does when its connection breaks
 *     shoal-opus.js       samples to Opus packets, where there is an encoder
 *     shoal-wire.js       bytes and URLs, as pure functions
 */
import { checkAudio, joinFrames, nameOf, sessionURL } from "./shoal-wire.js";
import { connect } from "./shoal-session.js";

export { OPUS_RATES, opusTrouble } from "./shoal-opus.js";
export { Session, connect } from "./shoal-session.js";
export {
  ShoalFailure,
  decodeHalves,
  decodePacket,
  encodeOptions,
  joinFrames,
  nameOf,
  sessionURL,
  toS16,
} from "./shoal-wire.js";

/** @typedef {import("./shoal-wire.js").Options} Options */
/** @typedef {import("./shoal-session.js").Message} Message */
/** @typedef {import("./shoal-session.js").Environment} Environment */

/**
 * A whole recording. Gives `ready`, `done`, `phones` and `activity` (lists of what their messages
 * had, with `tap`), `errors` (messages that ended nothing: channels that cancel each other out) and,
 * for each output of rows by its name, "posteriors", "embedding@4" or "mel", its joined rows.
 * What is no audio is refused (TypeError, RangeError) before a server is asked.
 * @param {string | URL} url @param {Float32Array | ArrayBuffer | ArrayBufferView} audio
 * @param {Options} [options] @param {Environment} [env]
 */
export async function features(url, audio, options = {}, env = {}) {
  const { searchParams: asked } = new URL(sessionURL(url, options));
  const all = checkAudio(audio, asked.get("format") ?? "s16le");
  const found = { ready: null, done: null, phones: [], activity: [], errors: [] },
    packets = Object.create(null); // names are the server's
  const session = connect(url, options, {
    ...env,
    onmessage(m) {
      if (m.type === "phones") found.phones.push(...m.phones.map(p => ({ ...p, tap: m.tap ?? 0 })));
      else if (m.type === "activity") found.activity.push(m);
      else if (m.type === "error") found.errors.push(m);
      else if (m.type === "features") (packets[nameOf(/** @type {any} */ (m))] ??= []).push(m);
    },
  });
  found.ready = await session.ready;
  const step = 16384; // elements a message; waits for the socket between them
  for (let at = 0; at < all.length && !session.closed; at += step) {
    session.send(all.subarray(at, at + step));
    await session.drained(262144);
  }
  found.done = await session.end();
  // the last frame covers padding
  for (const p of found.phones) p.end = Math.min(p.end, found.done.seconds ?? p.end);
  const names = found.ready.options?.output?.filter(name => !/^(phones|activity)/.test(name)) ?? [];
  for (const name of new Set([...names, ...Object.keys(packets)]))
    found[name] = joinFrames(packets[name] ?? []); // too short for a row: none
  return found;
}

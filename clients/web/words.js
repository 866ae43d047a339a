/* words.js - a sentence for everything that can go wrong, and numbers as people read them */
import { canBeginAnew } from "./link.js";

/** @typedef {{title: string, hint: string, again: boolean, waits: boolean}} Trouble
 *   again: a button to try again helps; waits: the page tries again by itself */

const trouble = (title, hint, again = true, waits = false) => ({ title, hint, again, waits });

/** Why there is no microphone. @param {{name?: string, message?: string}} error @returns {Trouble} */
export function microphoneTrouble(error, secure = true) {
  if (!secure)
    return trouble(
      "Browsers give microphones to secure pages only.",
      "Open this page as http://localhost:7350 (for instance through ssh -L 7350:localhost:7350) or behind https. The sample and files work here too.",
      false,
    );
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return trouble(
        "The microphone was refused.",
        "Allow it for this page (the icon beside the address), then try again.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return trouble("There is no microphone.", "Plug one in and try again, or play the sample.");
    case "NotReadableError":
    case "AbortError":
      return trouble(
        "The microphone cannot be opened.",
        "Another program may hold it: close that one and try again.",
      );
    default:
      return trouble("The microphone does not work.", error.message ?? "Try again.");
  }
}

export const MICROPHONE_GONE = trouble(
  "The microphone is gone.",
  "It was unplugged or switched off. Plug it in and try again.",
);
export const MUTED = trouble(
  "Nothing but digital silence comes from the microphone.",
  "Is it muted, by a key, a switch or the system's settings? The session is kept.",
  false,
);

const INVERTED = trouble(
  "The channels of this file cancel each other out.",
  "One of them is inverted, so that their mean would be silence: the first is heard alone.",
  false,
);

/** @param {{there: number, whole: number}} short */
function cutTrouble({ there, whole }) {
  const of = Number.isNaN(whole) ? "" : ` of ${whole.toFixed(1)} s`;
  return trouble(
    `This file ends early: ${there.toFixed(1)} s${of} are there.`,
    "What there is is heard. Was it copied to its end?",
    false,
  );
}

/** What is odd about a recording, if anything. @param {any} heard of Capture.recording @returns {Trouble | null} */
export function oddTrouble(heard) {
  if (heard?.short) return cutTrouble(heard.short);
  return heard?.inverted ? INVERTED : null;
}

/** @param {string} name of a file @param {number} size bytes */
export function fileTrouble(name, size) {
  if (!size) return trouble(`${name} is empty.`, "Was it saved? Take another file.", false);
  return trouble(
    `${name} is no sound that this browser reads.`,
    "WAV, FLAC, MP3, Ogg and M4A mostly work: ffmpeg -i FILE OUT.wav makes one.",
    false,
  );
}

/** What a server says, as a sentence among others. */
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** A connection that is made anew. @param {import("./shoal-wire.js").ShoalFailure} f @returns {Trouble} */
export function breakTrouble(f) {
  return {
    ...sessionTrouble(f),
    hint: "What is said meanwhile is kept.",
    again: false,
    waits: true,
  };
}

/** @param {import("./shoal-wire.js").ShoalFailure} f @returns {Trouble} */
export function sessionTrouble(f) {
  if (canBeginAnew(f))
    return trouble("The session could not go on where it was.", "Another one begins.", false, true);
  if (f.code === "bad_samples")
    return trouble("There are numbers in this that are no sound.", sentence(f.message), false);
  switch (f.cause) {
    case "unreachable":
      return trouble("The server does not answer.", "Is shoald still running?", true, true);
    case "full":
      return trouble("The server is full.", sentence(f.message), true, true);
    case "restarting":
      return trouble("The server restarts.", "It goes on as soon as it is back.", true, true);
    case "lost":
      return trouble("The connection was lost.", sentence(f.message), true, true);
    case "rejected":
      return trouble("The server refused this.", sentence(f.message), true);
    default:
      return trouble("Something is broken.", `${sentence(f.message)} Please report it.`, true);
  }
}

/** "in 3 s" */
export function inSeconds(ms) {
  return ms > 900 ? `in ${Math.round(ms / 1000)} s` : "now";
}

/** Seconds as milliseconds for people, "-" for nothing. */
export function milliseconds(seconds) {
  return Number.isFinite(seconds) ? `${Math.max(0, Math.round(seconds * 1000))} ms` : "–";
}

/** @param {any} model GET /v1/model @param {number} depth of the program in use */
export function modelWords(model, depth) {
  const weights = `${(model.parameters / 1e6).toFixed(1)} M weights`;
  return `${model.name}, ${depth} layers of ${weights}`;
}

/** An address that names what is not there. @param {{message: string}} refusal @returns {Trouble} */
export function modelTrouble(refusal) {
  const hint = `${sentence(refusal.message)} The server's first is taken instead.`;
  return trouble("The address names a model that is not here.", hint, false);
}

/**
 * The row of GET /v1/depths for a depth, at the chunk in use where the server tells it.
 * @param {any} prices the page @param {number} depth @param {number} chunk
 */
export function priceOf(prices, depth, chunk) {
  const row = prices?.depths?.find(d => d.depth === depth);
  if (!row) return null;
  const own = row.chunks?.find(c => c.chunk_ms === chunk);
  return { chunk_ms: prices.chunk_ms, ...row, settled_ms: null, ...own };
}

const few = x => (x == null ? "–" : x >= 10 ? String(Math.round(x)) : x.toFixed(1));
const percent = x => (x == null ? "–" : (100 * x).toFixed(1));

/**
 * "164 streams a core, 36.1 % of phones wrong, settled after 275 ms (9 of 10: 555)"
 * @param {any} row of priceOf @param {number} chunk in use
 */
export function priceWords(row, chunk) {
  if (!row) return "";
  const per = row.per == null ? "" : `, ${percent(row.per)} % of phones wrong`;
  const { p50, p90 } = row.settled_ms ?? {};
  const settled = p50 == null ? "" : `, settled after ${p50} ms (9 of 10: ${p90})`;
  const other = row.chunk_ms === chunk ? "" : `, with chunks of ${row.chunk_ms} ms`;
  return `${few(row.streams)} streams a core${per}${settled}${other}`;
}

/** Of each depth: its number and cells of text, their units stand above. @returns {{depth: number, cells: string[]}[]} */
export function priceTable(prices, chunk) {
  return (prices?.depths ?? []).map(({ depth }) => {
    const row = priceOf(prices, depth, chunk),
      { p50, p90 } = row.settled_ms ?? {};
    const settled = p50 == null ? "–" : `${p50} / ${p90}`;
    return { depth, cells: [few(row.streams), few(row.cpu_ms), percent(row.per), settled] };
  });
}

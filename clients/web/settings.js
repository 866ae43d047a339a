/* settings.js - what a user chose, in the address of the page, so that a link repeats it */

import { OPUS_RATES } from "./shoal.js";

export const CHUNKS = [40, 80, 160, 320, 640];

/** @typedef {{depth: number, compare: number, chunk: number, elastic: boolean, ipa: boolean,
 *   lm: boolean, opus: boolean, model: string, program: string, server: string}} Settings
 *  model, program: "" is the first there is */

/** @returns {Settings} */
export function defaults() {
  return {
    depth: 12,
    compare: 0,
    chunk: 160,
    elastic: true,
    ipa: true,
    lm: true,
    opus: false,
    model: "",
    program: "",
    server: "",
  };
}

export const SWITCHES = ["elastic", "ipa", "lm", "opus"];

/** Nonsense is left out. @param {string} query @param {number} deepest of the model */
export function readSettings(query, deepest = 12) {
  const q = new URLSearchParams(query),
    s = { ...defaults(), depth: deepest };
  const number = (name, min, max) => {
    const n = Number(q.get(name) ?? NaN);
    return Number.isInteger(n) && n >= min && n <= max ? n : null;
  };
  s.depth = number("depth", 1, deepest) ?? s.depth;
  s.compare = number("compare", 1, s.depth - 1) ?? 0;
  s.chunk = CHUNKS.find(c => c === number("chunk", 20, 1280)) ?? s.chunk;
  for (const name of SWITCHES) if (["0", "1"].includes(q.get(name))) s[name] = q.get(name) === "1";
  for (const name of ["model", "program", "server"]) s[name] = q.get(name) ?? "";
  return s;
}

/** Only what is not as usual. @param {Settings} s @param {number} deepest */
export function writeSettings(s, deepest = 12) {
  const usual = { ...defaults(), depth: deepest },
    q = new URLSearchParams();
  for (const [name, value] of Object.entries(s))
    if (value !== usual[name])
      q.set(name, typeof value === "boolean" ? String(Number(value)) : String(value));
  const text = q.toString();
  return text ? `?${text}` : "";
}

/** Depth as the protocol has it: a range where the server may go down under load. */
export function depthOf(s) {
  return s.elastic && s.depth > 3 ? [3, s.depth] : s.depth;
}

export function outputsOf(s) {
  return ["phones", "posteriors", "activity", ...(s.compare ? [`phones@${s.compare}`] : [])];
}

/**
 * The options of a session. @param {Settings} s @param {number} rate
 * @param {{tentative?: boolean, opus?: boolean}} can what server and browser can do: phones that are not
 *   settled too, which older servers do not have; Opus
 * @returns {import("./shoal.js").Options}
 */
export function optionsOf(s, rate, { tentative = true, opus = true } = {}) {
  return {
    rate,
    depth: depthOf(s),
    chunk_ms: s.chunk,
    output: outputsOf(s),
    encoding: "f16",
    ...(tentative ? { tentative: "on" } : {}),
    ...(s.model ? { model: s.model } : {}),
    ...(s.program ? { program: s.program } : {}),
    ...(s.lm ? {} : { lm: "off" }),
    ...(s.opus && opus && OPUS_RATES.includes(rate) ? { format: "opus" } : {}),
  };
}

/**
 * A server refused Opus itself, and not what it heard in it.
 * @param {import("./shoal.js").ShoalFailure} failure @param {import("./shoal.js").Options} asked
 */
export const refusedOpus = (failure, asked) =>
  asked.format === "opus" &&
  failure.ref === "format" &&
  /^(unsupported|bad_option)$/.test(failure.code);

const ANEW = ["lm", "opus", "model", "program", "server"];

/**
 * What a `set` must say to get from one to the other; null: a new session is needed.
 * @param {Settings} from @param {Settings} to
 */
export function changeOf(from, to) {
  if (ANEW.some(name => from[name] !== to[name])) return null;
  const change = {};
  if (String(depthOf(from)) !== String(depthOf(to))) change.depth = depthOf(to);
  if (String(outputsOf(from)) !== String(outputsOf(to))) change.output = outputsOf(to);
  if (from.chunk !== to.chunk) change.chunk_ms = to.chunk;
  return change;
}

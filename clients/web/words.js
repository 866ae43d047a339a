/* words.js - a sentence for everything that can go wrong, and numbers as people read them */

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

/** @param {string} name of a file */
export function fileTrouble(name) {
  return trouble(
    `${name} is no sound that this browser reads.`,
    "WAV, FLAC, MP3, Ogg and M4A mostly work: ffmpeg -i FILE OUT.wav makes one.",
    false,
  );
}

/** @param {import("./shoal-wire.js").ShoalFailure} f @returns {Trouble} */
export function sessionTrouble(f) {
  switch (f.cause) {
    case "unreachable":
      return trouble("The server does not answer.", "Is shoald still running?", true, true);
    case "full":
      return trouble("The server is full.", f.message, true, true);
    case "restarting":
      return trouble("The server restarts.", "It goes on as soon as it is back.", true, true);
    case "lost":
      return trouble("The connection was lost.", f.message, true, true);
    case "rejected":
      return trouble("The server refused this.", f.message, true);
    default:
      return trouble("Something is broken.", `${f.message} Please report it.`, true);
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

/**
 * The row of GET /v1/depths for a depth, at the chunk in use where the server tells it.
 * @param {any} prices the page @param {number} depth @param {number} chunk
 */
export function priceOf(prices, depth, chunk) {
  const row = prices?.depths?.find(d => d.depth === depth);
  if (!row) return null;
  const own = row.chunks?.find(c => c.chunk_ms === chunk);
  return { chunk_ms: prices.chunk_ms, ...row, ...own };
}

/** "6.1 ms of CPU a second, 164 streams a core, 36.1 % of phones wrong" */
export function priceWords(row) {
  if (!row) return "";
  const few = x => (x >= 10 ? Math.round(x) : x?.toFixed(1));
  const per = row.per == null ? "" : `, ${(100 * row.per).toFixed(1)} % of phones wrong`;
  return `${few(row.cpu_ms)} ms of CPU a second, ${few(row.streams)} streams a core${per}`;
}

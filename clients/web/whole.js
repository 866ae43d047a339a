/* whole.js - is all of a sound file there, by its own bytes?
 *
 *     WAV     the size of its data chunk against what follows it
 *     FLAC    the number of samples in its first block
 *     Ogg     the last page of a whole one has the end mark, and is there in full
 *     others  (MP3) do not say, or (MP4) cannot be decoded without their end
 *
 * Browsers decode what there is and say nothing. As in clients/file/file_check.c.
 */

/** Decoders leave out their delay, encoders round up to frames: less is no loss. */
const TOLERANCE_S = 0.15;

/**
 * seconds: of the whole, by its header, 0 where it does not say. share: of its sound that is there,
 * by bytes, NaN: not all, who knows how much.
 * @typedef {{seconds: number, share: number}} Promised
 */

const is = (view, at, text) =>
  at + text.length <= view.byteLength &&
  [...text].every((c, i) => view.getUint8(at + i) === c.charCodeAt(0));

/** Writers to pipes leave the size at its most, one that never came to its end leaves 0. */
function wavShare(view) {
  for (let at = 12; at + 8 <= view.byteLength;) {
    const size = view.getUint32(at + 4, true),
      there = view.byteLength - at - 8;
    if (is(view, at, "data")) return size && size < 0x7fff0000 ? Math.min(1, there / size) : 1;
    at += 8 + size + (size & 1);
  }
  return 1;
}

const flacSeconds = view =>
  ((view.getUint8(21) & 15) * 2 ** 32 + view.getUint32(22)) / (view.getUint32(18) >>> 12);

function oggShare(view) {
  let at = view.byteLength - 27; // the least that a page has
  while (at > 0 && !is(view, at, "OggS")) at--;
  const segments = view.getUint8(at + 26);
  let end = at + 27 + segments;
  for (let i = 0; i < segments && end <= view.byteLength; i++) end += view.getUint8(at + 27 + i);
  return view.getUint8(at + 5) & 4 && end <= view.byteLength ? 1 : NaN;
}

/** @param {ArrayBuffer} bytes of a file @returns {Promised} */
export function promised(bytes) {
  const view = new DataView(bytes);
  if (is(view, 0, "RIFF") && is(view, 8, "WAVE")) return { seconds: 0, share: wavShare(view) };
  if (is(view, 0, "fLaC") && view.byteLength >= 26) return { seconds: flacSeconds(view), share: 1 };
  if (is(view, 0, "OggS") && view.byteLength >= 27) return { seconds: 0, share: oggShare(view) };
  return { seconds: 0, share: 1 };
}

/**
 * What is to be told of a file that ends early; null: all is there.
 * @param {Promised} promised @param {number} there seconds that were decoded
 * @returns {{there: number, whole: number} | null} whole: NaN: the file does not say
 */
export function cutOff({ seconds, share }, there) {
  const whole = seconds || there / share;
  return whole <= there + TOLERANCE_S ? null : { there, whole };
}

/* phones.js - the classes that the model hears: how they are written, grouped and coloured
 *
 * Rows of the picture are grouped by manner of articulation, so that what is confused lies close
 * together. Colours are those of Okabe and Ito, which colour-blind people tell apart; they only
 * repeat what order and labels say already. IPA and example words are the server's (/v1/model).
 */

/** name, colour, labels */
const MANNERS = [
  ["silence", "#8a8f98", "SIL"],
  ["vowel", "#e69f00", "IY IH EH AE AH AA AO UH UW ER"],
  ["diphthong", "#b8a200", "EY AY OY AW OW"],
  ["approximant", "#009e73", "W Y R L"],
  ["nasal", "#56b4e9", "M N NG"],
  ["fricative", "#0072b2", "V DH Z ZH F TH S SH HH"],
  ["affricate", "#cc79a7", "JH CH"],
  ["stop", "#d55e00", "B D G P T K"],
];

/** @typedef {{label: string, ipa: string, word: string, manner: string, color: string}} Phone */

/** @type {Map<string, Phone>} */
export const PHONES = new Map(
  MANNERS.flatMap(([manner, color, labels]) =>
    labels
      .split(" ")
      .map(label => [label, /** @type {Phone} */ ({ label, ipa: label, word: "", manner, color })]),
  ),
);

/** Take IPA and examples from `phones` of /v1/model; an older server has none. */
export function learn(phones) {
  for (const { label, ipa, example } of phones ?? []) {
    const phone = PHONES.get(label);
    if (phone && ipa) Object.assign(phone, { ipa, word: example ?? "" });
  }
}

/** What is known of a label, also of one that another model has. @returns {Phone} */
export function phoneOf(label) {
  return PHONES.get(label) ?? { label, ipa: label, word: "", manner: "other", color: "#8a8f98" };
}

/**
 * The order of rows for a model's labels: class of each row, from the top. Labels that are not in
 * the table follow at the bottom.
 * @param {string[]} labels
 */
export function rowOrder(labels) {
  const known = [...PHONES.keys()].map(l => labels.indexOf(l)).filter(i => i >= 0);
  return [...known, ...labels.keys()].filter((c, i, all) => all.indexOf(c) === i);
}

/** "IH, ɪ as in fIt: a vowel" */
export function describe(label) {
  const p = phoneOf(label);
  if (p.manner === "silence") return "silence";
  const word = p.word ? ` as in ${p.word}` : "";
  return `${p.label}, ${p.ipa}${word}: ${/^[aeiou]/.test(p.manner) ? "an" : "a"} ${p.manner}`;
}

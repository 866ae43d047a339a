/* phones.js - the classes that the model hears: how they are written, grouped and coloured
 *
 * Rows of the picture are grouped by manner of articulation, so that what is confused lies close
 * together. Colours are those of Okabe and Ito, which colour-blind people tell apart; they only
 * repeat what order and labels say already.
 */

/** name, colour, [label, IPA, example with the sound in capitals]... */
const MANNERS = [
  ["silence", "#8a8f98", ["SIL", "␣", "silence"]],
  [
    "vowel",
    "#e69f00",
    ["IY", "i", "fEEt"],
    ["IH", "ɪ", "fIt"],
    ["EH", "ɛ", "bEd"],
    ["AE", "æ", "cAt"],
    ["AH", "ʌ", "cUt, About"],
    ["AA", "ɑ", "fAther"],
    ["AO", "ɔ", "lAW"],
    ["UH", "ʊ", "bOOk"],
    ["UW", "u", "fOOd"],
    ["ER", "ɝ", "bIRd"],
  ],
  [
    "diphthong",
    "#b8a200",
    ["EY", "eɪ", "dAY"],
    ["AY", "aɪ", "mY"],
    ["OY", "ɔɪ", "bOY"],
    ["AW", "aʊ", "nOW"],
    ["OW", "oʊ", "gO"],
  ],
  [
    "approximant",
    "#009e73",
    ["W", "w", "We"],
    ["Y", "j", "Yes"],
    ["R", "ɹ", "Red"],
    ["L", "l", "Let"],
  ],
  ["nasal", "#56b4e9", ["M", "m", "Me"], ["N", "n", "No"], ["NG", "ŋ", "siNG"]],
  [
    "fricative",
    "#0072b2",
    ["V", "v", "Very"],
    ["DH", "ð", "THis"],
    ["Z", "z", "Zoo"],
    ["ZH", "ʒ", "viSion"],
    ["F", "f", "Fish"],
    ["TH", "θ", "THin"],
    ["S", "s", "See"],
    ["SH", "ʃ", "SHe"],
    ["HH", "h", "He"],
  ],
  ["affricate", "#cc79a7", ["JH", "dʒ", "Joy"], ["CH", "tʃ", "CHin"]],
  [
    "stop",
    "#d55e00",
    ["B", "b", "Bed"],
    ["D", "d", "Day"],
    ["G", "ɡ", "Go"],
    ["P", "p", "Pen"],
    ["T", "t", "Tea"],
    ["K", "k", "Key"],
  ],
];

/** @typedef {{label: string, ipa: string, word: string, manner: string, color: string}} Phone */

/** @type {Map<string, Phone>} */
export const PHONES = new Map(
  MANNERS.flatMap(([manner, color, ...list]) =>
    list.map(([label, ipa, word]) => [
      label,
      /** @type {Phone} */ ({ label, ipa, word, manner, color }),
    ]),
  ),
);

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

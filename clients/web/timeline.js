/* timeline.js - what a page knows of the sound so far, as pure data
 *
 * One time line in seconds of captured sound, from the first start on; sessions come and go on it,
 * each with a base that is added to its own times. Messages of docs/protocol.md go in by take(); the
 * view reads. Lane 0 holds the phones of the session's depth, lane 1 those of the depth it is
 * compared with (outputs with an @). A label is placed where its phone was first said to begin and
 * stays there (`at`), though the decoder may move the begin by a frame or two while it is tentative:
 * what is read must not move sideways.
 */

export const FRAMES = 50; // a second
export const KEEP_S = 120;

/** at: where its label stands.
 * @typedef {{phone: string, start: number, end: number, at?: number, confidence?: number,
 *   stable_ms?: number}} Heard */

/** A begin that moved by no more is the same phone's. */
const SAME_S = 0.065;

/**
 * Phones of a message with the places of those that were shown before: the same phone, a begin
 * that hardly moved.
 * @param {Heard[]} shown @param {Heard[]} phones @returns {Heard[]}
 */
export function inPlace(shown, phones) {
  const left = [...shown];
  return phones.map(p => {
    const i = left.findIndex(q => q.phone === p.phone && Math.abs(q.start - p.start) <= SAME_S);
    const [before] = i < 0 ? [] : left.splice(i, 1);
    return { ...p, at: before?.at ?? p.start };
  });
}

/** The values a middle and a tail of numbers, of the last so many. */
export class Recent {
  constructor(most = 50) {
    this.most = most;
    this.values = [];
  }
  add(value) {
    this.values.push(value);
    if (this.values.length > this.most) this.values.shift();
  }
  /** @param {number} share 0.5 is the median; NaN where there is nothing */
  percentile(share) {
    const sorted = [...this.values].sort((a, b) => a - b);
    return sorted.length
      ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
      : NaN;
  }
}

export class Timeline {
  constructor() {
    this.clear();
  }

  clear() {
    /** @type {{settled: Heard[], tentative: Heard[]}[]} */
    this.lanes = [
      { settled: [], tentative: [] },
      { settled: [], tentative: [] },
    ];
    /** named: another model or program begins. @type {{time: number, depth: number, reason: string, named: string}[]} */
    this.marks = [];
    /** @type {{from: number, to: number}[]} speech; to is Infinity while it lasts */
    this.speech = [];
    /** @type {{from: number, to: number}[]} sound that no session heard */
    this.gaps = [];
    this.lost = 0; // seconds, of all gaps so far
    this.labels = [];
    this.classes = 0;
    this.frames = new Float32Array(0); // [KEEP_S * FRAMES][classes], a ring by frame number
    this.firstFrame = this.nextFrame = 0;
    this.levels = new Float32Array(KEEP_S * FRAMES); // peak of each 20 ms, a ring
    this.heardUntil = 0;
    this.base = 0;
    this.unanswered = NaN; // sound from here on has gone to the session and has no results yet
    this.rate = 16000;
    this.depth = 0;
    this.model = this.program = ""; // of the session
    this.chunkMs = 160;
    this.computedLag = NaN;
    this.settledLag = new Recent();
    this.shownLag = new Recent();
    this.serverMs = new Recent();
    this.shownUntil = 0;
    this.phones = 0;
  }

  /** A session begins: its time 0 is `now`. Rounded to a frame, so that rows meet. */
  begin(now, rate) {
    this.base = Math.round(now * FRAMES) / FRAMES;
    this.unanswered = this.base;
    this.rate = rate;
    this.nextFrame = Math.max(this.nextFrame, Math.round(this.base * FRAMES));
    for (const lane of this.lanes) lane.tentative = [];
    this.#endSpeech(this.base);
  }

  /** The peak of a block that has been captured. */
  addLevel(from, to, peak) {
    const first = Math.floor(from * FRAMES),
      last = Math.max(first, Math.ceil(to * FRAMES) - 1);
    for (let f = first; f <= last; f++) this.levels[f % this.levels.length] = peak;
    this.heardUntil = to;
  }

  level(frame) {
    const newest = Math.ceil(this.heardUntil * FRAMES);
    return frame >= 0 && frame < newest && frame >= newest - this.levels.length
      ? this.levels[frame % this.levels.length]
      : 0;
  }

  /** Sound from..to went to nobody. */
  lose(from, to) {
    const last = this.gaps.at(-1);
    if (this.unanswered < from) from = this.unanswered; // what was sent is lost with the rest
    this.unanswered = NaN;
    if (last && from - last.to < 0.1) from = last.to;
    if (to <= from) return;
    this.lost += to - from;
    if (last?.to === from) last.to = to;
    else this.gaps.push({ from, to });
  }

  /** @param {any} m a message @param {number} now seconds of sound captured */
  take(m, now) {
    if (m.processed !== undefined) this.computedLag = now - this.base - m.processed / this.rate;
    const acts = {
      ready: () => this.#ready(m),
      phones: () => this.#phones(m, now),
      features: () => this.#rows(m),
      activity: () => this.#activity(m),
      changed: () => this.#changed(m),
      done: () => this.#done(m),
    };
    if (Object.hasOwn(acts, m.type)) acts[m.type]();
    this.#forget(now - KEEP_S);
  }

  /** Log posteriors of a frame, or null where there are none. */
  row(frame) {
    if (frame < this.firstFrame || frame >= this.nextFrame || !this.classes) return null;
    const at = (frame % (KEEP_S * FRAMES)) * this.classes;
    return this.frames.subarray(at, at + this.classes);
  }

  #ready(m) {
    if (m.classes !== this.classes || String(m.labels) !== String(this.labels)) {
      this.classes = m.classes;
      this.frames = new Float32Array(KEEP_S * FRAMES * m.classes).fill(NaN);
      this.firstFrame = this.nextFrame = Math.round(this.base * FRAMES);
    }
    this.labels = m.labels;
    this.chunkMs = m.options?.chunk_ms ?? this.chunkMs;
    const { model = "", program = "" } = m.options ?? {};
    const named = !this.depth
      ? ""
      : model !== this.model
        ? model
        : program !== this.program
          ? program
          : "";
    Object.assign(this, { model, program });
    if (named || m.depth !== this.depth) this.#mark(this.base, m.depth, "set", named);
  }

  #mark(time, depth, reason, named = "") {
    this.depth = depth;
    this.marks.push({ time, depth, reason, named });
  }

  #changed(m) {
    this.chunkMs = m.chunk_ms ?? this.chunkMs;
    if (m.depth !== this.depth) this.#mark(this.base + m.from_frame / FRAMES, m.depth, m.reason);
  }

  #place(p) {
    return { ...p, start: this.base + p.start, end: this.base + p.end };
  }

  #phones(m, now) {
    const lane = this.lanes[m.tap ? 1 : 0];
    const all = [...m.phones, ...(m.tentative ?? [])].map(p => this.#place(p));
    const placed = inPlace(lane.tentative, all),
      settled = placed.slice(0, m.phones.length);
    lane.settled.push(...settled);
    lane.tentative = placed.slice(m.phones.length);
    if (m.tap) return;
    this.phones += settled.length;
    for (const p of settled) this.settledLag.add(now - p.end);
    // a phone is shown when it first appears as one that has ended, tentative or not
    for (const p of [...settled, ...lane.tentative.slice(0, -1)])
      if (p.start >= this.shownUntil) {
        this.shownLag.add(now - p.end);
        this.shownUntil = p.end - 0.01;
      }
  }

  #rows(m) {
    if (m.kind !== "posteriors" || m.tap || m.dim !== this.classes) return;
    if (m.frames) this.serverMs.add((m.queued_us + m.computed_us) / 1000);
    const first = Math.round(this.base * FRAMES) + m.first_frame;
    for (let f = this.nextFrame; f < first; f++) this.#slot(f).fill(NaN);
    for (let i = 0; i < m.frames; i++)
      this.#slot(first + i).set(m.values.subarray(i * m.dim, (i + 1) * m.dim));
    this.nextFrame = Math.max(this.nextFrame, first + m.frames);
    this.unanswered = this.nextFrame / FRAMES;
    this.firstFrame = Math.max(this.firstFrame, this.nextFrame - KEEP_S * FRAMES);
  }

  #slot(frame) {
    const at = (frame % (KEEP_S * FRAMES)) * this.classes;
    return this.frames.subarray(at, at + this.classes);
  }

  #activity(m) {
    if (m.tap) return;
    if (m.state === "speech") this.speech.push({ from: this.base + m.time, to: Infinity });
    else this.#endSpeech(this.base + m.time);
  }

  #endSpeech(time) {
    const last = this.speech.at(-1);
    if (last?.to === Infinity) last.to = time;
  }

  #done(m) {
    for (const lane of this.lanes) {
      lane.tentative = [];
      const last = lane.settled.at(-1); // the last frame covers padding
      if (last && m.seconds)
        last.end = Math.min(last.end, Math.max(last.start, this.base + m.seconds));
    }
    this.unanswered = NaN;
    this.#endSpeech(this.base + (m.seconds ?? 0));
  }

  #forget(before) {
    for (const lane of this.lanes) while (lane.settled[0]?.end < before) lane.settled.shift();
    for (const list of [this.speech, this.gaps]) while (list[0]?.to < before) list.shift();
    while (this.marks[0]?.time < before) this.marks.shift();
  }
}

/**
 * What a lane says that the other does not: those of `ours` for which `theirs` has no phone of the
 * same label that overlaps by half of the shorter one.
 * @param {Heard[]} ours @param {Heard[]} theirs @returns {Set<Heard>}
 */
export function differences(ours, theirs) {
  const agrees = (a, b) =>
    a.phone === b.phone &&
    Math.min(a.end, b.end) - Math.max(a.start, b.start) >=
      0.5 * Math.min(a.end - a.start, b.end - b.start);
  return new Set(ours.filter(a => !theirs.some(b => agrees(a, b))));
}

/**
 * Utterances as text: told once, when speech has ended and its phones are settled.
 */
export class Utterances {
  constructor() {
    this.told = -Infinity; // sound before this has been told
  }

  /**
   * @param {Timeline} line @param {number} heard seconds that results cover
   * @returns {{from: number, to: number, phones: Heard[]}[]}
   */
  take(line, heard) {
    const { settled, tentative } = line.lanes[0],
      found = [];
    for (const { from, to } of line.speech) {
      if (to === Infinity || to <= this.told) continue;
      const waiting = tentative.some(p => p.start < to);
      if (heard < to + 0.2 || (waiting && heard < to + 1.6)) break;
      // speech is told to begin late rather than early: its first phones may lie before
      const phones = settled.filter(
        p => p.start >= Math.max(this.told, from - 0.5) && p.start < to + 0.1,
      );
      this.told = to + 0.1;
      if (phones.length) found.push({ from, to, phones });
    }
    return found;
  }
}

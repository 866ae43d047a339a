/* view.js - the picture: level, speech, labels, posteriors, time, on one canvas
 *
 *     level      what the microphone hears, before any server has a say
 *     speech     a bar where the server hears speech
 *     lanes      phones of the session's depth, and of the one it is compared with
 *     rows       posteriors, a row a class, grouped by manner
 *     axis       seconds
 *
 * Everything lies at its time: x = right - (end - t) * speed. So a label never moves against the
 * picture; it turns from faint to solid where it was first shown. The time at the right edge is now; a frozen
 * picture keeps its own. Who wants less motion gets pages that fill up instead of a moving picture.
 */
import { describe, phoneOf, rowOrder } from "./phones.js";
import { Strip } from "./strip.js";
import { FRAMES, differences } from "./timeline.js";

const LEVEL = 34,
  SPEECH = 6,
  LANE_ROW = 17,
  AXIS = 18,
  GUTTER = 56,
  CAPTION = 15,
  HATCH = 16;

/** Where everything is, for a width. @param {number} width @param {number} rows @param {number} lanes */
export function layout(width, rows, lanes) {
  const rowHeight = width < 600 ? 8 : 10,
    lanesTop = CAPTION + LEVEL + SPEECH + 4;
  const rowsTop = lanesTop + lanes * (2 * LANE_ROW + 8),
    axisTop = rowsTop + rows * rowHeight;
  return {
    width,
    rows,
    lanes,
    rowHeight,
    lanesTop,
    rowsTop,
    axisTop,
    height: axisTop + AXIS,
    left: GUTTER,
    right: width - 4,
    laneHeight: 2 * LANE_ROW + 8,
    speed: width < 600 ? 150 : 200, // pixels a second
  };
}

/** The time at the right edge. @param {number} now @param {number} span seconds that are seen */
export function rightEdge(now, span, calm) {
  return calm ? (Math.floor(now / span) + 1) * span : now;
}

export class View {
  /** @param {HTMLCanvasElement} canvas @param {import("./timeline.js").Timeline} line */
  constructor(canvas, line) {
    this.canvas = canvas;
    this.line = line;
    this.context = canvas.getContext("2d");
    this.strip = new Strip();
    this.ipa = true;
    this.compare = 0;
    this.calm = false;
    this.frozenAt = NaN; // time at the right edge of a frozen picture
    this.labels = null;
    this.restyle();
  }

  /** Colours from the style sheet: at the start and when the theme changes. */
  restyle() {
    const style = getComputedStyle(this.canvas),
      of = name => style.getPropertyValue(name).trim();
    this.ink = of("--ink");
    this.faint = of("--faint");
    this.grid = of("--grid");
    this.accent = of("--accent");
    this.load = of("--load");
    this.paper = of("--paper");
    this.dark = of("--dark") === "1";
    this.font = style.fontFamily;
    this.labels = null;
  }

  get frozen() {
    return !Number.isNaN(this.frozenAt);
  }

  draw(now) {
    this.#fit();
    this.strip.update(this.line);
    const g = this.at,
      c = this.context;
    this.span = (g.right - g.left) / g.speed;
    this.end = this.frozen ? this.frozenAt : rightEdge(now, this.span, this.calm);
    this.begin = this.end - this.span;
    c.clearRect(0, 0, g.width, g.height);
    c.save();
    c.beginPath();
    c.rect(g.left, 0, g.right - g.left, g.height);
    c.clip();
    this.#rows();
    this.#level();
    this.#speech();
    this.#gaps();
    this.#axis();
    this.#lanes();
    this.#marks();
    c.restore();
    this.#gutter();
  }

  x(time) {
    return this.at.right - (this.end - time) * this.at.speed;
  }

  #fit() {
    const dpr = globalThis.devicePixelRatio || 1,
      width = this.canvas.clientWidth;
    if (this.line.labels !== this.labels) {
      this.labels = this.line.labels;
      this.order = rowOrder(this.labels);
      this.strip.reset(this.order, this.dark);
    }
    const g = layout(width, this.order.length || 40, this.compare ? 2 : 1);
    if (this.canvas.width !== Math.round(width * dpr) || this.at?.height !== g.height) {
      this.canvas.style.height = `${g.height}px`;
      this.canvas.width = Math.round(width * dpr);
      this.canvas.height = Math.round(g.height * dpr);
    }
    this.context.setTransform(dpr, 0, 0, dpr, 0, 0);
    this.at = g;
  }

  #rows() {
    const { line, at: g } = this;
    const first = Math.max(line.firstFrame, Math.floor(this.begin * FRAMES));
    const end = Math.min(line.nextFrame, Math.ceil(this.end * FRAMES) + 1);
    if (end > first)
      this.strip.draw(
        this.context,
        first,
        end,
        this.x(first / FRAMES),
        g.rowsTop,
        g.speed / FRAMES,
        g.rows * g.rowHeight,
      );
  }

  #level() {
    const { context: c, at: g } = this,
      middle = CAPTION + LEVEL / 2;
    c.fillStyle = this.faint;
    for (let f = Math.max(0, Math.floor(this.begin * FRAMES)); f <= this.end * FRAMES; f++) {
      const peak = this.line.level(f);
      // the square root: a whisper is seen
      const h = Math.max(0.5, (LEVEL / 2) * Math.sqrt(peak));
      c.fillRect(this.x(f / FRAMES), middle - h, g.speed / FRAMES - 1, 2 * h);
      if (peak > 0.98) c.fillRect(this.x(f / FRAMES), CAPTION, g.speed / FRAMES, 2); // clipped
    }
  }

  #speech() {
    const c = this.context;
    c.fillStyle = this.accent;
    for (const { from, to } of this.line.speech) {
      const until = Math.min(to, Math.max(from, this.line.nextFrame / FRAMES));
      c.fillRect(this.x(from), CAPTION + LEVEL, (until - from) * this.at.speed, SPEECH - 2);
    }
  }

  #gaps() {
    const { context: c, at: g } = this;
    const height = g.axisTop - g.lanesTop,
      origin = this.x(0) % HATCH; // so that the lines move with the picture
    c.strokeStyle = this.grid;
    c.lineWidth = 1;
    for (const { from, to } of this.line.gaps) {
      const left = Math.max(g.left, this.x(from)),
        right = Math.min(g.right, this.x(to));
      if (right <= left) continue;
      c.save();
      c.beginPath();
      c.rect(left, g.lanesTop, right - left, height);
      c.clip();
      c.beginPath();
      const first = Math.floor((left - height - origin) / HATCH) * HATCH + origin;
      for (let x = first; x < right; x += HATCH) {
        c.moveTo(x, g.axisTop);
        c.lineTo(x + height, g.lanesTop);
      }
      c.stroke();
      this.#gapWords((left + right) / 2, right - left);
      c.restore();
    }
  }

  #gapWords(middle, room) {
    const { context: c, at: g } = this,
      text = "no server heard this";
    c.font = `13px ${this.font}`;
    const width = c.measureText(text).width + 12,
      y = (g.lanesTop + g.axisTop) / 2;
    if (room < width) return;
    c.fillStyle = this.paper;
    c.fillRect(middle - width / 2, y - 11, width, 22);
    c.fillStyle = this.faint;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillText(text, middle, y);
  }

  #axis() {
    const { context: c, at: g } = this;
    c.font = `11px ${this.font}`;
    c.textAlign = "left";
    c.textBaseline = "middle";
    for (let s = Math.max(0, Math.ceil(this.begin)); s <= this.end; s++) {
      const x = this.x(s);
      c.fillStyle = this.grid;
      c.fillRect(x, g.lanesTop, 1, g.axisTop - g.lanesTop + 5);
      c.fillStyle = this.faint;
      c.fillText(`${s} s`, x + 3, g.axisTop + AXIS / 2 + 1);
    }
  }

  #lanes() {
    const [main, other] = this.line.lanes;
    const seen = lane => lane.settled.filter(p => p.end > this.begin - 1 && p.start < this.end);
    const a = seen(main),
      b = this.compare ? seen(other) : [];
    // only where both have spoken can they differ
    const since = other.settled[0]?.start ?? Infinity;
    const both = Math.min(a.at(-1)?.end ?? 0, b.at(-1)?.end ?? 0);
    const odd = (ours, theirs) =>
      this.compare
        ? differences(
            ours.filter(p => p.start > since - 0.1 && p.end <= both + 0.01),
            theirs,
          )
        : new Set();
    this.#lane(0, main, a, odd(a, b));
    if (this.compare) this.#lane(1, other, b, odd(b, a));
  }

  #lane(number, lane, settled, odd) {
    const top = this.at.lanesTop + number * this.at.laneHeight;
    const first = lane.settled.length - settled.length;
    settled.forEach((p, i) => this.#label(p, top, first + i, true, odd.has(p)));
    lane.tentative.forEach((p, i) => this.#label(p, top, lane.settled.length + i, false, false));
  }

  /** Neighbours take turns in two rows, so that short ones do not cover each other. */
  #label(p, top, number, solid, odd) {
    const c = this.context,
      phone = phoneOf(p.phone),
      from = this.x(p.start),
      x = this.x(p.at ?? p.start),
      y = top + (number % 2) * LANE_ROW;
    const text = this.ipa ? phone.ipa : p.phone,
      width = (p.end - p.start) * this.at.speed - 1;
    // the longer it stands, the less likely it is taken back
    c.globalAlpha = solid ? 1 : 0.45 + 0.3 * Math.min(1, (p.stable_ms ?? 0) / 200);
    c.fillStyle = phone.color;
    c.fillRect(from, top + 2 * LANE_ROW, width, solid ? 4 : 2);
    c.font = `${solid ? 600 : 400} ${this.ipa ? 15 : 12}px ${this.font}`;
    c.textAlign = "left";
    c.textBaseline = "middle";
    if (odd) {
      c.strokeStyle = this.load;
      c.lineWidth = 1.5;
      c.strokeRect(x - 1, y + 1, c.measureText(text).width + 5, LANE_ROW - 2);
    }
    c.fillStyle = this.ink;
    c.fillText(text, x + 1.5, y + LANE_ROW / 2 + 1);
    c.globalAlpha = 1;
  }

  #marks() {
    const { context: c, at: g } = this;
    c.font = `11px ${this.font}`;
    c.textBaseline = "top";
    c.textAlign = "left";
    this.line.marks.forEach(({ time, depth, reason, named }, i, all) => {
      const x = this.x(time),
        why = reason === "load" ? " (load)" : "",
        text = `${named ? `${named}, ` : ""}depth ${depth}${why}`;
      c.fillStyle = reason === "load" ? this.load : this.accent;
      c.fillRect(x, 0, 1.5, g.axisTop);
      // of marks that follow closely the last one has room for its words
      const next = all[i + 1] ? this.x(all[i + 1].time) : Infinity;
      if (x + 8 + c.measureText(text).width < next) c.fillText(text, x + 4, 1);
    });
  }

  #gutter() {
    const { context: c, at: g } = this;
    c.textBaseline = "middle";
    c.textAlign = "right";
    c.fillStyle = this.faint;
    c.font = `11px ${this.font}`;
    const depths = [this.line.depth, this.compare];
    for (let i = 0; i < g.lanes; i++)
      if (depths[i])
        c.fillText(`depth ${depths[i]}`, g.left - 4, g.lanesTop + i * g.laneHeight + LANE_ROW);
    (this.order ?? []).forEach((klass, i) => {
      const phone = phoneOf(this.labels[klass]),
        y = g.rowsTop + i * g.rowHeight;
      c.fillStyle = phone.color;
      c.fillRect(g.left - 4, y, 3, g.rowHeight);
      c.fillStyle = this.ink;
      c.font = `${g.rowHeight + (this.ipa ? 1 : -1)}px ${this.font}`;
      const text = this.ipa ? phone.ipa : phone.label;
      c.fillText(text, g.left - (i % 2 ? 32 : 10), y + g.rowHeight / 2);
    });
  }

  /** Words for what lies at a point, or "". */
  whatIsAt(x, y) {
    const g = this.at,
      time = this.end - (g.right - x) / g.speed;
    if (!g || x > g.right) return "";
    if (y >= g.lanesTop && y < g.rowsTop && x >= g.left) return this.#labelAt(time, y);
    const row = Math.floor((y - g.rowsTop) / g.rowHeight);
    if (row < 0 || row >= g.rows || !this.order?.length) return "";
    const klass = this.order[row],
      words = describe(this.labels[klass]);
    const p =
      x >= g.left ? Math.exp(this.line.row(Math.floor(time * FRAMES))?.[klass] ?? NaN) : NaN;
    return Number.isNaN(p) ? words : `${words} (${Math.round(100 * p)} % at ${time.toFixed(2)} s)`;
  }

  #labelAt(time, y) {
    const lane = this.line.lanes[Math.floor((y - this.at.lanesTop) / this.at.laneHeight)];
    const all = [...(lane?.settled ?? []), ...(lane?.tentative ?? [])];
    const p = all.find(q => time >= q.start && time < q.end);
    if (!p) return "";
    const sure = p.confidence === undefined ? "" : `, ${Math.round(100 * p.confidence)} % sure`;
    return `${describe(p.phone)} (${p.start.toFixed(2)} to ${p.end.toFixed(2)} s${sure})`;
  }
}

/* strip.js - posteriors as pixels: one column a frame, one row a class, a ring as the time line's
 *
 * Columns are painted once, when they come; drawing the picture is then copying one or two
 * rectangles, whatever its width. Brightness is the square root of the probability: the model is
 * sharp, and what it holds for half likely should be seen.
 */
import { FRAMES, KEEP_S } from "./timeline.js";

const COLUMNS = KEEP_S * FRAMES;

/** Cividis, which colour-blind people see as others do, from nothing to certain. */
const DARK = ["#10151d", "#0b2f63", "#3f4f6c", "#7b7b78", "#bcae6c", "#ffea46"];
const LIGHT = ["#ffffff", "#d9dbe2", "#9aa3b8", "#5a6a90", "#263f74", "#00204d"];

function channels(color) {
  return [1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16));
}

/** 256 RGB triples. @param {boolean} dark */
export function ramp(dark) {
  const stops = (dark ? DARK : LIGHT).map(channels),
    table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1),
      k = Math.min(stops.length - 2, Math.floor(at));
    for (let c = 0; c < 3; c++)
      table[3 * i + c] = stops[k][c] + (at - k) * (stops[k + 1][c] - stops[k][c]);
  }
  return table;
}

export class Strip {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.painted = 0;
    this.order = [];
  }

  /** Paint everything anew, for other rows or colours. @param {number[]} order @param {boolean} dark */
  reset(order, dark) {
    this.order = order;
    this.colors = ramp(dark);
    this.canvas.width = COLUMNS;
    this.canvas.height = Math.max(1, order.length);
    this.painted = 0;
  }

  /** @param {import("./timeline.js").Timeline} line */
  update(line) {
    if (!this.order.length) return;
    const from = Math.max(this.painted, line.firstFrame);
    for (let f = from; f < line.nextFrame; f++) this.#column(line, f);
    this.painted = Math.max(this.painted, line.nextFrame);
  }

  #column(line, frame) {
    const row = line.row(frame),
      rows = this.order.length;
    const image = this.context.createImageData(1, rows);
    for (let i = 0; i < rows; i++) {
      const p = Math.exp(row[this.order[i]] / 2); // of log probability: the square root
      if (!(p >= 0)) continue; // no frame: nothing to see
      const level = 3 * Math.min(255, Math.round(255 * p));
      image.data.set(this.colors.subarray(level, level + 3), 4 * i);
      image.data[4 * i + 3] = 255;
    }
    this.context.putImageData(image, frame % COLUMNS, 0);
  }

  /** Frames [first, end) into a rectangle that is so many pixels a frame. */
  draw(to, first, end, x, y, perFrame, height) {
    to.imageSmoothingEnabled = false;
    for (let f = first; f < end;) {
      const at = f % COLUMNS,
        n = Math.min(end - f, COLUMNS - at);
      const left = x + (f - first) * perFrame;
      to.drawImage(this.canvas, at, 0, n, this.order.length, left, y, n * perFrame, height);
      f += n;
    }
  }
}

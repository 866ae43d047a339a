/* fake.js - a WebSocket that a test plays the server of */

export class FakeSocket {
  static last = null;

  constructor(url, protocol) {
    Object.assign(this, { url, protocol, sent: [], bufferedAmount: 0, closedWith: null });
    FakeSocket.last = this;
  }
  send(data) {
    this.sent.push(data);
  }
  close(code) {
    this.closedWith = code;
  }

  /* what the server does */
  accept(ready = {}) {
    this.onopen();
    this.say({ type: "ready", limits: { max_message_bytes: 1048576 }, ...ready });
  }
  say(message) {
    this.onmessage({ data: typeof message === "object" ? JSON.stringify(message) : message });
  }
  packet(buffer) {
    this.onmessage({ data: buffer });
  }
  hangUp(code, reason = "") {
    this.onclose({ code, reason });
  }
  texts() {
    return this.sent.filter(m => typeof m === "string").map(m => JSON.parse(m));
  }
  audio() {
    return this.sent.filter(m => typeof m !== "string");
  }
}

export const env = { WebSocket: FakeSocket };

/** A feature packet as docs/protocol.md, 5, lays it out. */
export function packet({
  kind = 1,
  encoding = 1,
  head = 64,
  first = 0,
  rows,
  dim,
  depth = 6,
  tap = 0,
  row_ms = 0,
}) {
  const size = encoding === 2 ? 2 : 4;
  const view = new DataView(new ArrayBuffer(head + rows.length * size));
  [0x53, 0x48, 0x4f, 0x4c, 1, kind, encoding, depth].forEach((b, i) => view.setUint8(i, b));
  view.setUint16(8, head, true);
  view.setBigUint64(16, BigInt(first), true);
  view.setUint16(48, dim ? rows.length / dim : 0, true);
  view.setUint16(50, dim, true);
  view.setUint8(60, tap);
  if (row_ms) view.setUint32(64, row_ms, true);
  rows.forEach((v, i) =>
    size === 2 ? view.setUint16(head + 2 * i, v, true) : view.setFloat32(head + 4 * i, v, true),
  );
  return view.buffer;
}

/** An encoder (WebCodecs) whose packets come later, as a browser's do: [number, first sample x 100, last]. */
export class FakeEncoder {
  static all = [];
  static async isConfigSupported({ codec, sampleRate }) {
    return { supported: codec === "opus" && sampleRate !== 8000 };
  }

  constructor({ output, error }) {
    Object.assign(this, { output, error, queue: [], frames: 0, state: "unconfigured" });
    FakeEncoder.all.push(this);
  }
  get encodeQueueSize() {
    return this.queue.filter(m => typeof m !== "function").length;
  }
  configure(config) {
    Object.assign(this, { config, state: "configured" });
  }
  encode({ samples }) {
    if (this.state !== "configured") throw new Error(`encode() when ${this.state}`);
    const ends = [samples[0], samples.at(-1)].map(s => Math.round(100 * s));
    this.queue.push(Uint8Array.of(this.frames++, ...ends));
  }
  flush() {
    return new Promise(done => this.queue.push(done));
  }
  close() {
    this.state = "closed";
  }

  /** What a browser does when it comes to it: so many of the packets and flushes. */
  async work(n = this.queue.length) {
    for (const m of this.queue.splice(0, n)) {
      if (typeof m === "function") m();
      else this.output({ byteLength: m.length, copyTo: to => to.set(m) });
      await null;
    }
  }
}

export class FakeAudioData {
  constructor({ data, ...rest }) {
    Object.assign(this, rest, { samples: Float32Array.from(data) });
  }
  close() {}
}

export const codecs = { AudioEncoder: FakeEncoder, AudioData: FakeAudioData };

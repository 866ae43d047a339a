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

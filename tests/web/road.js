/* road.js - a road to a server that can be cut and closed */
import net from "node:net";

/**
 * close(), open(): for new connections, too. @param {string} to HOST:PORT
 * @param {boolean} kept the server may keep sessions, else nobody hears of it
 */
export async function road(to, kept = true) {
  const [host, port] = to.split(":"),
    sockets = new Set();
  let barred = false;
  const server = net.createServer(near => {
    if (barred) return near.destroy();
    const far = net.connect(Number(port), host);
    for (const s of [near, far]) sockets.add(s.on("error", () => {}));
    near.pipe(far);
    far.on("data", bytes => near.write(kept ? bytes : hide(bytes)));
    far.on("end", () => near.end());
  });
  await new Promise(done => server.listen(0, "127.0.0.1", () => done(0)));
  const { port: own } = /** @type {any} */ (server.address());
  const cut = () => sockets.forEach(s => s.destroy());
  return {
    address: `127.0.0.1:${own}`,
    cut,
    bar: () => ((barred = true), cut()),
    open: () => (barred = false),
    close: () => (cut(), server.close()),
  };
}

/** A server that keeps no sessions says no "resume". */
function hide(bytes) {
  const at = bytes.indexOf('"resume":"');
  if (at >= 0) bytes.write("x", at + 1);
  return bytes;
}

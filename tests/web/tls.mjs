/* tls.mjs - shoal.js in Node with a certificate, as clients/web/README.md has it: tls.mjs URL CA [CERT KEY] */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { features } from "../../clients/web/shoal.js";

const WebSocket = createRequire(import.meta.url)("ws");
const [url, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map(f => readFileSync(f));

class WithCertificate extends WebSocket {
  constructor(to, protocols) {
    super(to, protocols, { ca, cert, key });
  }
}
const options = { rate: 16000, depth: 1, output: "phones" };
const r = await features(url, new Float32Array(16000), options, { WebSocket: WithCertificate });
console.log(r.done.frames);

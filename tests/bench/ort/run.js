// run.js - a model of training/export_onnx.py in ONNX Runtime, single-threaded
//
//     node run.js MODEL.onnx [--batches 1,4,16,64] [--seconds 2] [--no-prepack] [--check DIR]
//                            [--profile PREFIX]
//
// Advances B streams chunk after chunk and prints one line of JSON: for each batch the streams one
// core serves (audio seconds / second), by CPU time of the process (`cpu`) and by the clock
// (`wall`), in two ways:
//
//   `served`   each run's new caches are the next run's inputs. They live in two sets of buffers
//              that change roles (outputs given in advance), so this file copies nothing; but
//              the binding (1.30) also copies every fetched output into a buffer of its own.
//   `bare`     the same graph from full caches, but only the results are fetched. ONNX Runtime
//              computes and writes the new caches all the same (no partial execution), so this
//              is its time without the binding's copies: what a C program would see, at best.
//
// `copies` is the share of `served` time that the binding's copies cost. Comparisons should use
// `bare`, which favours ONNX Runtime.
//
// --check DIR replays the vectors of `export_onnx.py --check` and prints the largest difference
// from the C engine instead.
'use strict';
const fs = require('fs');
const path = require('path');
const ort = require('onnxruntime-node');

const CHUNK_SECONDS = 0.16;
const WARM_CHUNKS = 10;         // the left context (8 chunks) is full before the clock runs
const MEL_VARIANTS = 7;         // different inputs, taken in turn

function options(argv) {
  const o = { batches: [1, 4, 16, 64], seconds: 2, prepack: true };
  for (let i = 2; i < argv.length; i++) {
    if (argv[i] === '--batches') o.batches = argv[++i].split(',').map(Number);
    else if (argv[i] === '--seconds') o.seconds = Number(argv[++i]);
    else if (argv[i] === '--check') o.check = argv[++i];
    else if (argv[i] === '--profile') o.profile = argv[++i];
    else if (argv[i] === '--no-prepack') o.prepack = false;
    else if (!o.model && !argv[i].startsWith('--')) o.model = argv[i];
    else throw new Error(`run.js: '${argv[i]}' is not known`);
  }
  if (!o.model) throw new Error('run.js: which model?');
  return o;
}

function open(o) {
  const session = { intra_op: { allow_spinning: '0' } };
  if (!o.prepack) session.disable_prepacking = '1';
  return ort.InferenceSession.create(o.model, {
    executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1,
    executionMode: 'sequential', graphOptimizationLevel: 'all', extra: { session },
    ...(o.profile ? { enableProfiling: true, profileFilePrefix: o.profile } : {}),
  });
}

// ---- buffers -----------------------------------------------------------------------------

function tensor(meta, batch) {
  const dims = meta.shape.map((d) => (typeof d === 'number' ? d : batch));
  return new ort.Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
}

// Two sets of caches, and the feeds and fetches that read one and write the other.
function buffers(session, batch) {
  const caches = session.inputMetadata.filter((m) => m.name !== 'mel');
  const results = session.outputMetadata.filter((m) => !m.name.startsWith('new_'));
  const sets = [0, 1].map(() => caches.map((m) => tensor(m, batch)));
  const fixed = Object.fromEntries(results.map((m) => [m.name, tensor(m, batch)]));
  const mel = session.inputMetadata.find((m) => m.name === 'mel');
  return [0, 1].map((i) => ({
    feeds: { mel: tensor(mel, batch), ...Object.fromEntries(caches.map((m, n) => [m.name, sets[i][n]])) },
    fetches: { ...fixed, ...Object.fromEntries(caches.map((m, n) => ['new_' + m.name, sets[1 - i][n]])) },
  }));
}

// A seeded normal-ish noise: normalised log-mel has mean 0, deviation 1.
function noise(n, seed) {
  const out = new Float32Array(n);
  let s = seed >>> 0;
  const uniform = () => (s = (Math.imul(s, 1664525) + 1013904223) >>> 0) / 4294967296;
  for (let i = 0; i < n; i++) out[i] = (uniform() + uniform() + uniform() - 1.5) * 2;
  return out;
}

// ---- timing ------------------------------------------------------------------------------

const cpuSeconds = () => {
  const u = process.cpuUsage();
  return (u.user + u.system) * 1e-6;
};
const wallSeconds = () => Number(process.hrtime.bigint()) * 1e-9;

const RESULTS = ['logp', 'embedding'];

// Runs step(i) until `seconds` of CPU time are spent; the first `warm` runs do not count.
async function clock(batch, seconds, warm, step) {
  let cpu = 0, wall = 0, runs = 0;
  for (let i = -warm; runs === 0 || cpuSeconds() - cpu < seconds; i++) {
    if (i === 0) [cpu, wall] = [cpuSeconds(), wallSeconds()];
    await step(i + warm);
    if (i >= 0) runs++;
  }
  [cpu, wall] = [cpuSeconds() - cpu, wallSeconds() - wall];
  const audio = runs * batch * CHUNK_SECONDS;
  return { runs, cpu: audio / cpu, wall: audio / wall, ms_per_run: (1e3 * cpu) / runs };
}

async function measure(session, batch, seconds) {
  const turns = buffers(session, batch), mels = [];
  for (let i = 0; i < MEL_VARIANTS; i++) {
    const t = turns[0].feeds.mel;
    mels.push(new ort.Tensor('float32', noise(t.data.length, i + 1), t.dims));
  }
  const served = await clock(batch, seconds, WARM_CHUNKS, async (i) => {
    const turn = turns[i & 1];
    turn.feeds.mel = mels[i % MEL_VARIANTS];
    await session.run(turn.feeds, turn.fetches);
  });
  const { feeds, fetches } = turns[0];
  const results = Object.fromEntries(RESULTS.map((n) => [n, fetches[n]]));
  const bare = await clock(batch, seconds, 2, async (i) => {
    feeds.mel = mels[i % MEL_VARIANTS];
    await session.run(feeds, results);
  });
  return { batch, served, bare, copies: 1 - served.cpu / bare.cpu };
}

// ---- against the C engine ----------------------------------------------------------------

function floats(dir, name) {
  const bytes = fs.readFileSync(path.join(dir, name + '.f32'));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

// Three streams side by side: the vectors, another signal, the vectors; the third is compared.
async function check(session, dir) {
  const c = JSON.parse(fs.readFileSync(path.join(dir, 'check.json')));
  const want = { logp: floats(dir, 'logp'), embedding: floats(dir, 'embedding') };
  const mel = floats(dir, 'mel');
  const step = c.rows * c.mels, streams = 3, other = noise(step, 99);
  const turns = buffers(session, streams);
  const worst = { logp: 0, embedding: 0 };
  for (let i = 0; i < c.chunks; i++) {
    const turn = turns[i & 1];
    const rows = mel.subarray(i * step, (i + 1) * step);
    [rows, other, rows].forEach((r, n) => turn.feeds.mel.data.set(r, n * step));
    await session.run(turn.feeds, turn.fetches);
    for (const [name, width] of [['logp', c.classes], ['embedding', c.dim]]) {
      const frames = c.rows / 2, got = turn.fetches[name].data;
      for (let f = 0; f < frames; f++) {
        const t = i * frames + f - c.delay;
        for (let k = 0; t >= 0 && k < width; k++) {
          const d = Math.abs(got[(2 * frames + f) * width + k] - want[name][t * width + k]);
          if (!(d <= worst[name])) worst[name] = d;
        }
      }
    }
  }
  return { frames: c.frames, max_diff: worst };
}

async function main() {
  const o = options(process.argv);
  const session = await open(o);
  const common = { ort: require('onnxruntime-node/package.json').version, model: path.basename(o.model),
                   prepack: o.prepack };
  if (o.check) {
    console.log(JSON.stringify({ ...common, ...(await check(session, o.check)) }));
    return;
  }
  const results = [];
  for (const batch of o.batches) results.push(await measure(session, batch, o.seconds));
  if (o.profile) session.endProfiling();
  console.log(JSON.stringify({ ...common, rss_mb: Math.round(process.memoryUsage.rss() / 1e6), results }));
}

main().catch((e) => {
  console.error(String(e.message || e));
  process.exit(1);
});

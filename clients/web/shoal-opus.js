/* shoal-opus.js - samples to Opus packets, by the encoder that a browser has (WebCodecs)
 *
 * Packets of 20 ms for speech at 24 kbit/s, as shoal-mic --opus sends them: a tenth of the bytes. The
 * encoder's look-ahead of 6.5 ms is not taken off, so times are that much later. It works beside the
 * program's thread and packets come a little after their samples: what must follow them, the end of
 * all say, waits for them in after().
 */

import { ShoalFailure } from "./shoal-wire.js";

export const OPUS_RATES = [8000, 12000, 16000, 24000, 48000];
const BITS_A_SECOND = 24000,
  PACKETS_A_SECOND = 50;

/** The browser's classes, or those that a program has instead.
 * @typedef {{AudioEncoder?: any, AudioData?: any}} Codecs */

const ours = codecs => ({
  AudioEncoder: codecs.AudioEncoder ?? globalThis.AudioEncoder,
  AudioData: codecs.AudioData ?? globalThis.AudioData,
});

const configOf = rate => ({
  codec: "opus",
  sampleRate: rate,
  numberOfChannels: 1,
  bitrate: BITS_A_SECOND,
  opus: { application: "voip", signal: "voice", frameDuration: 1e6 / PACKETS_A_SECOND },
});

/**
 * Why samples of this rate cannot be sent as Opus from here, as words in a sentence, or "".
 * @param {number} rate @param {Codecs} [codecs] @returns {Promise<string>}
 */
export async function opusTrouble(rate, codecs = {}) {
  const { AudioEncoder, AudioData } = ours(codecs);
  if (!AudioEncoder || !AudioData)
    return "no encoder here: browsers with WebCodecs have one, for secure pages (https or localhost)";
  if (!OPUS_RATES.includes(rate)) return `Opus has no ${rate} Hz`;
  try {
    const { supported } = await AudioEncoder.isConfigSupported(configOf(rate));
    return supported ? "" : "this browser does not encode Opus";
  } catch (e) {
    return `this browser does not encode Opus (${e.message})`;
  }
}

export class Packets {
  #codecs;
  #rate;
  #encoder;
  #frame;
  #used = 0; // samples of it
  #frames = 0; // that were given to the encoder
  #after = 0; // actions that wait for packets

  /**
   * @param {number} rate one of OPUS_RATES @param {Codecs} codecs
   * @param {(packet: Uint8Array) => void} give @param {(error: Error) => void} fail
   */
  constructor(rate, codecs, give, fail) {
    this.#codecs = ours(codecs);
    this.#rate = rate;
    const { AudioEncoder, AudioData } = this.#codecs;
    if (!AudioEncoder || !AudioData)
      throw new TypeError("no AudioEncoder here to make Opus of samples: send packets, or s16le");
    if (!OPUS_RATES.includes(rate)) throw new TypeError(`Opus has no rate of ${rate} Hz`);
    this.#frame = new Float32Array(rate / PACKETS_A_SECOND);
    const output = chunk => {
      const packet = new Uint8Array(chunk.byteLength);
      chunk.copyTo(packet);
      give(packet);
    };
    this.#encoder = new AudioEncoder({ output, error: fail });
    this.#encoder.configure(configOf(rate));
  }

  /** Bytes that the samples are going to be of which there is no packet yet. */
  get waiting() {
    const packet = BITS_A_SECOND / 8 / PACKETS_A_SECOND;
    return (this.#encoder.encodeQueueSize + this.#used / this.#frame.length) * packet;
  }

  /** Requests wait for packets: others must not overtake them. */
  get busy() {
    return this.#after > 0;
  }

  /** @param {Float32Array} samples any number of them */
  add(samples) {
    for (let at = 0; at < samples.length;) {
      const n = Math.min(this.#frame.length - this.#used, samples.length - at);
      this.#frame.set(samples.subarray(at, at + n), this.#used);
      this.#used += n;
      at += n;
      if (this.#used === this.#frame.length) this.#encode();
    }
  }

  /** The packet that is begun, ended with zeros. @returns {number} how many */
  fill() {
    if (!this.#used) return 0;
    const zeros = this.#frame.length - this.#used;
    this.#frame.fill(0, this.#used);
    this.#encode();
    return zeros;
  }

  #encode() {
    this.#used = 0;
    const data = new this.#codecs.AudioData({
      format: "f32",
      sampleRate: this.#rate,
      numberOfFrames: this.#frame.length,
      numberOfChannels: 1,
      timestamp: (this.#frames++ * 1e6) / PACKETS_A_SECOND,
      data: this.#frame,
    });
    this.#encoder.encode(data);
    data.close();
  }

  /** When the packets of all whole frames so far have been given. @param {() => void} action */
  after(action) {
    this.#after++;
    this.#encoder.flush().then(
      () => {
        this.#after--;
        action();
      },
      () => {}, // an encoder that failed has told so
    );
  }

  close() {
    if (this.#encoder.state !== "closed") this.#encoder.close();
  }
}

/**
 * What makes packets for a session. @param {URLSearchParams} asked its options @param {Codecs} codecs
 * @param {(packet: Uint8Array) => void} give @param {(f: ShoalFailure) => void} fail
 */
export function packetsFor(asked, codecs, give, fail) {
  if (Number(asked.get("channels") ?? 1) !== 1)
    throw new TypeError("Opus of samples is made of one channel: send packets, or mix them");
  return new Packets(Number(asked.get("rate")), codecs, give, e =>
    fail(new ShoalFailure("broken", `the encoder: ${e.message}`, { code: "encoder_failed" })),
  );
}

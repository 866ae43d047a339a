/* capture.js - sound from a microphone or a recording, in blocks of 20 ms, and a clock for it
 *
 * A recording is played through the loudspeaker and given out at the same time, so that a page
 * behaves the same for both. The rate is 16 kHz where the browser converts
 * (a third of the bytes), else the device's own: the server takes any. To make an audio context takes
 * a browser 150 to 300 ms, so one is made beforehand (warm) and waits, suspended.
 */
import { cutOff, promised } from "./whole.js";

/** How much sound has been captured, between blocks too: what is drawn must not jerk. */
export class Clock {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.seconds = 0; // captured, all captures together
    this.at = -Infinity;
    this.running = false;
  }
  /** A block has arrived. */
  add(seconds) {
    this.seconds += seconds;
    this.at = this.now();
    this.running = true;
  }
  stop() {
    this.running = false;
  }
  /** Never more than 60 ms ahead of what has arrived. */
  read() {
    return this.seconds + (this.running ? Math.min(0.06, (this.now() - this.at) / 1000) : 0);
  }
}

/** Root of the mean square and the largest of a block. @param {Float32Array} samples */
export function level(samples) {
  let sum = 0,
    peak = 0;
  for (const s of samples) {
    sum += s * s;
    peak = Math.max(peak, Math.abs(s));
  }
  return { rms: Math.sqrt(sum / Math.max(1, samples.length)), peak };
}

function audioContext() {
  const Context = globalThis.AudioContext ?? globalThis.webkitAudioContext;
  if (!Context) throw new Error("This browser has no Web Audio.");
  return Context;
}

async function contextAt(options) {
  const context = new (audioContext())(options);
  await context.audioWorklet?.addModule(new URL("./worklet.js", import.meta.url));
  return context;
}

const microphoneContext = () => contextAt({ sampleRate: 16000, latencyHint: "interactive" });

/** The stream as a source, in a context that takes it. @param {AudioContext} context at 16 kHz */
async function sourceOf(stream, context) {
  try {
    return context.createMediaStreamSource(stream);
  } catch {
    // Firefox connects streams at their own rate only; above 48 kHz the server would refuse
    context.close();
    const own = stream.getAudioTracks()[0]?.getSettings().sampleRate ?? 0;
    const other = await contextAt(own > 48000 ? { sampleRate: 48000 } : {});
    return other.createMediaStreamSource(stream);
  }
}

function release(stream, context) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
  context.close();
}

/** All channels as one. @param {AudioBuffer} sound @returns {Float32Array} */
export function mix(sound) {
  const one = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++)
    sound.getChannelData(c).forEach((s, i) => (one[i] += s / sound.numberOfChannels));
  return one;
}

/** The channels are each other's inverse: their mean is next to nothing, and no noise. @param {AudioBuffer} sound */
export function cancels(sound) {
  const channels = Array.from({ length: sound.numberOfChannels }, (_, c) =>
    sound.getChannelData(c),
  );
  const power = channels.reduce((sum, c) => sum + level(c).rms ** 2 / channels.length, 0);
  return power > 1e-6 && level(mix(sound)).rms ** 2 < 1e-3 * power;
}

export class Capture {
  /** @param {{onblock: (samples: Float32Array, rate: number) => void, ongone: () => void,
   *   onended: () => void}} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {AudioContext | null} */
    this.context = null;
    this.stream = null;
    this.timer = 0;
    this.opened = 0; // counts, so that what opens late learns that something else was begun
    /** @type {Promise<AudioContext> | null} a context for the next microphone */
    this.warmed = null;
  }

  /** Be ready for the press of a button; without effect where there are no microphones. */
  warm() {
    if (!globalThis.isSecureContext || !navigator.mediaDevices || this.warmed) return;
    this.warmed = microphoneContext();
    this.warmed.catch(() => (this.warmed = null));
  }

  get rate() {
    return this.context?.sampleRate ?? 0;
  }

  /** Rejected with what getUserMedia says. */
  async microphone() {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    const turn = ++this.opened;
    this.warm(); // where it has not been: side by side, each may take a hundred milliseconds
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const making = this.warmed ?? microphoneContext();
    this.warmed = null;
    const context = await making;
    const source = await sourceOf(stream, context);
    if (turn !== this.opened) return release(stream, source.context);
    this.stop();
    this.#listen(source);
    this.stream = stream;
    stream.getAudioTracks()[0].onended = () => this.hooks.ongone();
  }

  /**
   * Heard as it is played. Without a worklet, which browsers give to secure pages only.
   * @param {ArrayBuffer} bytes of a sound file; rejected if it is none
   * @returns {Promise<any>} inverted: its channels cancel each other out, so the first is heard;
   *   short: of cutOff
   */
  async recording(bytes) {
    const context = new (audioContext())({ sampleRate: 16000 }),
      turn = ++this.opened,
      says = promised(bytes); // decoding takes them away
    const sound = await context.decodeAudioData(bytes).catch(e => {
      context.close();
      throw e;
    });
    await context.resume();
    if (turn !== this.opened) return release(null, context);
    this.stop();
    this.context = context;
    const player = context.createBufferSource();
    player.buffer = sound;
    player.connect(context.destination);
    player.start();
    const inverted = cancels(sound);
    this.#follow(inverted ? sound.getChannelData(0) : mix(sound), context.currentTime);
    return { inverted, short: cutOff(says, sound.duration) };
  }

  /** Blocks of samples as far as the context has played them. */
  #follow(samples, began) {
    const { context } = this,
      size = Math.round(context.sampleRate / 50);
    let at = 0;
    this.timer = setInterval(() => {
      const until = Math.min(samples.length, (context.currentTime - began) * context.sampleRate);
      for (; at < samples.length && at + Math.min(size, samples.length - at) <= until; at += size)
        this.hooks.onblock(samples.subarray(at, at + size), context.sampleRate);
      if (at >= samples.length) this.hooks.onended();
    }, 10);
  }

  #listen(source) {
    const { context } = source;
    const node = new AudioWorkletNode(context, "blocks", { numberOfOutputs: 0 });
    this.context = context;
    node.port.onmessage = ({ data }) => {
      if (context === this.context) this.hooks.onblock(data, context.sampleRate);
    };
    source.connect(node);
    context.resume();
  }

  stop() {
    this.opened++;
    clearInterval(this.timer);
    if (this.context) release(this.stream, this.context);
    this.context = this.stream = null;
  }
}

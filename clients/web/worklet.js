/* worklet.js - on the audio thread: mono blocks of 20 ms, handed to the page
 *
 * Only this file runs there. Channels are averaged; a block leaves when it is full, so that sound
 * is at most 20 ms old plus what the device adds.
 */
class Blocks extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 50);
    this.block = new Float32Array(this.size);
    this.filled = 0;
  }

  process([channels]) {
    const n = channels[0]?.length ?? 0;
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled++] = sum / channels.length;
      if (this.filled === this.size) this.flush();
    }
    return true;
  }

  flush() {
    this.port.postMessage(this.block, [this.block.buffer]);
    this.block = new Float32Array(this.size);
    this.filled = 0;
  }
}

registerProcessor("blocks", Blocks);

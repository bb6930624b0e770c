/** Reads the answers of both sides and computes errors and ratios. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Little-endian float32 file as an array. */
export function readFloats(file) {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Largest absolute difference, and largest absolute value of the reference. NaN where either has one. */
export function difference(actual, expected) {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values, expected ${expected.length}`);
  let error = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const delta = Math.abs(actual[i] - expected[i]);
    error = Math.max(error, delta);
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return { error, scale, relative: error / scale };
}

export const median = (values) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

const seconds = (samples, key = 'seconds') => samples.map((sample) => sample[key]);

/** Errors, medians and ratios (ours / diffusers) of one dtype. The first UNet call of a process is warm-up. */
export function compare(ours, theirs) {
  const last = { ours: ours.at(-1), theirs: theirs.at(-1) };
  const errors = {};
  for (const name of ['unet', 'latents', 'pictures']) {
    errors[name] = difference(
      readFloats(path.join(last.ours.out, `${name}.f32`)),
      readFloats(path.join(last.theirs.out, `${name}.f32`)),
    );
  }
  const side = (turns) => ({
    loadSeconds: median(turns.map((turn) => turn.load.seconds)),
    unetSeconds: Math.min(...turns.flatMap((turn) => seconds(turn.unet.slice(1)))),
    unetCpuSeconds: Math.min(...turns.flatMap((turn) => seconds(turn.unet.slice(1), 'cpu'))),
    decodeSeconds: Math.min(...turns.map((turn) => turn.decode)),
    clipSeconds: Math.min(...turns.map((turn) => turn.clip.seconds)),
    weightBytes: turns[0].weights,
    loadPeakBytes: Math.max(...turns.map((turn) => turn.memory.loaded - turn.memory.before)),
    peakBytes: Math.max(...turns.map((turn) => turn.memory.end)),
  });
  const [a, b] = [side(ours), side(theirs)];
  const ratios = Object.fromEntries(Object.keys(a).map((key) => [key, a[key] / b[key]]));
  const tokensEqual = JSON.stringify(last.ours.tokens) === JSON.stringify(last.theirs.tokens);
  return { tokensEqual, errors, ours: a, diffusers: b, ratios };
}

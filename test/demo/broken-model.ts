/** Copies of the demo model with one thing wrong, as a mistake in this package would make it wrong. */
import { readFileSync } from 'node:fs';
import { readSafetensors } from '../../lib/weights/safetensors.ts';
import { writeSafetensors } from '../support/safetensors-writer.ts';
import { byteLength, type Tensor } from '../support/tensor.ts';

async function readTensors(file: string): Promise<Tensor[]> {
  const { tensors } = await readSafetensors(file);
  const bytes = readFileSync(file);
  return [...tensors].map(([name, { dtype, shape, offset }]) => {
    const data = bytes.subarray(offset, offset + byteLength({ dtype, shape }));
    return { name, dtype, shape, bytes: () => data };
  });
}

async function rewrite(
  source: string,
  target: string,
  change: (tensors: Tensor[]) => Tensor[],
): Promise<void> {
  const before = await readTensors(source);
  const after = change(before);
  if (after.every((tensor, i) => tensor === before[i]))
    throw new RangeError(`Nothing to break in ${source}.`);
  writeSafetensors(target, after);
}

/** The rows of a table in another order: all even ones, then all odd ones. */
function shuffleRows(data: Uint8Array, rows: number): Uint8Array {
  const bytes = data.length / rows;
  const rowNumbers = Array.from({ length: rows }, (_, i) => i);
  const order = [...rowNumbers.filter((row) => row % 2 === 0), ...rowNumbers.filter((row) => row % 2 === 1)];
  return Buffer.concat(order.map((row) => data.subarray(row * bytes, (row + 1) * bytes)));
}

/** A motion module whose frames get each other's position encodings. */
export async function breakPositions(source: string, target: string): Promise<void> {
  await rewrite(source, target, (tensors) =>
    tensors.map((tensor) => {
      if (!tensor.name.endsWith('.pos_encoder.pe')) return tensor;
      const [, length = 1] = tensor.shape;
      return { ...tensor, bytes: () => shuffleRows(tensor.bytes(), length) };
    }),
  );
}

const EXCHANGED = new Map([
  ['attn2.to_k.weight', 'attn2.to_v.weight'],
  ['attn2.to_v.weight', 'attn2.to_k.weight'],
]);

/** A base whose UNet has the keys and the values of its text attention exchanged, as a wrong key map has. */
export async function breakKeyMap(source: string, target: string): Promise<void> {
  await rewrite(source, target, (tensors) =>
    tensors.map((tensor) => {
      const end = [...EXCHANGED.keys()].find((name) => tensor.name.endsWith(name));
      if (end === undefined || !tensor.name.startsWith('model.diffusion_model.')) return tensor;
      return { ...tensor, name: tensor.name.slice(0, -end.length) + EXCHANGED.get(end) };
    }),
  );
}

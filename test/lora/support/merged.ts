/** The weights of a pipeline as numbers, and what they should be. */
import { readFileSync, rmSync } from 'node:fs';
import type { AnimateDiff } from '../../../lib/animatediff.ts';
import { tensorBytes } from '../../../lib/weights/shapes.ts';
import { readTorchScript } from '../../../lib/weights/torchscript.ts';
import { seededTensor } from '../../support/seeded-weights.ts';
import type { Layer } from './adapters.ts';

/** Bytes of every parameter of a pipeline, by `role.name`: it is baked, and the archive is read. */
export async function parametersOf(
  pipe: AnimateDiff,
  file: string,
): Promise<ReadonlyMap<string, Uint8Array>> {
  await pipe.bake(file);
  const { tensors } = await readTorchScript(file);
  const content = readFileSync(file);
  rmSync(file);
  const bytes = Array.from(tensors, ([name, source]): [string, Uint8Array] => [
    name,
    content.subarray(source.offset, source.offset + tensorBytes(source)),
  ]);
  return new Map(bytes);
}

/** Names of the parameters that differ in any byte. */
export function changedParameters(
  a: ReadonlyMap<string, Uint8Array>,
  b: ReadonlyMap<string, Uint8Array>,
): string[] {
  return [...a].flatMap(([name, bytes]) => (Buffer.compare(bytes, b.get(name) ?? Buffer.of()) ? [name] : []));
}

export function asFloat32(bytes: Uint8Array | undefined): Float32Array {
  return new Float32Array(Uint8Array.from(bytes ?? []).buffer);
}

/** [rows, inner] @ [inner, columns] in float64. */
export function product(left: Float32Array, right: Float32Array, inner: number): Float64Array {
  const [rows, columns] = [left.length / inner, right.length / inner];
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    for (let k = 0; k < inner; k += 1) {
      const factor = left[row * inner + k] ?? 0;
      for (let column = 0; column < columns; column += 1) {
        const at = row * columns + column;
        result[at] = (result[at] ?? 0) + factor * (right[k * columns + column] ?? 0);
      }
    }
  }
  return result;
}

/** The base's weight with the deltas added, in float64. */
export function expectedWeight(
  { path: layer, shape }: Layer,
  deltas: readonly (readonly [factor: number, delta: Float64Array])[],
): Float64Array {
  const weight = Float64Array.from(seededTensor(`${layer}.weight`, shape));
  for (const [factor, delta] of deltas) {
    for (let index = 0; index < weight.length; index += 1) {
      weight[index] = (weight[index] ?? 0) + factor * (delta[index] ?? 0);
    }
  }
  return weight;
}

/** The architecture that a textual inversion was made for, told by its names and by the width of its vectors. */
import type { TensorFile } from './types.ts';

/** Architectures by the width of their token embeddings. */
const OF_WIDTH: ReadonlyMap<number, string> = new Map([
  [768, 'sd15'],
  [1024, 'sd2'],
  [1280, 'sdxl'],
]);

/** `sdxl`, `sd15`, …, or `undefined` when nothing tells. */
export function embeddingArchitecture({ tensors }: Pick<TensorFile, 'tensors'>): string | undefined {
  // SDXL has two text encoders, and files for it have vectors for both.
  if (tensors.has('clip_g')) return 'sdxl';
  const named = [...tensors].find(([name]) => /^(string_to_param\.|emb_params$|clip_l$)/.test(name));
  const [, source] = named ?? [...tensors][0] ?? [];
  return OF_WIDTH.get(source?.shape.at(-1) ?? 0);
}

/**
 * Writer of the safetensors format (https://github.com/huggingface/safetensors, README "Format"). Tensors are
 * copied from other files piece by piece, so that none is in memory as a whole.
 */
import { withBytes } from './byte-source.ts';
import { tensorBytes } from './shapes.ts';
import type { TensorSource } from './types.ts';

/** A contiguous tensor of another file under its new name and shape. */
export interface CopiedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly source: TensorSource;
}

const CHUNK_BYTES = 4 << 20;
/** The header is padded with spaces, so that the data is aligned. */
const ALIGNMENT = 8;

function header(tensors: readonly CopiedTensor[], metadata: Readonly<Record<string, string>>): Buffer {
  let offset = 0;
  const entries = tensors.map(({ name, shape, source }) => {
    const begin = offset;
    offset += tensorBytes(source);
    return [name, { dtype: source.dtype, shape, data_offsets: [begin, offset] }] as const;
  });
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }));
  const padding = Buffer.alloc((ALIGNMENT - (json.length % ALIGNMENT)) % ALIGNMENT, ' ');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length + padding.length));
  return Buffer.concat([length, json, padding]);
}

/** The bytes of a file with these tensors, all of which lie in `file`, in this order. */
export async function* safetensorsChunks(
  file: string,
  tensors: readonly CopiedTensor[],
  metadata: Readonly<Record<string, string>>,
): AsyncGenerator<Buffer> {
  yield header(tensors, metadata);
  for (const { source } of tensors) {
    const end = source.offset + tensorBytes(source);
    for (let offset = source.offset; offset < end; offset += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, end - offset);
      yield await withBytes(file, (bytes) => bytes.read(offset, length));
    }
  }
}

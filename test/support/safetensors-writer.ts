/** Writes safetensors files: 8 bytes of header length, a JSON header, then the tensors without gaps. */
import { byteLength, type Tensor } from './tensor.ts';
import { writeWhole } from './write-whole.ts';

/** Offsets count from the end of the header; the header is padded so that the data starts at 8 · n. */
function header(tensors: readonly Tensor[], metadata: Readonly<Record<string, string>>): Buffer {
  const entries: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const tensor of tensors) {
    const end = offset + byteLength(tensor);
    entries[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(entries));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  return padded;
}

/** Writes the tensors in the given order. The file appears whole or not at all. */
export function writeSafetensors(
  path: string,
  tensors: readonly Tensor[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): void {
  writeWhole(path, (write) => {
    const json = header(tensors, metadata);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    write(length);
    write(json);
    for (const tensor of tensors) write(tensor.bytes());
  });
}

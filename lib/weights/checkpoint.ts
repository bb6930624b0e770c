/**
 * Reader of torch checkpoints (`.ckpt`, `.pt`, `.pth`, `.bin`): the zip format of torch 1.6 and later, and
 * the older stream of pickles and raw storages. Tensors in both lie uncompressed in the file, so that both
 * end in the same list of places. The pickle is interpreted, never executed.
 */
import { type ByteSource, withBytes } from './byte-source.ts';
import { LEGACY_MAGIC, readLegacyCheckpoint } from './checkpoint-legacy.ts';
import { readZipCheckpoint } from './checkpoint-zip.ts';
import { unreadableFormat } from './file-errors.ts';
import { findStateDict } from './state-dict.ts';
import { placeTensors, type StoragePlaces } from './storage-places.ts';
import type { TensorFile } from './types.ts';

/** What both formats give: the pickled object, and where each storage lies. */
export interface CheckpointContents {
  readonly root: unknown;
  readonly places: StoragePlaces;
}

const ZIP_MAGIC = 'PK';

/**
 * Reads the tensors of a torch checkpoint; wrappers such as `state_dict` are peeled.
 * Throws ERR_FILE_NOT_FOUND, ERR_FILE_CORRUPT, ERR_FILE_FORMAT, or ERR_PICKLE.
 */
export function readCheckpoint(file: string): Promise<TensorFile> {
  return withBytes(file, async (bytes) => {
    const start = (await bytes.read(0, Math.min(bytes.size, LEGACY_MAGIC.length))).toString('latin1');
    if (start.startsWith(ZIP_MAGIC)) return toTensorFile(bytes, 'checkpoint', await readZipCheckpoint(bytes));
    if (start === LEGACY_MAGIC)
      return toTensorFile(bytes, 'checkpoint-legacy', await readLegacyCheckpoint(bytes));
    throw unreadableFormat(
      bytes.path,
      'is not a torch checkpoint',
      'Give a file that torch.save wrote, or a .safetensors file.',
    );
  });
}

function toTensorFile(
  bytes: ByteSource,
  format: 'checkpoint' | 'checkpoint-legacy',
  { root, places }: CheckpointContents,
): TensorFile {
  const { tensors, metadata } = findStateDict(bytes.path, root);
  if (tensors.size === 0) {
    throw unreadableFormat(
      bytes.path,
      'is a torch file, but holds no tensors under names',
      'Give the checkpoint that holds the weights (a dict of tensors, or one with a state_dict).',
    );
  }
  return {
    path: bytes.path,
    format,
    size: bytes.size,
    tensors: placeTensors(bytes.path, tensors, places),
    metadata,
  };
}

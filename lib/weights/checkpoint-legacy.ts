/**
 * The format of torch checkpoints before 1.6 (torch/serialization.py, `_legacy_load`): five pickles (magic
 * number, protocol version, system, object, storage keys), then each storage as its int64 element count and
 * its raw elements.
 */
import { AnimateDiffError, seen } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { CheckpointContents } from './checkpoint.ts';
import { corruptFile, unreadableFormat, unsafePickle } from './file-errors.ts';
import { unpickle } from './pickle.ts';
import { type StorageRef, torchHost } from './torch-objects.ts';

/** The pickle of 0x1950a86a20f9469cfc6c with which every such file starts, as Latin-1 text. */
export const LEGACY_MAGIC = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';

const PROTOCOL_VERSION = 1001;

/** How much of the file is read for the pickles: usually the first suffices. */
const PREFIX_BYTES = [1 << 20, 8 << 20, 64 << 20];

const COUNT_BYTES = 8;

interface Pickles {
  readonly root: unknown;
  readonly keys: readonly string[];
  readonly storages: ReadonlyMap<string, StorageRef>;
  /** Position after the last pickle. */
  readonly end: number;
}

/** Reads the pickles of a legacy checkpoint and locates its storages. */
export async function readLegacyCheckpoint(bytes: ByteSource): Promise<CheckpointContents> {
  const pickles = await readPickles(bytes);
  return { root: pickles.root, places: await locateStorages(bytes, pickles) };
}

/** The length of the pickles is written nowhere: a longer prefix is tried when one ends too early. */
async function readPickles(bytes: ByteSource): Promise<Pickles> {
  for (const limit of PREFIX_BYTES) {
    const prefix = await bytes.read(0, Math.min(limit, bytes.size));
    try {
      return parsePickles(bytes.path, prefix);
    } catch (error) {
      const truncated = error instanceof AnimateDiffError && error.details.reason === 'truncated';
      if (!truncated || prefix.length === bytes.size) throw error;
    }
  }
  throw unsafePickle(bytes.path, `it is longer than ${PREFIX_BYTES.at(-1)} bytes`);
}

function parsePickles(file: string, prefix: Buffer): Pickles {
  const storages = new Map<string, StorageRef>();
  const host = torchHost(file, storages);
  let position = LEGACY_MAGIC.length;
  const next = (): unknown => {
    const { value, end } = unpickle(file, prefix, position, host);
    position = end;
    return value;
  };
  const protocol = next();
  if (protocol !== PROTOCOL_VERSION) {
    throw unreadableFormat(
      file,
      `has the torch protocol version ${String(protocol).slice(0, 20)} instead of ${PROTOCOL_VERSION}`,
      'Load it with torch and save it again.',
    );
  }
  const system = next();
  if (system instanceof Map && system.get('little_endian') === false) {
    throw unreadableFormat(
      file,
      'was written on a big-endian machine',
      'Load it with torch and save it again.',
    );
  }
  const root = next();
  const keys = next();
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) {
    throw unsafePickle(file, 'its list of storages is malformed');
  }
  return { root, keys, storages, end: position };
}

async function locateStorages(
  bytes: ByteSource,
  { keys, storages, end }: Pickles,
): Promise<Map<string, { offset: number; bytes: number }>> {
  const owners = new Map<string, StorageRef>();
  for (const storage of storages.values()) owners.set(storage.view?.key ?? storage.key, storage);

  const places = new Map<string, { offset: number; bytes: number }>();
  let position = end;
  for (const key of keys) {
    if (places.has(key)) throw corruptFile(bytes.path, `it lists storage ${seen(key)} twice`);
    const owner = owners.get(key);
    if (owner === undefined) throw corruptFile(bytes.path, `storage ${seen(key)} is used by no tensor`);
    const count = Number((await bytes.read(position, COUNT_BYTES)).readBigUInt64LE());
    const length = count * owner.type.bytes;
    const offset = position + COUNT_BYTES;
    if (!(offset + length <= bytes.size)) {
      throw corruptFile(
        bytes.path,
        `storage ${seen(key)} claims ${count} elements, more than the file has left`,
        {
          reason: 'truncated',
        },
      );
    }
    places.set(key, { offset, bytes: length });
    position = offset + length;
  }
  for (const { key, view, length, type } of storages.values()) {
    const root = view && places.get(view.key);
    if (view === undefined || root === undefined) continue;
    const start = view.offset * type.bytes;
    if (start + length * type.bytes > root.bytes)
      throw corruptFile(bytes.path, `storage ${seen(key)} leaves its root`);
    places.set(key, { offset: root.offset + start, bytes: length * type.bytes });
  }
  return places;
}

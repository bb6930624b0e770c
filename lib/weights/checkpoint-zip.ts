/**
 * The zip format of torch checkpoints (torch 1.6 and later): `<name>/data.pkl` holds the object,
 * `<name>/data/<key>` one storage each, `<name>/byteorder` the byte order.
 */
import { seen } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { CheckpointContents } from './checkpoint.ts';
import { corruptFile, unreadableFormat, unsafePickle } from './file-errors.ts';
import { unpickle } from './pickle.ts';
import { type StorageRef, torchHost } from './torch-objects.ts';
import { withZip, type ZipArchive } from './zip.ts';

/** A pickle holds names and shapes, no weights: 0.2 MB for Stable Diffusion 1.5. */
const MAX_PICKLE_BYTES = 64 << 20;

/** The pickled object of an archive, and the folder inside it in which everything lies. */
export interface ZipContents extends CheckpointContents {
  /** With its slash; empty when the entries lie at the top. */
  readonly folder: string;
}

/** Reads the pickle of a zip checkpoint and locates its storages. */
export function readZipCheckpoint(bytes: ByteSource): Promise<CheckpointContents> {
  return withZip(bytes, (archive) => readPickle(bytes, archive));
}

/** Like {@link readZipCheckpoint}, for an archive that is open already. */
export async function readPickle(bytes: ByteSource, archive: ZipArchive): Promise<ZipContents> {
  const folder = archiveFolder(bytes.path, archive);
  await checkByteOrder(bytes, archive, folder);
  const storages = new Map<string, StorageRef>();
  const pickle = await readEntry(bytes, archive, `${folder}data.pkl`);
  const { value } = unpickle(bytes.path, pickle, 0, torchHost(bytes.path, storages));
  return { root: value, places: await locateStorages(bytes.path, archive, folder, storages), folder };
}

/** True for an archive of `torch.jit.save`: constants and code beside the pickle. */
export function isTorchScript(names: readonly string[]): boolean {
  return (
    names.some((name) => /^[^/]+\/constants\.pkl$/.test(name)) &&
    names.some((name) => /^[^/]+\/code\//.test(name))
  );
}

/** Folder of `data.pkl` inside the archive, with its slash. */
function archiveFolder(file: string, archive: ZipArchive): string {
  const pickles = archive.names.filter((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  const first = pickles[0];
  if (first === undefined) {
    throw unreadableFormat(
      file,
      'is a zip archive, but not a torch checkpoint (it has no data.pkl)',
      'If the model is packed in it, unpack the archive and give the file inside.',
    );
  }
  if (pickles.length > 1) throw corruptFile(file, `it has ${pickles.length} entries named data.pkl`);
  return first.slice(0, -'data.pkl'.length);
}

async function checkByteOrder(bytes: ByteSource, archive: ZipArchive, root: string): Promise<void> {
  const name = `${root}byteorder`;
  if (archive.size(name) === undefined) return;
  const order = (await readEntry(bytes, archive, name)).toString('latin1');
  if (order === 'little') return;
  throw unreadableFormat(
    bytes.path,
    `stores its numbers in the byte order ${seen(order.slice(0, 20))}, not 'little'`,
    'Load it with torch on a little-endian machine and save it again.',
  );
}

async function readEntry(bytes: ByteSource, archive: ZipArchive, name: string): Promise<Buffer> {
  const size = archive.size(name) ?? 0;
  if (size > MAX_PICKLE_BYTES)
    throw unsafePickle(bytes.path, `${seen(name)} has ${size} bytes, over ${MAX_PICKLE_BYTES}`);
  return bytes.read(await archive.dataStart(name), size);
}

async function locateStorages(
  file: string,
  archive: ZipArchive,
  root: string,
  storages: ReadonlyMap<string, StorageRef>,
): Promise<Map<string, { offset: number; bytes: number }>> {
  const places = new Map<string, { offset: number; bytes: number }>();
  for (const [key, { length, type }] of storages) {
    const name = `${root}data/${key}`;
    const offset = await archive.dataStart(name);
    const bytes = archive.size(name) ?? 0;
    if (length * type.bytes > bytes) {
      throw corruptFile(file, `storage ${seen(key)} has ${bytes} bytes instead of ${length * type.bytes}`);
    }
    places.set(key, { offset, bytes });
  }
  return places;
}

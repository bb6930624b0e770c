/**
 * Reads a TorchScript archive (`torch.jit.save`, `bake`) as one more file of weights: its modules are a tree
 * of pickled objects, whose tensors get the names of the attributes on the way. The code in the archive is
 * neither read nor run.
 */
import { type ByteSource, withBytes } from './byte-source.ts';
import { isTorchScript, readPickle } from './checkpoint-zip.ts';
import { corruptFile, unreadableFormat, unsafePickle } from './file-errors.ts';
import { PyObject } from './pickle-values.ts';
import { placeTensors } from './storage-places.ts';
import { MAX_NAME } from './tensor-name.ts';
import { TensorRef } from './torch-objects.ts';
import type { TensorFile } from './types.ts';
import { withZip, type ZipArchive } from './zip.ts';

/** A TorchScript archive after its pickle was read and checked. */
export interface TorchScriptFile extends Omit<TensorFile, 'format'> {
  readonly format: 'torchscript';
  /** Text of `extra/animatediff.json`, which `bake` adds; `undefined` in archives of others. */
  readonly extra?: string;
}

/** Real documents have some hundred bytes. */
const MAX_EXTRA_BYTES = 1 << 20;

/** A baked archive has about 1,600 tensors, and modules 13 deep. */
const LIMITS = { tensors: 100_000, depth: 64 };

/**
 * Every tensor of a TorchScript archive under its dotted name, such as `unet.conv_in.weight`.
 * Throws ERR_FILE_NOT_FOUND, ERR_FILE_CORRUPT, ERR_FILE_FORMAT, or ERR_PICKLE.
 */
export function readTorchScript(file: string): Promise<TorchScriptFile> {
  return withBytes(file, (bytes) =>
    withZip(bytes, async (archive) => {
      if (!isTorchScript(archive.names)) {
        throw unreadableFormat(
          bytes.path,
          'is not a TorchScript archive',
          'Give a file that `animatediff-native bake` wrote.',
        );
      }
      const { root, places, folder } = await readPickle(bytes, archive);
      return {
        path: bytes.path,
        format: 'torchscript',
        size: bytes.size,
        tensors: placeTensors(bytes.path, moduleTensors(bytes.path, root), places),
        metadata: {},
        extra: await readExtra(bytes, archive, `${folder}extra/animatediff.json`),
      };
    }),
  );
}

async function readExtra(bytes: ByteSource, archive: ZipArchive, name: string): Promise<string | undefined> {
  const size = archive.size(name);
  if (size === undefined) return undefined;
  if (size > MAX_EXTRA_BYTES) {
    throw corruptFile(bytes.path, `its description has ${size} bytes, over ${MAX_EXTRA_BYTES}`);
  }
  return (await bytes.read(await archive.dataStart(name), size)).toString('utf8');
}

/**
 * The tensors among the attributes of a module and of the modules below it. Each set of attributes is
 * visited once, so that cycles end and time is bounded by the size of the pickle.
 */
function moduleTensors(file: string, root: unknown): Map<string, TensorRef> {
  const tensors = new Map<string, TensorRef>();
  const visited = new Set<unknown>();
  const visit = (module: PyObject, prefix: string, depth: number): void => {
    if (!(module.state instanceof Map) || visited.has(module.state)) return;
    if (depth > LIMITS.depth) throw unsafePickle(file, `its modules are over ${LIMITS.depth} deep`);
    visited.add(module.state);
    for (const [key, value] of module.state) {
      if (!(value instanceof TensorRef || value instanceof PyObject)) continue;
      const name = attributeName(file, prefix, key);
      if (value instanceof PyObject) visit(value, `${name}.`, depth + 1);
      else tensors.set(name, value);
      if (tensors.size > LIMITS.tensors) throw unsafePickle(file, `it has over ${LIMITS.tensors} tensors`);
    }
  };
  if (root instanceof PyObject) visit(root, '', 0);
  return tensors;
}

/** A dot inside an attribute would let two tensors have one name. */
function attributeName(file: string, prefix: string, key: unknown): string {
  if (typeof key !== 'string' || key === '' || key.includes('.')) {
    throw unsafePickle(file, 'an attribute of its modules has no proper name');
  }
  if (prefix.length + key.length > MAX_NAME) {
    throw unsafePickle(file, `the name of an attribute has over ${MAX_NAME} characters`);
  }
  return prefix + key;
}

/**
 * Opens a weight file by what is in it, not by its extension: `.ckpt` files that are safetensors inside are
 * common, and so are web pages saved under the name of a model. What cannot be read is named.
 */
import { withBytes } from './byte-source.ts';
import { readCheckpoint } from './checkpoint.ts';
import { LEGACY_MAGIC } from './checkpoint-legacy.ts';
import { isTorchScript } from './checkpoint-zip.ts';
import { corruptFile, unreadableFormat } from './file-errors.ts';
import { readSafetensors } from './safetensors.ts';
import type { TensorFile } from './types.ts';
import { withZip } from './zip.ts';

/** Formats with tensors in them. `torchscript`: what `torch.jit.save` and `bake` write. */
export type WeightFormat = 'safetensors' | 'checkpoint' | 'checkpoint-legacy' | 'torchscript';

/** A format that is recognised and not read, with what to do about it. */
interface ForeignFormat {
  /** First bytes as Latin-1 text, or a pattern on them. */
  readonly starts: readonly string[] | RegExp;
  readonly what: string;
  readonly wayOut: string;
  readonly damaged?: boolean;
}

/** Enough for every magic number below, the one of tar at byte 257 included. */
const HEAD_BYTES = 512;

const CONVERTED = 'Use a .safetensors version of this model.';
const AGAIN = 'Download the model again, and check the address.';

/** Tried in this order. */
const FOREIGN: readonly ForeignFormat[] = [
  {
    starts: ['version https://git-lfs'],
    what: 'is a Git LFS pointer, not the model itself',
    wayOut: 'Run `git lfs pull` in its repository, or download the file itself.',
  },
  { starts: /^\s*(<!doctype html|<html|<head|<\?xml)/i, what: 'is a web page, not a model', wayOut: AGAIN },
  {
    starts: /^\s*[{[]/,
    what: 'is JSON text, not a model',
    wayOut: 'Give the weight file or the model folder.',
  },
  {
    starts: ['GGUF', 'GGML', 'tjgg', 'lmgg'],
    what: 'is a GGUF file, which is not supported',
    wayOut: CONVERTED,
  },
  { starts: ['\x89HDF'], what: 'is an HDF5 file (Keras)', wayOut: CONVERTED },
  { starts: ['\x93NUMPY'], what: 'is a NumPy array', wayOut: CONVERTED },
  {
    starts: ['\x1f\x8b', '7z\xbc\xaf', 'Rar!', 'BZh', '\xfd7zXZ'],
    what: 'is a packed archive',
    wayOut: 'Unpack it and give the file inside.',
  },
  { starts: /^[\s\S]{257}ustar/, what: 'is a tar archive', wayOut: 'Unpack it and give the file inside.' },
  {
    starts: ['\x89PNG', '\xff\xd8\xff', 'GIF8', 'RIFF'],
    what: 'is a picture or a clip',
    wayOut: 'Give a file of weights.',
  },
  {
    starts: ['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05', '(dp', '}q', 'ccollections'],
    what: 'is a plain Python pickle, not a torch checkpoint',
    wayOut: 'Save it with torch.save or as .safetensors.',
  },
  {
    starts: ['\0'.repeat(64)],
    what: 'it starts with zero bytes, as an interrupted download does',
    wayOut: AGAIN,
    damaged: true,
  },
];

/**
 * Format of a weight file. Throws ERR_FILE_NOT_FOUND, ERR_FILE_CORRUPT for an empty or zero-filled file, and
 * ERR_FILE_FORMAT, which names the format, for everything that holds no readable tensors.
 */
export function detectFormat(file: string): Promise<WeightFormat> {
  return withBytes(file, async (bytes) => {
    if (bytes.size === 0) throw corruptFile(bytes.path, 'it is empty');
    const head = (await bytes.read(0, Math.min(bytes.size, HEAD_BYTES))).toString('latin1');
    // Before all magic numbers: the first bytes of a safetensors file are a length, which may look like any.
    if (/^[\s\S]{5}\0{3}\{/.test(head)) return 'safetensors';
    if (head.startsWith('PK')) {
      return withZip(bytes, async ({ names }) => (isTorchScript(names) ? 'torchscript' : 'checkpoint'));
    }
    if (head.startsWith(LEGACY_MAGIC)) return 'checkpoint-legacy';
    const foreign = foreignFile(bytes.path, head);
    if (foreign !== undefined) throw foreign;
    if (head.charAt(8) === '{') return 'safetensors';
    const start = Buffer.from(head.slice(0, 8), 'latin1').toString('hex');
    throw unreadableFormat(
      bytes.path,
      `is neither a safetensors file nor a torch checkpoint (it starts with the bytes ${start})`,
      'Give a .safetensors, .ckpt, .pt or .bin file of weights.',
    );
  });
}

function foreignFile(file: string, head: string): Error | undefined {
  const format = FOREIGN.find(({ starts }) => beginsWith(head, starts));
  if (format === undefined) return undefined;
  return format.damaged ? corruptFile(file, format.what) : unreadableFormat(file, format.what, format.wayOut);
}

function beginsWith(head: string, starts: readonly string[] | RegExp): boolean {
  return starts instanceof RegExp ? starts.test(head) : starts.some((start) => head.startsWith(start));
}

/** Reads the header of a weight file of any supported format. A TorchScript archive is none of them. */
export async function readTensorFile(file: string): Promise<TensorFile> {
  const format = await detectFormat(file);
  if (format === 'safetensors') return readSafetensors(file);
  if (format !== 'torchscript') return readCheckpoint(file);
  throw unreadableFormat(
    file,
    'is a TorchScript archive, which holds a whole network and not a list of weights',
    'Give a .safetensors or .ckpt file of weights.',
  );
}

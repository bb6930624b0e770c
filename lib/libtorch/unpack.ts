/**
 * Unpacks of LibTorch's archive, and of Python wheels, what running and compiling need: shared libraries,
 * headers, the version and the licences; neither Python sources nor test programs nor static libraries.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { AnimateDiffError } from '../errors.ts';
import type { Manifest } from './cache.ts';

/** How a download is laid out. */
export type Layout =
  /** The official archive; everything lies in `libtorch/`, which is dropped. */
  | 'archive'
  /** The wheel of torch; keeps its `torch/`, since its libraries look for `../../nvidia`. */
  | 'torch-wheel'
  /** The wheel of a CUDA build, of which only the CPU half is wanted. */
  | 'torch-wheel-cpu'
  /** A wheel of NVIDIA's libraries. */
  | 'nvidia-wheel';

export interface UnpackOptions {
  readonly signal?: AbortSignal;
  /** Bytes written and bytes in total. */
  readonly onProgress?: (done: number, total: number) => void;
}

type Library = Manifest['libraries'][number];

interface Rule {
  /** Where an entry goes, or undefined when it is left out. */
  readonly place: (name: string) => string | undefined;
}

/** Parts of Python's binding and of LibTorch's own tests. */
const UNUSED =
  /^lib(torch_python|shm|jitbackend_test|torchbind_test|backend_with_compiler|aoti_custom_ops)\b/;
const CUDA_HALF =
  /^lib(torch|torch_cuda|torch_cuda_linalg|torch_global_deps|torch_nvshmem|c10_cuda|caffe2_nvrtc)\.so/;
const LIBRARY = /^(?:.+\/)?lib\/([^/]+\.so[^/]*)$/;
const LICENCE = /^[^/]+\.dist-info\/(?:.+\/)?(?:LICEN[CS]E|NOTICE)[^/]*$/i;
/** Files of a wheel may lie in `<name>.data/purelib/` instead of at the top. */
const DATA = /^[^/]+\.data\/(?:purelib|platlib)\//;

const RULES: Readonly<Record<Layout, Rule>> = {
  archive: {
    place: (name) => placeTorch(name, 'libtorch', '', /^(build-version|build-hash|LICEN[CS]E)$/, UNUSED),
  },
  'torch-wheel': { place: (name) => placeTorch(name, 'torch', 'torch', /^version\.py$/, UNUSED) },
  'torch-wheel-cpu': {
    place: (name) =>
      placeTorch(name, 'torch', 'torch', /^version\.py$/, new RegExp(`${UNUSED.source}|${CUDA_HALF.source}`)),
  },
  'nvidia-wheel': {
    place: (name) =>
      (/^nvidia\//.test(name) && LIBRARY.test(name)) || LICENCE.test(name) ? name : undefined,
  },
};

function placeTorch(
  name: string,
  from: string,
  to: string,
  extra: RegExp,
  unused: RegExp,
): string | undefined {
  // Wheels for arm64 carry the libraries that torch needs beside it.
  if (LICENCE.test(name) || /^torch\.libs\/[^/]+\.so[^/]*$/.test(name)) return name;
  if (!name.startsWith(`${from}/`)) return undefined;
  const inner = name.slice(from.length + 1);
  const library = /^lib\/[^/]+$/.test(inner) ? LIBRARY.exec(inner)?.[1] : undefined;
  const wanted =
    library === undefined ? inner.startsWith('include/') || extra.test(inner) : !unused.test(library);
  return wanted ? path.posix.join(to, inner) : undefined;
}

/**
 * Unpacks `file` into `folder` and returns the libraries with their sizes and hashes.
 *
 * @throws ERR_DOWNLOAD when the file is no zip archive, is damaged, or cannot be written out;
 * `signal.reason` on abort.
 */
export async function unpack(
  file: string,
  layout: Layout,
  folder: string,
  options: UnpackOptions = {},
): Promise<readonly Library[]> {
  const libraries: Library[] = [];
  let zip: ZipFile | undefined;
  try {
    zip = await openPromise(file, { lazyEntries: true, autoClose: false });
    const entries = await wantedEntries(zip, RULES[layout]);
    const total = entries.reduce((sum, { entry }) => sum + entry.uncompressedSize, 0);
    let done = 0;
    for (const { entry, place } of entries) {
      const sha256 = await writeEntry(zip, entry, path.join(folder, place), options.signal, (bytes) => {
        done += bytes;
        options.onProgress?.(done, total);
      });
      if (/\.so(\.|$)/.test(place)) libraries.push({ path: place, bytes: entry.uncompressedSize, sha256 });
    }
  } catch (cause) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new AnimateDiffError('ERR_DOWNLOAD', `Cannot unpack ${file}: ${(cause as Error).message}.`, {
      cause,
      details: { file },
    });
  } finally {
    zip?.close();
  }
  return libraries;
}

async function wantedEntries(zip: ZipFile, rule: Rule): Promise<readonly { entry: Entry; place: string }[]> {
  const entries: { entry: Entry; place: string }[] = [];
  for await (const entry of zip.eachEntry()) {
    const place = entry.fileName.endsWith('/') ? undefined : rule.place(entry.fileName.replace(DATA, ''));
    if (place !== undefined) entries.push({ entry, place });
  }
  return entries;
}

async function writeEntry(
  zip: ZipFile,
  entry: Entry,
  target: string,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<string> {
  await mkdir(path.dirname(target), { recursive: true });
  const hash = createHash('sha256');
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, forward) {
      hash.update(chunk);
      onBytes(chunk.length);
      forward(null, chunk);
    },
  });
  await pipeline(await zip.openReadStreamPromise(entry), meter, createWriteStream(target), { signal });
  return hash.digest('hex');
}

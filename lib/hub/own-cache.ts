/**
 * Files that this package fetched from elsewhere than the Hugging Face hub: each in a folder of its own below
 * `models` in the cache, beside a manifest that is written last, so that a file with a manifest is complete.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { writeFile } from '../output/write.ts';
import { redacted } from '../redact.ts';
import type { Access } from './access.ts';
import { type Download, type DownloadOptions, fetchFile } from './download.ts';
import { withLock } from './lock.ts';
import { type RemoteSource, showSource } from './source.ts';

const MANIFEST = 'source.json';
/** Folders of the cache by kind of source, and how those of its files are named. */
export const KINDS: Readonly<Record<'civitai' | 'url', RegExp>> = { civitai: /^\d+$/, url: /^[0-9a-f]{64}$/ };

/** What is recorded about a file. */
export interface Manifest {
  /** As users write it, without secrets: its hash is enough to find it again. */
  readonly source: string;
  /** Name of the file beside the manifest. */
  readonly name: string;
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  /** When it was fetched, ISO 8601 in UTC. */
  readonly fetched: string;
}

/** A file that is complete. */
export interface StoredFile {
  readonly folder: string;
  readonly file: string;
  readonly manifest: Manifest;
}

/** Folder of all files of this kind. */
export function ownCache(cacheFolder: string): string {
  return path.join(cacheFolder, 'models');
}

/** Folder of one source. An address goes by its hash: the same file from two places is one file. */
export function ownFolder(cacheFolder: string, source: Exclude<RemoteSource, { kind: 'hf' }>): string {
  const key = source.kind === 'civitai' ? source.version : source.sha256;
  return path.join(ownCache(cacheFolder), source.kind, key);
}

/** The file of a folder if it is complete. Compares its size, not its hash. */
export async function readStored(folder: string): Promise<StoredFile | undefined> {
  try {
    const manifest = JSON.parse(await readFile(path.join(folder, MANIFEST), 'utf8')) as Manifest;
    const file = path.join(folder, path.basename(manifest.name));
    const { size } = await stat(file);
    return size === manifest.bytes ? { folder, file, manifest } : undefined;
  } catch {
    return undefined;
  }
}

/** All complete files. */
export async function listStored(cacheFolder: string): Promise<StoredFile[]> {
  const stored: StoredFile[] = [];
  for (const kind of Object.keys(KINDS)) {
    const parent = path.join(ownCache(cacheFolder), kind);
    for (const name of (await readdir(parent).catch(() => [])).sort()) {
      const found = await readStored(path.join(parent, name));
      if (found !== undefined) stored.push(found);
    }
  }
  return stored;
}

/** The last part of a path or address as a file name; `fallback` where that is none. */
export function safeName(text: string, fallback: string): string {
  const base = text.split(/[/\\]/).pop() ?? '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names must not have them
  const name = base.replace(/[\x00-\x1f\x7f:*?"<>|]/g, '_').slice(-200);
  return /^\.*$/.test(name) || name === MANIFEST ? fallback : name;
}

/** What is to be fetched into a folder of this cache. */
export interface StoreRequest {
  readonly source: Exclude<RemoteSource, { kind: 'hf' }>;
  readonly folder: string;
  readonly name: string;
  readonly download: Download & { readonly sha256: string };
  readonly headers?: DownloadOptions['headers'];
  readonly refuse?: DownloadOptions['refuse'];
}

/** Fetches a file, unless another process did so meanwhile, and returns its path. */
export async function store(request: StoreRequest, access: Access): Promise<string> {
  const { folder, name, download } = request;
  const source = showSource(request.source);
  const report = (phase: 'wait' | 'download' | 'verify', label: string, done: number, total?: number) =>
    access.onProgress?.({ phase, source, name: label, done, total });
  const fetchAndNote = async () => {
    const present = await readStored(folder);
    if (present !== undefined && present.manifest.sha256 === download.sha256) return present.file;
    const file = await fetchFile(download, {
      ...access,
      target: path.join(folder, name),
      proxy: access.environment.proxy,
      headers: request.headers,
      refuse: request.refuse,
      onProgress: (done, total) => report('download', name, done, total),
      onVerify: () => report('verify', name, 0, download.bytes),
    });
    await writeManifest({ source, name, url: redacted(download.url), sha256: download.sha256 }, file);
    return file;
  };
  const onWait = (holder: string) => report('wait', holder, 0);
  return await withLock(path.join(folder, '.lock'), fetchAndNote, { signal: access.signal, onWait });
}

async function writeManifest(facts: Omit<Manifest, 'bytes' | 'fetched'>, file: string): Promise<void> {
  const manifest: Manifest = { ...facts, bytes: (await stat(file)).size, fetched: new Date().toISOString() };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  await writeFile(path.join(path.dirname(file), MANIFEST), new TextEncoder().encode(text));
}

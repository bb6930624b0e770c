/** Temporary folders, and folders that look like a LibTorch, for tests. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

/** A new empty folder that goes away after the tests of the calling suite. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'animatediff-test-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface TreeOptions {
  /** Default `2.13.0+cpu`. */
  readonly version?: string;
  readonly cuda?: boolean;
  /** Default true. */
  readonly headers?: boolean;
  /** `archive` has a build-version, `wheel` a version.py. Default `archive`. */
  readonly layout?: 'archive' | 'wheel';
}

/** Makes `root` look like a LibTorch; the libraries are short texts. */
export function makeTree(root: string, options: TreeOptions = {}): string {
  const { version = '2.13.0+cpu', cuda = false, headers = true, layout = 'archive' } = options;
  const names = ['libc10.so', 'libtorch_cpu.so', ...(cuda ? ['libc10_cuda.so', 'libtorch_cuda.so'] : [])];
  const files: Record<string, string> = Object.fromEntries(names.map((name) => [`lib/${name}`, name]));
  if (headers) files['include/torch/script.h'] = '#pragma once\n';
  if (layout === 'archive') files['build-version'] = `${version}\n`;
  else files['version.py'] = `from typing import Optional\n\n__version__ = '${version}'\ndebug = False\n`;
  writeFiles(root, files);
  return root;
}

/** Adds what `install` leaves in the cache for a LibTorch of `version`. */
export function makeCached(cacheFolder: string, version: string, options: TreeOptions = {}): string {
  const folder = makeTree(path.join(cacheFolder, 'libtorch', version), { ...options, version });
  const libraries = [{ path: 'lib/libc10.so', bytes: 'libc10.so'.length, sha256: '0'.repeat(64) }];
  const device = options.cuda ? 'cuda' : 'cpu';
  const manifest = { version, device, installed: '2026-01-01T00:00:00.000Z', artefacts: [], libraries };
  writeFiles(folder, { 'manifest.json': JSON.stringify(manifest) });
  return folder;
}

/** Writes files, given by their path in `folder`, with the folders that they need. */
export function writeFiles(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

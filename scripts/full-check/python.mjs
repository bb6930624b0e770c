/** The Python that runs the reference: one that was given, or a private environment with pinned packages. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { run, say } from '../run.mjs';
import { importBuilt } from '../typescript.mjs';

const PACKAGES = [
  'torch==2.13.0',
  'diffusers==0.42.1',
  'transformers==5.23.0',
  'safetensors==0.8.0',
  'accelerate==1.15.0',
  'numpy==2.4.6',
  // LoRAs in diffusers.
  'peft==0.21.2',
];

/** Path of the interpreter; fetches the packages once. */
export async function referencePython(given) {
  if (given !== undefined) return given;
  const { readEnvironment } = await importBuilt('environment.js');
  const { cacheFolder, python } = readEnvironment();
  const folder = path.join(cacheFolder, 'reference');
  const interpreter = path.join(folder, 'bin', 'python');
  // Named after the list, so that another list is fetched anew.
  const list = createHash('sha256').update(PACKAGES.join('\n')).digest('hex').slice(0, 12);
  const done = path.join(folder, `complete-${list}`);
  if (existsSync(done)) return interpreter;
  say(`fetching ${PACKAGES.join(', ')} into ${folder}`);
  await mkdir(cacheFolder, { recursive: true });
  await run(python, ['-m', 'venv', '--clear', folder]);
  await run(interpreter, ['-m', 'pip', 'install', '--quiet', ...PACKAGES]);
  await mkdir(done);
  return interpreter;
}

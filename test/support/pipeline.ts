/** Ready pipelines of the seeded tiny model, and the cheapest request that uses everything. */
import path from 'node:path';
import { AnimateDiff } from '../../lib/animatediff.ts';
import type { GenerateOptions, LoadOptions } from '../../lib/options.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { writeCheckpoint, writeMotionModule } from './tiny-model.ts';

export interface TinyFiles {
  readonly folder: string;
  readonly base: string;
  readonly motionModule: string;
}

let files: TinyFiles | undefined;

/** Base model and v2 motion module, written once per process. */
export function tinyFiles(): TinyFiles {
  if (files === undefined) {
    const folder = temporaryFolder();
    files = {
      folder,
      base: path.join(folder, 'base.safetensors'),
      motionModule: path.join(folder, 'motion.ckpt'),
    };
    writeCheckpoint(files.base);
    writeMotionModule(files.motionModule, { version: 'v2' });
  }
  return files;
}

/** A pipeline on the CPU in float32 with a motion module, unless told otherwise. */
export function loadTiny(options: Partial<LoadOptions> = {}): Promise<AnimateDiff> {
  const { base, motionModule } = tinyFiles();
  return AnimateDiff.load({ base, motionModule, device: 'cpu', dtype: 'float32', threads: 1, ...options });
}

export const SMALL = {
  prompt: 'a paper boat',
  frames: 4,
  width: 64,
  height: 64,
  steps: 3,
  seed: 7,
} as const satisfies GenerateOptions;

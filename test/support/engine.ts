/** An engine filled with the seeded tiny model, for tests of single networks and of whole requests. */
import path from 'node:path';
import { graphFile } from '../../lib/graphs.ts';
import { NativeEngine, openEngine } from '../../lib/native.ts';
import type { MotionVersion } from '../../lib/options.ts';
import { type ModelPlan, type MotionModuleRequest, planModel } from '../../lib/weights/plan.ts';
import type { Role } from '../../lib/weights/types.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { writeCheckpoint, writeMotionModule } from './tiny-model.ts';

export const ALL_ROLES: readonly Role[] = ['text_encoder', 'unet', 'vae_decoder', 'vae_encoder'];

export interface TinyEngine {
  readonly engine: NativeEngine;
  readonly plan: ModelPlan;
}

/** Options of {@link tinyEngine}. */
export interface TinyEngineOptions {
  readonly motion?: Exclude<MotionVersion, 'lightning'>;
  /** Default 1. */
  readonly motionScale?: number;
  readonly unetVariant?: number;
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  readonly roles?: readonly Role[];
}

/** Device that parity is checked on; `ANIMATEDIFF_TEST_DEVICE=cuda` runs the same tests there. */
export const TEST_DEVICE = process.env.ANIMATEDIFF_TEST_DEVICE === 'cuda' ? 'cuda' : 'cpu';

/** Writes the files, plans them as a user's files are planned, and binds the networks. */
export async function tinyEngine(options: TinyEngineOptions = {}): Promise<TinyEngine> {
  const folder = temporaryFolder();
  const base = path.join(folder, 'base.safetensors');
  writeCheckpoint(base);
  let checkpoint: string | undefined;
  if (options.unetVariant) {
    checkpoint = path.join(folder, 'personalised.safetensors');
    writeCheckpoint(checkpoint, { variant: options.unetVariant, vae: false, textEncoder: false });
  }
  let motionModule: MotionModuleRequest | undefined;
  if (options.motion !== undefined) {
    const { motion: version, motionScale: scale } = options;
    motionModule = { path: path.join(folder, 'motion.ckpt'), version, scale };
    writeMotionModule(motionModule.path, { version: options.motion });
  }
  openEngine({ device: TEST_DEVICE });
  const plan = await planModel({ base, checkpoint, motionModule });
  const engine = new NativeEngine({
    device: TEST_DEVICE,
    deviceIndex: 0,
    dtype: options.dtype ?? 'float32',
    threads: 1,
  });
  for (const role of options.roles ?? ALL_ROLES) {
    await engine.bind(role, graphFile(plan.plans[role].graph), plan.plans[role].recipes);
  }
  return { engine, plan };
}

/** Writes the random model of the check in the real layouts and sizes, 3 GB: tsx write-model.ts FOLDER. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { writeCheckpoint, writeMotionModule } from '../../test/support/tiny-model.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('Expected a folder.');
const base = path.join(folder, 'sd15.safetensors');
const motion = path.join(folder, 'mm_sd_v15_v2.ckpt');
if (!existsSync(base)) writeCheckpoint(base, { family: 'sd15', dtype: 'F16' });
if (!existsSync(motion)) writeMotionModule(motion, { family: 'sd15', dtype: 'F16', version: 'v2' });

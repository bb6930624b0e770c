/** Writes the random tiny model that the demo animates: `tsx scripts/demo-model.ts FOLDER`. */
import path from 'node:path';
import { writeCheckpoint, writeMotionModule } from '../test/support/tiny-model.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('Expected a folder.');
writeCheckpoint(path.join(folder, 'base.safetensors'));
writeMotionModule(path.join(folder, 'motion.ckpt'), { version: 'v2' });

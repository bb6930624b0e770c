/** Plans of small archives: which networks and motion modules are taken, and what is refused. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type ArchiveMetadata, writeArchiveMetadata } from '../../lib/archive.ts';
import type { GraphFamily, GraphInfo } from '../../lib/graphs.ts';
import type { MotionVersion } from '../../lib/options.ts';
import { type ArchivePlan, planArchive } from '../../lib/weights/archive-plan.ts';
import { rejects } from './support/errors.ts';
import { temporaryFolder } from './support/files.ts';
import { FIXTURES } from './support/key-lists.ts';
import { module, writeModuleArchive } from './support/module-archive.ts';
import { type Piece, storage, tensor } from './support/pickle-bytes.ts';

const folder = temporaryFolder();

const graph = (
  name: string,
  ...parameters: readonly (readonly [string, readonly number[]])[]
): GraphInfo => ({
  name,
  parameters: Object.fromEntries(parameters),
});

const WEIGHT = ['weight', [2, 2]] as const;
const TABLE = 'down.motion_modules.pos_encoder.pe';

/** One or two parameters for each network, under the name of a family that ships. */
const SMALL: GraphFamily = {
  name: 'tiny',
  graphs: {
    text_encoder: graph('text', WEIGHT),
    vae_encoder: graph('encoder', WEIGHT),
    vae_decoder: graph('decoder', WEIGHT),
    unet: graph('unet', WEIGHT),
    unet_motion: graph('motion', WEIGHT, [TABLE, [1, 32, 2]]),
    unet_motion_mid: graph('mid', WEIGHT, [TABLE, [1, 32, 2]], [`mid_block.${TABLE.slice(5)}`, [1, 32, 2]]),
  },
  config: {
    vaeScaleFactor: 8,
    vaeScalingFactor: 1,
    latentChannels: 4,
    textLength: 77,
    vocabSize: 49408,
    sampleSize: 64,
  },
};

const METADATA: ArchiveMetadata = {
  format: 1,
  family: 'tiny',
  dtype: 'float32',
  sources: { base: 'base.safetensors' },
  software: 'test',
};

type Attributes = Readonly<Record<string, Piece>>;

const square = (): Piece => tensor('0', [2, 2], { length: 64 });
const table = (positions: number): Piece =>
  module([
    'motion_modules',
    module(['pos_encoder', module(['pe', tensor('0', [1, positions, 2], { length: 64 })])]),
  ]);
const sound: Attributes = {
  text_encoder: module(['weight', square()]),
  unet: module(['weight', square()]),
  vae_decoder: module(['weight', square()]),
};

function small(networks: Attributes, metadata: unknown = METADATA): Promise<ArchivePlan> {
  const file = path.join(folder, 'small.pt');
  const extra = typeof metadata === 'string' ? metadata : writeArchiveMetadata(metadata as ArchiveMetadata);
  const storages = { 0: Buffer.alloc(64 * 4) };
  writeModuleArchive(file, module(...Object.entries(networks)), { extra, storages });
  return planArchive(file, [SMALL]);
}

const animated = (version: MotionVersion, maxFrames: number): ArchiveMetadata => ({
  ...METADATA,
  motion: { version, maxFrames },
});

describe('planArchive', () => {
  it('leaves the VAE encoder out when the archive has none', async () => {
    const without = await small(sound);
    assert.deepEqual(Object.keys(without.plans), ['text_encoder', 'unet', 'vae_decoder']);
    const { plans } = await small({ ...sound, vae_encoder: module(['weight', square()]) });
    assert.equal(plans.vae_encoder?.graph, 'encoder');
  });

  for (const role of Object.keys(sound)) {
    it(`misses the ${role}`, async () => {
      const rest = Object.entries(sound).filter(([name]) => name !== role);
      await rejects(small(Object.fromEntries(rest)), 'ERR_WEIGHTS_MISSING', /lacks parameters/);
    });
  }

  it('takes the topology from the motion modules that are there', async () => {
    const motion = { ...sound, unet: module(['weight', square()], ['down', table(8)]) };
    const { topology, plans } = await small(motion, animated('v3', 8));
    assert.equal(topology, 'unet_motion');
    const recipe = plans.unet.recipes.find(({ target }) => target === TABLE);
    assert.deepEqual([recipe?.kind, recipe?.shape], ['copy', [1, 8, 2]]);
  });

  it('misses position tables, which are not computed anew', async () => {
    const mid = { ...sound, unet: module(['weight', square()], ['mid_block', table(8)]) };
    await rejects(small(mid, animated('v2', 8)), 'ERR_WEIGHTS_MISSING', /down\.motion_modules/);
  });

  it('refuses tables of another length than the description says', async () => {
    const motion = { ...sound, unet: module(['weight', square()], ['down', table(8)]) };
    await rejects(small(motion, animated('v3', 16)), 'ERR_WEIGHTS_SHAPE', /8 positions/);
  });

  it('refuses a description that contradicts the motion modules', async () => {
    await rejects(small(sound, animated('v2', 8)), 'ERR_FILE_CORRUPT', /has no motion modules/);
    const motion = { ...sound, unet: module(['weight', square()], ['down', table(8)]) };
    await rejects(small(motion), 'ERR_FILE_CORRUPT', /has motion modules/);
  });

  it('refuses weights of another shape and quantised weights', async () => {
    const wrong = { ...sound, unet: module(['weight', tensor('0', [2, 3], { length: 64 })]) };
    await rejects(small(wrong), 'ERR_WEIGHTS_SHAPE', /\[2, 3\].*\[2, 2\]/);
    const bytes = Buffer.from(square());
    const [floats, chars] = [storage('0', 64), storage('0', 64, 'CharStorage')];
    const start = bytes.indexOf(floats);
    const integers = Buffer.concat([bytes.subarray(0, start), chars, bytes.subarray(start + floats.length)]);
    await rejects(small({ ...sound, unet: module(['weight', integers]) }), 'ERR_FILE_FORMAT', /I8/);
  });

  it('refuses tensors that no network has a parameter for', async () => {
    const unet = module(['weight', square()], ['bias', square()]);
    await rejects(small({ ...sound, unet }), 'ERR_FILE_CORRUPT', /unet\.bias/);
    await rejects(
      small({ ...sound, controlnet: module(['weight', square()]) }),
      'ERR_FILE_CORRUPT',
      /controlnet/,
    );
    await rejects(small({ ...sound, weight: square() }), 'ERR_FILE_CORRUPT', /1 \(weight\)/);
    await rejects(
      small({ ...sound, constructor: module(['x', square()]) }),
      'ERR_FILE_CORRUPT',
      /constructor/,
    );
  });

  it('refuses descriptions that are not of this version', async () => {
    const bad = ['', 'null', '{"format":1', '{"format":2}', '[]'];
    for (const text of bad)
      await rejects(
        small(sound, text),
        'ERR_FILE_CORRUPT',
        /is a baked archive, but not one that this version/,
      );
    await rejects(small(sound, { ...METADATA, family: 'sd99' }), 'ERR_FILE_CORRUPT', /Bake it again/);
    await rejects(small(sound, { ...METADATA, family: 'sd15' }), 'ERR_UNSUPPORTED_MODEL', /'sd15'/);
  });

  it('refuses TorchScript of others, with and without a forged description', async () => {
    const foreign = path.join(FIXTURES, 'scripted.pt');
    await rejects(
      planArchive(foreign),
      'ERR_FILE_CORRUPT',
      /TorchScript archive, but not one that `bake` wrote/,
    );
    const forged = path.join(FIXTURES, 'runs-on-load.pt');
    await rejects(planArchive(forged), 'ERR_WEIGHTS_MISSING', /text encoder/);
  });
});

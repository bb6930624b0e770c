/** Archives that the engine's `bake` writes: their plans point to the weights of the model, byte for byte. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, statSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type ArchivePlan, planArchive } from '../../lib/weights/archive-plan.ts';
import { inspectPath } from '../../lib/weights/identify.ts';
import { type ModelPlan, planModel } from '../../lib/weights/plan.ts';
import { tensorBytes } from '../../lib/weights/shapes.ts';
import type { Recipe, Role, TensorSource, WeightPlan } from '../../lib/weights/types.ts';
import { toBFloat16, toFloat16 } from '../support/half-precision.ts';
import { loadTiny } from '../support/pipeline.ts';
import { type FloatDType, positionTable } from '../support/tensor.ts';
import { writeCheckpoint, writeMotionModule } from '../support/tiny-model.ts';
import { rejects } from './support/errors.ts';
import { temporaryFolder } from './support/files.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

const DTYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;
const ROUND = { F32: (values: Float32Array) => values, F16: toFloat16, BF16: toBFloat16 } as const;

interface Baked {
  readonly dtype: FloatDType;
  readonly version?: 'v1' | 'v2';
}

interface BakedFiles {
  readonly file: string;
  readonly archive: ArchivePlan;
  readonly files: ModelPlan;
}

/** Bakes the float32 model, and plans it from files of the same weights that hold the archive's dtype. */
async function bake({ dtype, version }: Baked): Promise<BakedFiles> {
  const name = `${version ?? 'image'}-${dtype}`;
  const [base, motion, file] = [at(`${name}.safetensors`), at(`${name}.ckpt`), at(`${name}.pt`)];
  const float32 = at(`${name}-float32.ckpt`);
  writeCheckpoint(base, { dtype });
  if (version !== undefined) {
    writeMotionModule(float32, { version });
    writeMotionModule(motion, { version, dtype });
  }
  const pipe = await loadTiny({
    dtype: DTYPES[dtype],
    motionModule: version && { path: float32, version },
  });
  await pipe.bake(file);
  await pipe.close();
  const files = await planModel({ base, motionModule: version && { path: motion, version } });
  return { file, archive: await planArchive(file), files };
}

const ready = new Map<string, Promise<BakedFiles>>();

/** {@link bake}, once for each case. */
function baked(how: Baked): Promise<BakedFiles> {
  const key = JSON.stringify(how);
  const found = ready.get(key) ?? bake(how);
  ready.set(key, found);
  return found;
}

const contents = new Map<string, Buffer>();

/** Bytes of a contiguous tensor. Each file is read once. */
function bytesOf(source: TensorSource | undefined, name: string): Buffer {
  assert.ok(source !== undefined && source.strides === undefined, name);
  const whole = contents.get(source.file) ?? readFileSync(source.file);
  contents.set(source.file, whole);
  return whole.subarray(source.offset, source.offset + tensorBytes(source));
}

/** Asserts that a baked table holds the sinusoid, up to the rounding of its dtype. */
function assertTable(dtype: FloatDType, actual: Buffer, [, length, channels]: readonly [1, number, number]) {
  const expected = positionTable(length, channels);
  const rounded = ROUND[dtype](expected);
  const copy = Uint8Array.from(actual).buffer;
  const values = dtype === 'F32' ? new Float32Array(copy) : new Uint16Array(copy);
  assert.equal(values.length, rounded.length);
  for (const [index, exact] of expected.entries()) {
    // The last place of a half near a zero of the sine is far below the rounding of the formula.
    if (dtype !== 'F32' && Math.abs(exact) < 0.01) continue;
    const difference = Math.abs((values[index] ?? Number.NaN) - (rounded[index] ?? Number.NaN));
    // The engine's table is exact; that of published files is off by up to 1e-6. Halves differ by one place.
    assert.ok(difference <= (dtype === 'F32' ? 2e-6 : 1), `position table ${index}: ${difference}`);
  }
}

const CASES: readonly Baked[] = [
  { dtype: 'F32', version: 'v2' },
  { dtype: 'F16', version: 'v2' },
  { dtype: 'BF16', version: 'v2' },
  { dtype: 'F32', version: 'v1' },
  { dtype: 'F32' },
];

const TOPOLOGIES = { v1: 'unet_motion', v2: 'unet_motion_mid', image: 'unet' } as const;

function assertPlan(plan: WeightPlan | undefined, wanted: WeightPlan, dtype: FloatDType): void {
  const targets = (recipes: readonly Recipe[]) => recipes.map(({ target }) => target);
  assert.ok(plan !== undefined);
  assert.equal(plan.graph, wanted.graph);
  assert.deepEqual(targets(plan.recipes), targets(wanted.recipes));
  for (const [index, expected] of wanted.recipes.entries()) {
    const recipe: Recipe | undefined = plan.recipes[index];
    assert.deepEqual(
      [recipe?.kind, recipe?.shape, recipe?.source?.dtype],
      ['copy', expected.shape, dtype],
      expected.target,
    );
    const actual = bytesOf(recipe?.source, expected.target);
    if (expected.kind === 'position_encoding') assertTable(dtype, actual, expected.shape);
    else assert.ok(actual.equals(bytesOf(expected.source, expected.target)), expected.target);
  }
}

describe('planArchive of what bake wrote', () => {
  for (const { dtype, version } of CASES) {
    it(`points to the weights of the model, ${version ?? 'without motion modules'} in ${dtype}`, async () => {
      const { archive, files } = await baked({ dtype, version });
      assert.equal(archive.topology, TOPOLOGIES[version ?? 'image']);
      assert.equal(archive.family.name, 'tiny');
      assert.equal(archive.metadata.dtype, DTYPES[dtype]);
      assert.deepEqual(Object.keys(archive.plans), Object.keys(files.plans));
      for (const [role, wanted] of Object.entries(files.plans))
        assertPlan(archive.plans[role as Role], wanted, dtype);
    });
  }

  it('takes tables of as many positions as the archive says', async () => {
    const { plans } = (await baked({ dtype: 'F32', version: 'v1' })).archive;
    const tables = plans.unet.recipes.filter(({ target }) => target.endsWith('.pe'));
    assert.ok(tables.length > 0);
    for (const { shape, source } of tables) {
      assert.equal(shape[1], 24);
      assert.deepEqual(source?.shape, shape);
    }
  });

  it('reports where a cut archive is damaged, wherever it is cut', async () => {
    const file = at('cut.pt');
    copyFileSync((await baked({ dtype: 'F32' })).file, file);
    const { size } = statSync(file);
    for (const part of [0.999999, 0.9999, 0.99, 0.9, 0.7, 0.5, 0.1, 0.01, 0.0001, 0]) {
      truncateSync(file, Math.floor(size * part));
      await rejects(planArchive(file), 'ERR_FILE_CORRUPT', /./, `cut to ${part}:`);
    }
  });

  it('is what inspect reports', async () => {
    const { file, archive } = await baked({ dtype: 'F16', version: 'v2' });
    const report = await inspectPath(file);
    const recipes = Object.values(archive.plans).flatMap((plan) => plan.recipes);
    assert.equal(report.format, 'torchscript');
    assert.equal(report.tensors, recipes.length);
    assert.deepEqual(report.dtypes, { F16: recipes.length });
    assert.equal(
      report.description,
      'a baked archive of base.safetensors, v2-F16-float32.ckpt (tiny, float16)',
    );
    assert.deepEqual(report.holds, { unet: true, motion: true, vae: true, textEncoder: true });
    assert.deepEqual([report.motion?.version, report.motion?.maxFrames], ['v2', 32]);
    assert.deepEqual(report.usableAs, ['base']);
  });
});

/** The seeded model is the same in TypeScript and in Python; the checksums are written by Python. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type Family, type FamilyName, REFERENCE_FOLDER, readFamily } from './family.ts';
import {
  motionParameters,
  type Parameter,
  textEncoderParameters,
  unetParameters,
  vaeParameters,
} from './parameters.ts';
import { elementCount, nameSeed, seededTensor } from './seeded-weights.ts';

interface Checksums {
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly variant: number;
    readonly first: readonly number[];
    readonly sha256: string;
  }[];
  readonly families: Readonly<
    Record<FamilyName, Readonly<Record<string, { count: number; sha256: string }>>>
  >;
}

const checksums = JSON.parse(
  readFileSync(path.join(REFERENCE_FOLDER, 'seeded-weights.json'), 'utf8'),
) as Checksums;

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

function networks(family: Family): Record<string, readonly Parameter[]> {
  return {
    unet: unetParameters(family.unet),
    vae: vaeParameters(family.vae),
    text_encoder: textEncoderParameters(family.text_encoder),
    'motion.v1': motionParameters(family.motion.v1),
    'motion.v2': motionParameters(family.motion.v2),
    'motion.v3': motionParameters(family.motion.v3),
  };
}

function summary(parameters: readonly Parameter[]): { count: number; sha256: string } {
  const lines = parameters.map(([name, shape]) => `${name} ${shape.join('x')}\n`).sort();
  return { count: lines.length, sha256: sha256(lines.join('')) };
}

const totalElements = (parameters: readonly Parameter[]) =>
  parameters.reduce((sum, [, shape]) => sum + elementCount(shape), 0);

describe('seeded weights', () => {
  for (const { name, shape, variant, first, sha256: expected } of checksums.tensors) {
    it(`of ${name}, variant ${variant}, are bit for bit those that Python computes`, () => {
      const values = seededTensor(name, shape, variant);
      assert.deepEqual([...values.subarray(0, first.length)], first);
      assert.equal(sha256(new Uint8Array(values.buffer)), expected);
    });
  }

  it('differ between variants of a model', () => {
    const base = seededTensor('conv_in.weight', [32, 4, 3, 3]);
    const other = seededTensor('conv_in.weight', [32, 4, 3, 3], 1);
    assert.ok(base.every((value, index) => value !== other[index]));
  });

  it('have a seed of their own for every parameter of the model', () => {
    const { 'motion.v1': _, 'motion.v3': __, ...distinct } = networks(readFamily('tiny'));
    const names = Object.values(distinct).flatMap((parameters) => parameters.map(([name]) => name));
    assert.equal(new Set(names.map((name) => nameSeed(name))).size, names.length);
  });

  it('refuse a name for which no rule says how large the values are', () => {
    assert.throws(() => seededTensor('alphas_cumprod', [1000]), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /alphas_cumprod/,
    });
  });
});

describe('parameter lists', () => {
  for (const name of ['tiny', 'sd15'] as const) {
    for (const [network, parameters] of Object.entries(networks(readFamily(name)))) {
      it(`of ${network} in family ${name} are those of diffusers and transformers`, () => {
        assert.deepEqual(summary(parameters), checksums.families[name][network]);
      });
    }
  }

  it('of SD 1.5 count as many parameters as the published models have', () => {
    const sd15 = networks(readFamily('sd15'));
    const totals = Object.entries(sd15).map(([network, parameters]) => [network, totalElements(parameters)]);
    assert.deepEqual(Object.fromEntries(totals), {
      unet: 859_520_964,
      vae: 83_653_863,
      text_encoder: 123_060_480,
      'motion.v1': 417_137_600,
      'motion.v2': 453_209_280,
      'motion.v3': 417_137_600,
    });
  });
});

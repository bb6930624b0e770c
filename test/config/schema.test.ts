/** The schema against what users get of it: the file for editors, the example, the written form. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatConfig } from '../../lib/config/format.ts';
import { configJsonSchema } from '../../lib/config/json-schema.ts';
import { loadConfig, parseConfig } from '../../lib/config/load.ts';
import {
  type Config,
  configSchema,
  GENERATE_KEYS,
  LOAD_KEYS,
  OUTPUT_KEYS,
  pick,
} from '../../lib/config/schema.ts';

const configs = new URL('../../configs/', import.meta.url);

describe('the JSON Schema for editors', () => {
  it('is the one that configs/schema.json holds (else run test/config/write-schema.ts)', async () => {
    const committed = JSON.parse(await readFile(new URL('schema.json', configs), 'utf8'));
    assert.deepEqual(committed, JSON.parse(JSON.stringify(configJsonSchema())));
  });

  it('allows seeds of 64 bits and forbids unknown keys', () => {
    const text = JSON.stringify(configJsonSchema());
    assert.ok(
      !text.includes(String(Number.MAX_SAFE_INTEGER)),
      'an upper bound of 2^53 would underline good seeds',
    );
    assert.equal(configJsonSchema().additionalProperties, false);
  });

  it('describes every key', () => {
    const { properties } = configJsonSchema() as { properties: Record<string, { description?: string }> };
    const silent = Object.keys(properties).filter((key) => !properties[key]?.description);
    assert.deepEqual(silent, []);
  });
});

describe('configs/example.yaml', () => {
  it('is a valid configuration that shows every key', async () => {
    const config = await loadConfig(fileURLToPath(new URL('example.yaml', configs)));
    assert.deepEqual(Object.keys(config).sort(), Object.keys(configSchema.shape).sort());
    assert.deepEqual(config.seed, [10788741199826055526n, 16372571278361863751n]);
  });
});

describe('a configuration that is written', () => {
  it('reads back to the same values, whatever its texts look like', () => {
    const config: Config = {
      base: '/models/a b.safetensors',
      motionModule: { path: '/models/mm.ckpt', version: 'v3' },
      prompt: [
        'yes',
        '1',
        'a: "b" # c',
        '- x',
        '',
        'two\nlines',
        '(dress:1.2), 中文 🌸',
        `${'long '.repeat(60)}`,
      ],
      seed: [18446744073709551615n, 10788741199826055526n, 7],
      guidanceScale: 7.5,
      scheduler: { name: 'ddim', eta: 0 },
    };
    assert.deepEqual(parseConfig(formatConfig(config, 'made by a test\nin two lines'), 'c.yaml'), config);
  });
});

describe('the keys of a configuration', () => {
  it('belong to loading, to generating or to writing, each exactly once', () => {
    const all = [...LOAD_KEYS, ...GENERATE_KEYS, ...OUTPUT_KEYS].sort();
    assert.deepEqual(all, Object.keys(configSchema.shape).sort());
  });

  it('are picked without those that are not set', () => {
    assert.deepEqual(pick({ base: 'a', prompt: 'x', fps: undefined }, ['base', 'fps', 'steps']), {
      base: 'a',
    });
  });
});

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/load.ts';
import { listLoadSources } from '../../lib/hub/load-sources.ts';
import { type HubSource, parseSource } from '../../lib/hub/source.ts';

const FOLDER = path.join(import.meta.dirname, '../../configs');

/** Configurations whose model is fetched, and not a part of the package or of the user's disk. */
const PERSONALISED = readdirSync(FOLDER).filter(
  (name) => name.endsWith('.yaml') && !/^(demo|example)/.test(name),
);

/** Files of the hub that the configurations may name, as its repositories have them. */
const MOTION_FILES = [
  'mm_sd_v14.ckpt',
  'mm_sd_v15_v2.ckpt',
  ...[
    'ZoomIn',
    'ZoomOut',
    'PanLeft',
    'PanRight',
    'TiltUp',
    'TiltDown',
    'RollingClockwise',
    'RollingAnticlockwise',
  ].map((move) => `v2_lora_${move}.ckpt`),
];

describe('every configuration of a personalised model', () => {
  it('is there', () => {
    const names = [
      'film-velvia',
      'ghibli-background',
      'lyriel',
      'majicmix',
      'rcnz-cartoon',
      'realistic-vision',
      'realistic-vision-v2',
      'toonyou',
      'tusun',
    ];
    for (const name of names) assert.ok(PERSONALISED.includes(`${name}.yaml`), name);
    assert.equal(PERSONALISED.filter((name) => name.startsWith('motion-lora-')).length, 8);
  });

  for (const name of PERSONALISED) {
    it(`loads and states where its files come from: ${name}`, async () => {
      const config = await loadConfig(path.join(FOLDER, name));
      const sources = listLoadSources(config).map(parseSource);
      assert.ok(sources.every(({ kind }) => kind !== 'local'));
      assert.ok(sources.length >= 2);
      for (const { repo, path: file } of sources.filter(
        (source): source is HubSource => source.kind === 'hf',
      )) {
        assert.notEqual(repo, 'runwayml/stable-diffusion-v1-5');
        if (repo === 'guoyww/animatediff') assert.ok(MOTION_FILES.includes(file ?? ''), file);
      }
      const count = [config.prompt ?? []].flat().length;
      assert.ok(count > 0);
      assert.equal([config.seed ?? []].flat().length, count);
      assert.ok([1, count].includes([config.negativePrompt ?? []].flat().length));
      assert.ok(readFileSync(path.join(FOLDER, name), 'utf8').includes(`generate configs/${name}`));
      assert.ok(config.steps !== undefined && config.guidanceScale !== undefined);
    });
  }

  it('keeps every digit of its seeds and every character of its prompts', async () => {
    const { seed, prompt, negativePrompt } = await loadConfig(path.join(FOLDER, 'toonyou.yaml'));
    assert.deepEqual([seed].flat().map(String), [
      '10788741199826055526',
      '6520604954829636163',
      '6519455744612555650',
      '16372571278361863751',
    ]);
    assert.equal(
      [prompt].flat()[3],
      'best quality, masterpiece, 1girl, cloudy sky, dandelion, contrapposto, alternate hairstyle,',
    );
    assert.deepEqual([negativePrompt].flat()[0], '');
  });

  it('merges its LoRA as AnimateDiff did', async () => {
    const scales: Readonly<Record<string, number>> = {
      tusun: 0.6,
      'film-velvia': 0.6,
      'ghibli-background': 1,
    };
    for (const [name, scale] of Object.entries(scales)) {
      const { loras } = await loadConfig(path.join(FOLDER, `${name}.yaml`));
      const [lora] = loras ?? [];
      assert.ok(typeof lora === 'object');
      assert.deepEqual([lora.scale, lora.ignoreAlpha], [scale, true]);
    }
  });
});

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/load.ts';
import { listLoadSources } from '../../lib/hub/load-sources.ts';
import { type HubSource, parseSource } from '../../lib/hub/source.ts';
import { samplingDefaults } from '../../lib/motion-sampling.ts';

const FOLDER = path.join(import.meta.dirname, '../../configs');

/** Configurations whose model is fetched, and not a part of the package or of the user's disk. */
const PERSONALISED = readdirSync(FOLDER).filter(
  (name) => name.endsWith('.yaml') && !/^(demo|example)/.test(name),
);

/** Files of the hub that the configurations may name, as its repositories have them. */
const DISTILLED_FILES: Readonly<Record<string, readonly string[]>> = {
  'wangfuyun/AnimateLCM': ['AnimateLCM_sd15_t2v.ckpt', 'AnimateLCM_sd15_t2v_lora.safetensors'],
  'ByteDance/AnimateDiff-Lightning': [1, 2, 4, 8].map(
    (steps) => `animatediff_lightning_${steps}step_diffusers.safetensors`,
  ),
};
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
      'animatelcm',
      'film-velvia',
      'ghibli-background',
      'lightning-1step',
      'lightning-2step',
      'lightning-4step',
      'lightning-8step',
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
        const distilled = DISTILLED_FILES[repo];
        if (distilled !== undefined) assert.ok(distilled.includes(file ?? ''), file);
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

  it('samples distilled modules with the settings that they bring themselves', async () => {
    for (const steps of [1, 2, 4, 8]) {
      const config = await loadConfig(path.join(FOLDER, `lightning-${steps}step.yaml`));
      const { scheduler, guidanceScale } = samplingDefaults({ version: 'lightning', steps });
      assert.deepEqual(
        [config.scheduler, config.guidanceScale, config.steps],
        [scheduler, guidanceScale, steps],
      );
    }
    const { scheduler, guidanceScale } = await loadConfig(path.join(FOLDER, 'animatelcm.yaml'));
    const expected = samplingDefaults({ version: 'animatelcm' });
    assert.deepEqual([scheduler, guidanceScale], [expected.scheduler, expected.guidanceScale]);
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

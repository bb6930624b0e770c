/** What `inspect` says about files of every kind. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type InspectReport, inspectPath } from '../../lib/weights/identify.ts';
import { rejects } from './support/errors.ts';
import { type Shapes, temporaryFolder, writeBytes, writeHeaderOnly } from './support/files.ts';
import * as lists from './support/key-lists.ts';
import * as models from './support/models.ts';

const folder = temporaryFolder();
let count = 0;
const fresh = () => path.join(folder, String(count++));
const inspectShapes = (shapes: Shapes) => inspectPath(writeHeaderOnly(fresh(), shapes));

type Facts = Partial<Pick<InspectReport, 'kind' | 'architecture' | 'layout' | 'usableAs'>> & {
  version?: string;
};

function has(report: InspectReport, { version, ...facts }: Facts, context: string): void {
  for (const [name, value] of Object.entries(facts)) {
    assert.deepEqual(report[name as keyof InspectReport], value, `${context}: ${name}`);
  }
  if (version !== undefined) assert.equal(report.motion?.version, version, context);
}

const LDM_UNET_ONLY = lists.LDM_UNET_SHAPES;
const without = (shapes: Shapes, prefix: string) =>
  new Map([...shapes].filter(([name]) => !name.startsWith(prefix)));
const SD = { kind: 'sd-checkpoint', layout: 'ldm' } as const;
const MOTION = {
  kind: 'motion-module',
  architecture: 'sd15',
  layout: 'original',
  usableAs: ['motionModule'],
} as const;

const files: readonly (readonly [what: string, shapes: Shapes, facts: Facts])[] = [
  [
    'an LDM checkpoint',
    lists.LDM_CHECKPOINT,
    { ...SD, architecture: 'sd15', usableAs: ['base', 'checkpoint'] },
  ],
  [
    'one without VAE',
    without(lists.LDM_CHECKPOINT, 'first_stage_model.'),
    { ...SD, usableAs: ['checkpoint'] },
  ],
  ['a pruned UNet', LDM_UNET_ONLY, { ...SD, architecture: 'sd15', usableAs: ['checkpoint'] }],
  [
    'an inpainting model',
    models.withInputChannels(lists.LDM_CHECKPOINT, 9),
    { ...SD, architecture: 'sd15-inpainting', usableAs: [] },
  ],
  [
    'InstructPix2Pix',
    models.withInputChannels(lists.LDM_CHECKPOINT, 8),
    { ...SD, architecture: 'sd15-pix2pix', usableAs: [] },
  ],
  ['SD 2', models.withContextWidth(LDM_UNET_ONLY, 1024), { ...SD, architecture: 'sd2', usableAs: [] }],
  ['SDXL', models.withContextWidth(LDM_UNET_ONLY, 2048), { ...SD, architecture: 'sdxl', usableAs: [] }],
  [
    'a diffusers UNet',
    lists.UNET,
    { kind: 'diffusers-unet', architecture: 'sd15', usableAs: ['checkpoint'] },
  ],
  ['a diffusers VAE', lists.VAE, { kind: 'diffusers-vae', architecture: 'sd15', usableAs: ['vae'] }],
  [
    'an LDM VAE',
    new Map(
      Array.from(lists.LDM_VAE_SHAPES, ([name, shape]) => [name.replace('first_stage_model.', ''), shape]),
    ),
    { kind: 'vae', usableAs: ['vae'] },
  ],
  ['a text encoder', lists.CLIP, { kind: 'clip-text', architecture: 'sd15', usableAs: [] }],
  ['a v1 motion module', lists.MOTION_V1, { ...MOTION, version: 'v1' }],
  ['a v2 motion module', lists.MOTION_V2, { ...MOTION, version: 'v2' }],
  ['a v3 motion module', lists.MOTION_V3, { ...MOTION, version: 'v3' }],
  ['a long v3 motion module', lists.withPositions(lists.MOTION_V3, 64), { ...MOTION, version: 'v3' }],
  ['AnimateLCM', lists.MOTION_LCM, { ...MOTION, version: 'animatelcm' }],
  ['a training checkpoint', lists.prefixed(lists.UNET_WITH_MOTION, 'module.'), { ...MOTION, version: 'v2' }],
  [
    'a MotionAdapter',
    lists.MOTION_ADAPTER_V2,
    { ...MOTION, kind: 'motion-adapter', layout: 'diffusers', version: 'v2' },
  ],
  ['an SDXL motion module', models.MOTION_SDXL, { kind: 'motion-module', version: 'sdxl', usableAs: [] }],
  [
    'HotshotXL',
    models.MOTION_HOTSHOT,
    { kind: 'motion-module', layout: 'hotshot', version: 'hotshotxl', usableAs: [] },
  ],
  ['PIA', models.PIA, { kind: 'motion-module', version: 'pia', usableAs: [] }],
  [
    'AnimateLCM-I2V',
    lists.joined(lists.MOTION_LCM, new Map([['img_encoder.conv.weight', [4]]])),
    { version: 'animatelcm-i2v', usableAs: [] },
  ],
  ['SparseCtrl', models.SPARSECTRL, { kind: 'sparsectrl', usableAs: [] }],
  [
    'a ControlNet',
    new Map([['control_model.zero_convs.0.0.weight', [320, 320, 1, 1]]]),
    { kind: 'controlnet', usableAs: [] },
  ],
  ['a domain adapter', models.DOMAIN_ADAPTER, { kind: 'domain-adapter-lora', usableAs: ['loras'] }],
  ['a MotionLoRA', models.MOTION_LORA, { kind: 'motion-lora', layout: 'original', usableAs: ['loras'] }],
  [
    'a diffusers MotionLoRA',
    models.MOTION_LORA_DIFFUSERS,
    { kind: 'motion-lora', layout: 'diffusers', usableAs: ['loras'] },
  ],
  ['a kohya LoRA', models.LORAS.kohya ?? new Map(), { kind: 'lora', layout: 'kohya', usableAs: ['loras'] }],
  ['a PEFT LoRA', models.LORAS.peft ?? new Map(), { kind: 'lora', layout: 'diffusers', usableAs: ['loras'] }],
  [
    'a diffusers LoRA',
    models.LORAS.diffusers ?? new Map(),
    { kind: 'lora', layout: 'diffusers', usableAs: ['loras'] },
  ],
  ['LoHa', models.LORAS.loha ?? new Map(), { kind: 'lora', layout: 'loha', usableAs: ['loras'] }],
  ['LoKr', models.LORAS.lokr ?? new Map(), { kind: 'lora', layout: 'lokr', usableAs: ['loras'] }],
  [
    'a textual inversion',
    new Map([['emb_params', [2, 768]]]),
    { kind: 'textual-inversion', architecture: 'sd15', usableAs: ['embeddings'] },
  ],
  [
    'a diffusers textual inversion',
    new Map([['<cat-toy>', [768]]]),
    { kind: 'textual-inversion', usableAs: ['embeddings'] },
  ],
  [
    'a textual inversion for Stable Diffusion 2',
    new Map([['emb_params', [2, 1024]]]),
    { kind: 'textual-inversion', architecture: 'sd2', usableAs: [] },
  ],
  [
    'one in the layout of the web UI',
    new Map([['string_to_param.*', [2, 1024]]]),
    { kind: 'textual-inversion', architecture: 'sd2', usableAs: [] },
  ],
  [
    'a textual inversion for SDXL',
    new Map([
      ['clip_l', [2, 768]],
      ['clip_g', [2, 1280]],
    ]),
    { kind: 'textual-inversion', architecture: 'sdxl', usableAs: [] },
  ],
  [
    'Flux',
    new Map([['double_blocks.0.img_attn.qkv.weight', [4, 4]]]),
    { kind: 'unknown', architecture: 'flux', usableAs: [] },
  ],
  [
    'unknown weights',
    new Map([['layer.0.weight', [4, 4]]]),
    { kind: 'unknown', architecture: 'unknown', usableAs: [] },
  ],
  ['no weights', new Map(), { kind: 'unknown', usableAs: [] }],
];

describe('inspectPath', () => {
  for (const [what, shapes, facts] of files) {
    it(`recognises ${what}`, async () => {
      const report = await inspectShapes(shapes);
      has(report, facts, report.description);
      assert.equal(
        report.usableAs.length > 0 || report.reason !== null,
        true,
        'says why it is usable for nothing',
      );
      assert.deepEqual(JSON.parse(JSON.stringify(report)), report, 'is plain data');
    });
  }

  it('counts tensors, bytes and dtypes', async () => {
    const file = writeHeaderOnly(fresh(), lists.MOTION_V2, 'F16', { author: 'x' });
    const report = await inspectPath(file);
    assert.equal(report.path, file);
    assert.equal(report.format, 'safetensors');
    assert.deepEqual([report.tensors, report.dtypes], [588, { F16: 588 }]);
    // 453,209,280 parameters (facts of the v2 module) and 42 tables of 32 positions.
    const tables = [...lists.MOTION_V2]
      .filter(([name]) => name.endsWith('.pe'))
      .reduce((sum, [, shape]) => sum + 32 * (shape[2] ?? 0), 0);
    assert.equal(report.bytes, 2 * (453_209_280 + tables));
    assert.equal(report.metadata.author, 'x');
    assert.deepEqual(report.motion, { version: 'v2', maxFrames: 32, stated: true, assumed: false });
  });

  it('lists what is missing, of another shape and unknown', async () => {
    const shapes = new Map([...lists.LDM_CHECKPOINT, ['extra.weight', [1]] as const]);
    shapes.delete('model.diffusion_model.out.2.bias');
    shapes.set('model.diffusion_model.out.2.weight', [8, 320, 3, 3]);
    const report = await inspectShapes(shapes);
    assert.deepEqual(report.missing, { count: 1, first: ['conv_out.bias'] });
    assert.deepEqual(report.mismatched, {
      count: 1,
      first: ['conv_out.weight [8, 320, 3, 3] instead of [4, 320, 3, 3]'],
    });
    assert.deepEqual(report.unknown, { count: 1, first: ['extra.weight'] });
    assert.deepEqual(report.usableAs, []);
    assert.match(report.reason ?? '', /conv_out\.weight \[8/);
  });

  it('says which networks a checkpoint holds, and counts averaged copies', async () => {
    const shapes = new Map([
      ...without(lists.LDM_CHECKPOINT, 'cond_stage_model.'),
      ['model_ema.decay', []] as const,
    ]);
    const report = await inspectShapes(shapes);
    assert.deepEqual(report.holds, { unet: true, motion: false, vae: true, textEncoder: false });
    assert.equal(report.emaTensors, 1);
    assert.equal(report.description, 'a Stable Diffusion 1.5 checkpoint (LDM layout; UNet, VAE)');
    assert.match(report.reason ?? '', /no text encoder: give it as `checkpoint`/);
  });

  it('assumes v3 where neither table nor config tells v1 from v3, and says so', async () => {
    const report = await inspectShapes(lists.withoutPositions(lists.MOTION_V3));
    assert.deepEqual(report.motion, { version: 'v3', maxFrames: 32, stated: false, assumed: true });
  });

  // diffusers saves AnimateLCM with the names, the shapes and the 32 positions of v2.
  for (const [what, name, config, version, assumed] of [
    ['a folder of its name', 'AnimateLCM', {}, 'animatelcm', false],
    [
      'its repository in the hub cache',
      'models--wangfuyun--AnimateLCM/snapshots/0a1b',
      {},
      'animatelcm',
      false,
    ],
    ['a copy that remembers it', 'copy', { _name_or_path: 'wangfuyun/AnimateLCM' }, 'animatelcm', false],
    ['the repository of v2', 'animatediff-motion-adapter-v1-5-2', {}, 'v2', false],
    ['a folder that says nothing', 'adapter', {}, 'v2', true],
  ] as const) {
    it(`tells AnimateLCM in diffusers layout by ${what}`, async () => {
      const report = await inspectPath(
        models.writeComponent(path.join(fresh(), name), lists.MOTION_ADAPTER_V2, {
          motion_max_seq_length: 32,
          use_motion_mid_block: true,
          ...config,
        }),
      );
      assert.deepEqual(report.motion, { version, maxFrames: 32, stated: true, assumed });
    });
  }

  it('reads diffusers folders, also of a single component', async () => {
    const pipeline = models.writePipeline(fresh(), {
      unet: lists.UNET,
      vae: lists.VAE,
      text_encoder: lists.CLIP_BARE,
    });
    const whole = await inspectPath(pipeline);
    has(
      whole,
      {
        kind: 'diffusers-folder',
        architecture: 'sd15',
        layout: 'diffusers',
        usableAs: ['base', 'checkpoint'],
      },
      'pipeline',
    );
    assert.equal(whole.format, 'folder');
    assert.equal(whole.tensors, 686 + 248 + 196);
    const bare = lists.withoutPositions(lists.MOTION_ADAPTER_V3);
    for (const [length, version] of [
      [24, 'v1'],
      [32, 'v3'],
    ] as const) {
      const adapter = await inspectPath(
        models.writeComponent(fresh(), bare, { motion_max_seq_length: length }),
      );
      has(adapter, { kind: 'motion-adapter', version, usableAs: ['motionModule'] }, version);
      assert.equal(adapter.motion?.maxFrames, length);
    }
    const pia = await inspectPath(
      models.writeComponent(fresh(), bare, { conv_in_channels: 9, motion_max_seq_length: 32 }),
    );
    has(pia, { version: 'pia', usableAs: [] }, 'PIA');
  });

  it('finds no use for TorchScript archives that bake did not write', async () => {
    const report = await inspectPath(path.join(lists.FIXTURES, 'scripted.pt'));
    has(report, { kind: 'torchscript', usableAs: [] }, 'archive');
    assert.equal(report.format, 'torchscript');
    assert.deepEqual(report.dtypes, { F32: 1 });
    assert.match(report.reason ?? '', /not one that `bake` wrote/);
  });

  it('fails with a code on what it cannot read', async () => {
    await rejects(inspectPath(path.join(folder, 'none')), 'ERR_FILE_NOT_FOUND');
    await rejects(inspectPath(writeBytes(fresh(), '<html>')), 'ERR_FILE_FORMAT');
  });
});

/** The complete lists of names that trainers write for SD 1.5: every layer once, none lost, none taken twice. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { graphFamilies } from '../../lib/graphs.ts';
import { inspectPath } from '../../lib/weights/identify.ts';
import { ldmUnetKey } from '../../lib/weights/keys/ldm-unet.ts';
import { unetLayerNames } from '../../lib/weights/keys/lora-layers.ts';
import { type LoraPlan, planLoras } from '../../lib/weights/loras.ts';
import { type ModelPlan, planModel } from '../../lib/weights/plan.ts';
import { diffusersMotionName, ldmUNetName } from '../support/layouts.ts';
import { rejects } from '../weights/support/errors.ts';
import { type Shapes, temporaryFolder, writeHeaderOnly } from '../weights/support/files.ts';
import * as lists from '../weights/support/key-lists.ts';

const folder = temporaryFolder();
let count = 0;
const write = (shapes: Shapes, metadata?: Record<string, string>) =>
  writeHeaderOnly(path.join(folder, `${count++}.safetensors`), shapes, 'F16', metadata);

/** A layer of the network with the shape of its weight. */
interface Layer {
  readonly path: string;
  readonly shape: readonly number[];
  readonly text?: boolean;
}

const layersOf = (all: Shapes, pattern: RegExp, text = false): Layer[] =>
  [...all].flatMap(([name, shape]) =>
    name.endsWith('.weight') && shape.length > 1 && pattern.test(name)
      ? [{ path: name.slice(0, -'.weight'.length), shape, text }]
      : [],
  );

const ATTENTION = layersOf(lists.UNET, /\.attn[12]\.(to_[qkv]|to_out\.0)\./);
const TRANSFORMERS = layersOf(lists.UNET, /\.attentions\./);
/** Of LCM-LoRA (Luo et al., arXiv 2311.05556), which AnimateLCM's is too: all but the first and last layers. */
const LCM = layersOf(lists.UNET, /\.(attentions|resnets|downsamplers|upsamplers)\./);
const EVERY_LAYER = layersOf(lists.UNET, /./);
const MOTION = layersOf(lists.MOTION_V2, /\.(to_[qkv]|to_out\.0)\./);
const TEXT = layersOf(lists.CLIP, /\.(self_attn\.\w+|mlp\.fc[12])\./, true);

/** Rank 4: `down` has the kernel of the layer. */
const downShape = ({ shape: [, columns = 1, ...kernel] }: Layer) => [4, columns, ...kernel];
const upShape = ({ shape: [rows = 1, , ...kernel] }: Layer) => [rows, 4, ...kernel.map(() => 1)];

type Naming = (layer: Layer) => readonly (readonly [name: string, shape: readonly number[]])[];

const flat = (name: string) => name.replaceAll('.', '_');
const pair =
  (down: string, up: string, alpha?: string) =>
  (rename: (layer: Layer) => string): Naming =>
  (layer) => [
    [`${rename(layer)}${down}`, downShape(layer)],
    [`${rename(layer)}${up}`, upShape(layer)],
    ...(alpha === undefined ? [] : [[`${rename(layer)}${alpha}`, []] as const]),
  ];

const kohya = pair('.lora_down.weight', '.lora_up.weight', '.alpha');
const peft = pair('.lora_A.weight', '.lora_B.weight');
const processors = pair('_lora.down.weight', '_lora.up.weight');

const ldm = (name: string) =>
  ldmUNetName(`${name}.weight`).slice('model.diffusion_model.'.length, -'.weight'.length);
const network = ({ text }: Layer) => (text ? 'text_encoder' : 'unet');
const inProcessor = (name: string) => name.replace(/\.(to_\w+?)(\.0)?$/, '.processor.$1');
const moved = (name: string) => diffusersMotionName(`${name}.weight`).slice(0, -'.weight'.length);

const NAMINGS: Readonly<Record<string, Naming>> = {
  'kohya, diffusers names': kohya(({ path: layer, text }) => `lora_${text ? 'te' : 'unet'}_${flat(layer)}`),
  'kohya, LDM names': kohya(({ path: layer, text }) =>
    text ? `lora_te1_${flat(layer)}` : `lora_unet_${flat(ldm(layer))}`,
  ),
  'LDM names with dots': pair(
    '.lora_down.weight',
    '.lora_up.weight',
  )(({ path: layer, text }) =>
    text ? `text_encoders.clip_l.transformer.${layer}` : `diffusion_model.${ldm(layer)}`,
  ),
  PEFT: peft((layer) => `base_model.model.${layer.path}`),
  'PEFT with the name of its adapter': pair(
    '.lora_A.default.weight',
    '.lora_B.default.weight',
  )((layer) => `${network(layer)}.base_model.model.${layer.path}`),
  diffusers: peft((layer) => `${network(layer)}.${moved(layer.path)}`),
  'diffusers before PEFT': pair(
    '.lora.down.weight',
    '.lora.up.weight',
  )((layer) => `${network(layer)}.${moved(layer.path)}`),
  'diffusers, text encoder before PEFT': pair(
    '.lora_linear_layer.down.weight',
    '.lora_linear_layer.up.weight',
  )((layer) => `${network(layer)}.${layer.path}`),
};

const PROCESSOR_NAMINGS: Readonly<Record<string, Naming>> = {
  AnimateDiff: processors(({ path: layer }) => inProcessor(layer)),
  'AnimateDiff, distributed': processors(({ path: layer }) => `module.${inProcessor(layer)}`),
  'diffusers, attention processors': processors(({ path: layer }) => `unet.${inProcessor(moved(layer))}`),
};

let model: ModelPlan;
before(async () => {
  model = await planModel({
    base: write(lists.LDM_CHECKPOINT),
    motionModule: { path: write(lists.MOTION_V2) },
  });
});

const plan = (shapes: Shapes, metadata?: Record<string, string>) =>
  planLoras([{ path: write(shapes, metadata), scale: 0.5, ignoreAlpha: false }], model.plans);

function targetsOf({ terms }: LoraPlan): string[] {
  return (['unet', 'text_encoder'] as const).flatMap((role) => [...terms[role].keys()]);
}

describe('names of adapters for SD 1.5', () => {
  it('number as many layers as kohya, AnimateDiff and LoCon train', () => {
    assert.deepEqual(
      [ATTENTION, TRANSFORMERS, MOTION, TEXT].map(({ length }) => length),
      [128, 192, 168, 72],
    );
    // 192, and 22 ResNets with 14 shortcuts, 6 samplers, conv_in and conv_out, 2 layers of the time embedding.
    assert.equal(EVERY_LAYER.length, 192 + 22 * 3 + 14 + 6 + 2 + 2);
  });

  const cases: readonly (readonly [string, Naming, readonly Layer[]])[] = [
    ...Object.entries(NAMINGS).map(
      ([name, naming]) =>
        [name, naming, [...EVERY_LAYER, ...(name.includes('LDM') ? [] : MOTION), ...TEXT]] as const,
    ),
    ...Object.entries(PROCESSOR_NAMINGS).map(
      ([name, naming]) => [name, naming, [...ATTENTION, ...MOTION]] as const,
    ),
  ];
  for (const [name, naming, layers] of cases) {
    it(`${name}: each of ${layers.length} layers gets its own pair`, async () => {
      const shapes = new Map(layers.flatMap((layer) => naming(layer)));
      const planned = await plan(shapes);
      assert.deepEqual(planned.notices, []);
      assert.deepEqual(targetsOf(planned).sort(), layers.map((layer) => `${layer.path}.weight`).sort());
      const offsets = new Set<number | undefined>();
      for (const layer of layers) {
        const terms = planned.terms[network(layer)].get(`${layer.path}.weight`);
        assert.equal(terms?.length, 1);
        const [up, down, mid] = terms[0]?.factors ?? [];
        assert.deepEqual([up?.shape, down?.shape, mid], [upShape(layer), downShape(layer), undefined]);
        const stated = naming(layer).some(([tensor]) => tensor.endsWith('.alpha'));
        assert.deepEqual(
          [terms[0]?.ratio, terms[0]?.alpha !== undefined],
          stated ? [0.25, true] : [1, false],
        );
        offsets.add(up?.offset).add(down?.offset);
      }
      assert.equal(offsets.size, 2 * layers.length, 'no tensor is used twice');
    });
  }

  // What published files have: which layers, under which names, in how many tensors.
  const published: readonly (readonly [string, number, Naming | undefined, readonly Layer[]])[] = [
    ['kohya, UNet and text encoder', 792, NAMINGS['kohya, diffusers names'], [...TRANSFORMERS, ...TEXT]],
    ['kohya with LDM names', 792, NAMINGS['kohya, LDM names'], [...TRANSFORMERS, ...TEXT]],
    ['AnimateLCM_sd15_t2v_lora', 834, NAMINGS['kohya, diffusers names'], LCM],
    ['v3_sd15_adapter', 256, PROCESSOR_NAMINGS.AnimateDiff, ATTENTION],
    ['v2_lora_ZoomIn and its kin', 336, PROCESSOR_NAMINGS.AnimateDiff, MOTION],
    ['their diffusers versions', 336, PROCESSOR_NAMINGS['diffusers, attention processors'], MOTION],
  ];
  for (const [what, tensors, naming, layers] of published) {
    it(`${what}: ${tensors} tensors, each for its own layer`, async () => {
      const shapes = new Map(layers.flatMap((layer) => naming?.(layer) ?? []));
      assert.equal(shapes.size, tensors);
      const planned = await plan(shapes);
      assert.deepEqual(planned.notices, []);
      assert.deepEqual(targetsOf(planned).sort(), layers.map((layer) => `${layer.path}.weight`).sort());
      const terms = (['unet', 'text_encoder'] as const).flatMap((role) => [...planned.terms[role].values()]);
      const sources = terms.flat().flatMap(({ factors, alpha }) => [...factors, alpha]);
      const offsets = sources.filter((source) => source !== undefined).map(({ offset }) => offset);
      assert.equal(new Set(offsets).size, offsets.length, 'no tensor is used twice');
      assert.equal(offsets.length, tensors, 'none is left out');
    });
  }

  it('of LDM are the inverse of those that a checkpoint is read with', () => {
    for (const { path: layer } of EVERY_LAYER) {
      const names = unetLayerNames(layer);
      assert.ok(names.includes(flat(ldm(layer))), layer);
      assert.equal(ldmUnetKey(`${ldm(layer)}.weight`), `${layer}.weight`);
    }
  });

  it('never stand for two layers', () => {
    for (const { name, graphs } of graphFamilies()) {
      const seen = new Map<string, string>();
      for (const parameter of Object.keys(graphs.unet_motion_mid.parameters)) {
        if (!parameter.endsWith('.weight')) continue;
        for (const layerName of new Set(unetLayerNames(parameter.slice(0, -7)))) {
          assert.equal(seen.get(layerName), undefined, `${name}: ${layerName}`);
          seen.set(layerName, parameter);
        }
      }
    }
  });
});

describe('LyCORIS names', () => {
  const [linear] = TRANSFORMERS.filter(({ shape }) => shape.length === 2);
  const name = `lora_unet_${flat(linear?.path ?? '')}`;
  const [rows = 0, columns = 0] = linear?.shape ?? [];
  const only = async (shapes: Shapes) => {
    const planned = await plan(shapes);
    return planned.terms.unet.get(`${linear?.path}.weight`)?.[0];
  };

  it('of LoHa give its six factors in order', async () => {
    const term = await only(
      new Map([
        [`${name}.hada_w1_b`, [4, columns]],
        [`${name}.hada_w1_a`, [rows, 4]],
        [`${name}.hada_w2_a`, [rows, 4]],
        [`${name}.hada_w2_b`, [4, columns]],
        [`${name}.alpha`, []],
      ]),
    );
    assert.equal(term?.kind, 'hadamard');
    assert.deepEqual(
      term?.factors.map((factor) => factor?.shape),
      [[rows, 4], [4, columns], [rows, 4], [4, columns], undefined, undefined],
    );
    assert.equal(term?.ratio, 0.25);
  });

  it('of LoKr give whole and split factors; two whole ones have no rank', async () => {
    const split = await only(
      new Map([
        [`${name}.lokr_w1`, [4, 8]],
        [`${name}.lokr_w2_a`, [rows / 4, 2]],
        [`${name}.lokr_w2_b`, [2, columns / 8]],
        [`${name}.alpha`, []],
      ]),
    );
    assert.deepEqual([split?.kind, split?.ratio], ['kronecker', 0.5]);
    const whole = await only(
      new Map([
        [`${name}.lokr_w1`, [4, 8]],
        [`${name}.lokr_w2`, [rows / 4, columns / 8]],
        [`${name}.alpha`, []],
      ]),
    );
    assert.deepEqual([whole?.ratio, whole?.alpha], [1, undefined]);
  });

  it('of DoRA tell rows from columns', async () => {
    const [base] = [kohya(() => name)(linear as Layer)];
    for (const [part, shape, axis] of [
      ['.dora_scale', [rows, 1], 0],
      ['.dora_scale', [1, columns], 1],
      ['.lora_magnitude_vector', [rows], 0],
    ] as const) {
      const term = await only(new Map([...base, [`${name}${part}`, shape]]));
      assert.equal(term?.magnitude?.axis, axis, part);
    }
    await rejects(only(new Map([...base, [`${name}.dora_scale`, [rows + 1]]])), 'ERR_WEIGHTS_SHAPE');
  });

  it('of whole differences change weight and bias', async () => {
    const norm = 'lora_unet_down_blocks_0_resnets_0_norm1';
    const planned = await plan(
      new Map([
        [`${norm}.w_norm`, [320]],
        [`${norm}.b_norm`, [320]],
        ['lora_unet_conv_in.diff', [320, 4, 3, 3]],
      ]),
    );
    assert.deepEqual(targetsOf(planned).sort(), [
      'conv_in.weight',
      'down_blocks.0.resnets.0.norm1.bias',
      'down_blocks.0.resnets.0.norm1.weight',
    ]);
  });
});

describe('an adapter for another model', () => {
  const wide = (width: number) =>
    new Map(
      ATTENTION.flatMap((layer) => {
        const shape = /attn2\.to_[kv]$/.test(layer.path) ? [layer.shape[0] ?? 0, width] : layer.shape;
        return NAMINGS['kohya, LDM names']?.({ ...layer, shape }) ?? [];
      }),
    );
  const named = (name: string) => kohya(() => name)({ path: name, shape: [64, 64] });
  const cases: readonly (readonly [string, Shapes, RegExp])[] = [
    ['SDXL', wide(2048), /a LoRA for SDXL/],
    ['Stable Diffusion 2', wide(1024), /a LoRA for Stable Diffusion 2/],
    [
      'SDXL by its second text encoder',
      new Map(named('lora_te2_text_model_encoder_layers_0_mlp_fc1')),
      /SDXL/,
    ],
    [
      'SDXL by its deeper transformers',
      new Map([
        ...(NAMINGS.PEFT?.(ATTENTION[0] as Layer) ?? []),
        ...named('lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q'),
      ]),
      /a LoRA for SDXL/,
    ],
    ['Flux', new Map(named('lora_unet_double_blocks_0_img_attn_qkv')), /a LoRA for Flux/],
    [
      'Flux in diffusers',
      new Map(peft(() => 'transformer.single_transformer_blocks.0.attn.to_q')(ATTENTION[0] as Layer)),
      /a LoRA for Flux/,
    ],
    [
      'Stable Diffusion 3',
      new Map(peft(() => 'transformer.transformer_blocks.0.attn.to_q')(ATTENTION[0] as Layer)),
      /a LoRA for Stable Diffusion 3/,
    ],
  ];
  for (const [what, shapes, message] of cases) {
    it(`is refused by name: ${what}`, async () => {
      await rejects(plan(shapes), 'ERR_UNSUPPORTED_MODEL', message);
      const report = await inspectPath(write(shapes));
      assert.deepEqual(report.usableAs, []);
      assert.match(report.reason ?? '', /LoRAs for .* are not supported/);
    });
  }

  it('is told by inspect, also when it can be used', async () => {
    const report = await inspectPath(write(wide(768)));
    assert.equal(report.description, 'a LoRA for Stable Diffusion 1.5 (kohya layout)');
    assert.deepEqual(report.usableAs, ['loras']);
  });
});

describe('an adapter that is not whole or not alone', () => {
  const first = ATTENTION[0] as Layer;
  const good = NAMINGS['kohya, diffusers names']?.(first) ?? [];

  it('is used without the layers and tensors that nothing takes, which are counted', async () => {
    const other = kohya(() => 'lora_unet_down_blocks_9_attn')(first);
    const planned = await plan(new Map([...good, ...other, ['bundle_emb.cat.string_to_param.*', [2, 768]]]));
    assert.deepEqual(
      planned.notices.map(({ code }) => code),
      ['unused-lora-layers', 'unused-tensors'],
    );
    assert.match(planned.notices[0]?.message ?? '', /^1 of the 2 layers .*: 1 \(down_blocks_9_attn\)\.$/);
    assert.match(planned.notices[1]?.message ?? '', /: 1 \(bundle_emb\.cat/);
    assert.equal(targetsOf(planned).length, 1);
  });

  it('is refused when it changes one layer under two names', async () => {
    const again = NAMINGS.PEFT?.(first) ?? [];
    await rejects(plan(new Map([...good, ...again])), 'ERR_FILE_FORMAT', /changes a layer twice/);
    const two = ['a', 'b'].flatMap((adapter) => [
      [`unet.${first.path}.lora_A.${adapter}.weight`, downShape(first)] as const,
      [`unet.${first.path}.lora_B.${adapter}.weight`, upShape(first)] as const,
    ]);
    await rejects(plan(new Map(two)), 'ERR_FILE_FORMAT', /changes a layer twice/);
  });

  it('is refused as OFT, BOFT, GLoRA or IA³', async () => {
    const name = `lora_unet_${flat(first.path)}`;
    for (const [part, form] of [
      ['oft_blocks', 'OFT'],
      ['a1.weight', 'GLoRA'],
      ['on_input', 'IA³'],
    ]) {
      await rejects(
        plan(new Map([[`${name}.${part}`, [4, 4]]])),
        'ERR_UNSUPPORTED_MODEL',
        new RegExp(form ?? ''),
      );
    }
  });

  it('is refused when its factors do not multiply to the layer', async () => {
    const [down, up] = good;
    for (const shapes of [
      [[down?.[0] ?? '', [4, 321]], up],
      [down, [up?.[0] ?? '', [320, 5]]],
      [down, [up?.[0] ?? '', [319, 4]]],
    ]) {
      await rejects(plan(new Map(shapes as [string, number[]][])), 'ERR_WEIGHTS_SHAPE', /does not fit/);
    }
  });
});

describe('alphas that diffusers states in the header', () => {
  const [q, k] = [ATTENTION[0], ATTENTION[1]] as [Layer, Layer];
  const shapes = new Map([...(NAMINGS.diffusers?.(q) ?? []), ...(NAMINGS.diffusers?.(k) ?? [])]);
  const ratios = async (stated: unknown) => {
    const planned = await plan(shapes, { lora_adapter_metadata: JSON.stringify(stated) });
    return [q, k].map(({ path: layer }) => planned.terms.unet.get(`${layer}.weight`)?.[0]?.ratio);
  };

  it('count by layer, and by the square root of the rank where that is said', async () => {
    assert.deepEqual(await ratios({ 'unet.lora_alpha': 8 }), [2, 2]);
    assert.deepEqual(
      await ratios({ 'unet.lora_alpha': 8, 'unet.alpha_pattern': { 'attn1.to_k': 2 } }),
      [2, 0.5],
    );
    assert.deepEqual(await ratios({ 'unet.lora_alpha': 8, 'unet.use_rslora': true }), [4, 4]);
    assert.deepEqual(await ratios({ 'text_encoder.lora_alpha': 8 }), [1, 1]);
    assert.deepEqual(await ratios(['x']), [1, 1]);
  });
});

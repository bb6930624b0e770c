/** Plans of weights: the right bytes for every parameter, and a clear error for every wrong file. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type GraphFamily, type GraphInfo, graphFamilies } from '../../lib/graphs.ts';
import { withTerms } from '../../lib/weights/loras.ts';
import { type ModelPlan, type PlanOptions, planModel } from '../../lib/weights/plan.ts';
import { readSafetensors } from '../../lib/weights/safetensors.ts';
import type { Recipe, Role, WeightPlan } from '../../lib/weights/types.ts';
import { rejects } from './support/errors.ts';
import { type Shapes, temporaryFolder, writeHeaderOnly } from './support/files.ts';
import * as lists from './support/key-lists.ts';
import * as models from './support/models.ts';

const folder = temporaryFolder();
let count = 0;
const write = (name: string, shapes: Shapes, ...rest: [('F16' | 'F32' | 'I8')?, Record<string, string>?]) =>
  writeHeaderOnly(path.join(folder, `${count++}-${name}.safetensors`), shapes, ...rest);
const fresh = () => path.join(folder, String(count++));

const without = (shapes: Shapes, ...prefixes: string[]) =>
  new Map([...shapes].filter(([name]) => !prefixes.some((prefix) => name.startsWith(prefix))));
const changed = (shapes: Shapes, name: string, shape?: readonly number[]): Shapes => {
  const copy = new Map(shapes);
  if (shape === undefined) copy.delete(name);
  else copy.set(name, shape);
  return copy;
};

const BASE = write('base', lists.LDM_CHECKPOINT);
const MOTION_V2 = write('v2', lists.MOTION_V2);

const recipes = (plan: ModelPlan, role: Role) =>
  new Map(plan.plans[role].recipes.map((recipe) => [recipe.target, recipe]));
const noticeCodes = (plan: ModelPlan) => plan.notices.map(({ code }) => code);
const positions = (recipe: Recipe | undefined) => {
  assert.equal(recipe?.kind, 'position_encoding');
  return recipe.shape;
};

/** Every parameter of every graph exactly once, in order, in the graph's shape. */
function isComplete(plan: ModelPlan): void {
  const family = graphFamilies().find(({ name }) => name === plan.family);
  assert.ok(family !== undefined);
  const keys = {
    text_encoder: 'text_encoder',
    unet: plan.topology,
    vae_decoder: 'vae_decoder',
    vae_encoder: 'vae_encoder',
  } as const;
  for (const [role, key] of Object.entries(keys) as [Role, keyof GraphFamily['graphs']][]) {
    const graph: GraphInfo = family.graphs[key];
    const { recipes: planned, graph: name } = plan.plans[role];
    assert.equal(name, graph.name);
    assert.deepEqual(
      planned.map(({ target }) => target),
      Object.keys(graph.parameters),
    );
    for (const { target, shape, kind } of planned)
      if (kind === 'copy') assert.deepEqual(shape, graph.parameters[target], target);
  }
}

describe('planModel', () => {
  it('plans a checkpoint in LDM layout: every parameter once, from the tensor that LDM names', async () => {
    const plan = await planModel({ base: BASE });
    isComplete(plan);
    assert.deepEqual(
      [plan.family, plan.topology, plan.motion, plan.notices],
      ['sd15', 'unet', undefined, []],
    );
    const { tensors } = await readSafetensors(BASE);
    const targets = new Map([
      ...recipes(plan, 'unet'),
      ...recipes(plan, 'vae_decoder'),
      ...recipes(plan, 'vae_encoder'),
    ]);
    for (const [ldm, name] of [...lists.LDM_UNET, ...lists.LDM_VAE]) {
      assert.deepEqual(targets.get(name)?.source, tensors.get(ldm), name);
    }
    assert.equal(targets.size, 686 + 248);
    assert.equal(recipes(plan, 'text_encoder').size, 196);
  });

  it('counts the bytes that the engine will read', async () => {
    const plan = await planModel({ base: BASE, motionModule: { path: MOTION_V2 } });
    const elements = [lists.UNET_WITH_MOTION, lists.VAE, lists.CLIP].flatMap((shapes) => [
      ...shapes.values(),
    ]);
    const total = elements.reduce(
      (sum, shape) => sum + shape.reduce((product, size) => product * size, 1),
      0,
    );
    assert.equal(plan.bytes, 2 * total);
  });

  it('plans a diffusers folder, with the old names of VAE attention layers', async () => {
    const old: Readonly<Record<string, string>> = {
      to_q: 'query',
      to_k: 'key',
      to_v: 'value',
      'to_out.0': 'proj_attn',
    };
    const vae = new Map(
      Array.from(lists.VAE, ([name, shape]) => [
        name.replace(/(to_q|to_k|to_v|to_out\.0)\./, (_, layer: string) => `${old[layer]}.`),
        shape,
      ]),
    );
    const base = models.writePipeline(fresh(), { unet: lists.UNET, vae, text_encoder: lists.CLIP });
    isComplete(await planModel({ base }));
  });

  it('copies between linear layers and 1×1 convolutions', async () => {
    const linear = lists.replaced(lists.LDM_CHECKPOINT, (name, shape) =>
      /proj_(in|out)\.weight$/.test(name) ? shape.slice(0, 2) : shape,
    );
    const plan = await planModel({ base: write('linear', linear) });
    const projection = recipes(plan, 'unet').get('down_blocks.0.attentions.0.proj_in.weight');
    assert.deepEqual(
      [projection?.shape, projection?.source?.shape],
      [
        [320, 320, 1, 1],
        [320, 320],
      ],
    );
    const attention = recipes(plan, 'vae_decoder').get('decoder.mid_block.attentions.0.to_q.weight');
    assert.deepEqual(
      [attention?.shape, attention?.source?.shape],
      [
        [512, 512],
        [512, 512, 1, 1],
      ],
    );
  });

  const motions: readonly (readonly [
    what: string,
    shapes: Shapes,
    version: string,
    topology: string,
    maxFrames: number,
    table: boolean,
  ])[] = [
    ['v1', lists.MOTION_V1, 'v1', 'unet_motion', 24, true],
    ['v2', lists.MOTION_V2, 'v2', 'unet_motion_mid', 32, true],
    ['v3', lists.MOTION_V3, 'v3', 'unet_motion', 32, true],
    ['a long v3', lists.withPositions(lists.MOTION_V3, 128), 'v3', 'unet_motion', 128, true],
    ['AnimateLCM', lists.MOTION_LCM, 'animatelcm', 'unet_motion_mid', 64, false],
    ['a diffusers v2', lists.MOTION_ADAPTER_V2, 'v2', 'unet_motion_mid', 32, true],
    [
      'a whole trained UNet of',
      lists.prefixed(lists.UNET_WITH_MOTION, 'module.'),
      'v2',
      'unet_motion_mid',
      32,
      true,
    ],
  ];
  for (const [what, shapes, version, topology, maxFrames, table] of motions) {
    it(`adds ${what} motion modules`, async () => {
      const file = write('motion', shapes);
      const plan = await planModel({ base: BASE, motionModule: { path: file } });
      isComplete(plan);
      assert.deepEqual([plan.topology, plan.motion], [topology, { version, maxFrames, file }]);
      const tables = plan.plans.unet.recipes.filter(({ kind }) => kind === 'position_encoding');
      assert.equal(tables.length, topology === 'unet_motion' ? 40 : 42);
      for (const recipe of tables) {
        assert.deepEqual(positions(recipe).slice(0, 2), [1, maxFrames]);
        assert.equal(recipe.source !== undefined, table);
      }
      const spatial = recipes(plan, 'unet').get('conv_in.weight');
      assert.equal(spatial?.source?.file, BASE);
    });
  }

  it('takes the length of position tables from the config of a MotionAdapter folder', async () => {
    const adapter = models.writeComponent(fresh(), lists.withoutPositions(lists.MOTION_ADAPTER_V3), {
      motion_max_seq_length: 24,
    });
    const plan = await planModel({ base: BASE, motionModule: { path: adapter } });
    assert.deepEqual(plan.motion, { version: 'v1', maxFrames: 24, file: adapter });
  });

  it('lets the version be given where the file does not tell it', async () => {
    const bare = write('bare', lists.withoutPositions(lists.MOTION_V3));
    const assumed = await planModel({ base: BASE, motionModule: { path: bare } });
    assert.deepEqual(
      [assumed.motion?.version, assumed.motion?.maxFrames, noticeCodes(assumed)],
      ['v3', 32, ['motion-version-assumed']],
    );
    const given = await planModel({ base: BASE, motionModule: { path: bare, version: 'v1' } });
    assert.deepEqual([given.motion?.version, given.motion?.maxFrames, given.notices], ['v1', 24, []]);
    const adapter = write('adapter', lists.MOTION_ADAPTER_V2);
    const second = await planModel({ base: BASE, motionModule: { path: adapter } });
    assert.deepEqual([second.motion?.version, noticeCodes(second)], ['v2', ['motion-version-assumed']]);
    const lcm = await planModel({ base: BASE, motionModule: { path: adapter, version: 'animatelcm' } });
    assert.deepEqual([lcm.motion?.version, lcm.notices], ['animatelcm', []]);
    const kept = await planModel({
      base: BASE,
      motionModule: { path: write('v3', lists.MOTION_V3), version: 'v1' },
    });
    assert.deepEqual([kept.motion?.version, kept.motion?.maxFrames], ['v1', 32]);
  });

  it('multiplies the last layer of each module by its scale, under adapters too', async () => {
    const { plans } = await planModel({ base: BASE, motionModule: { path: MOTION_V2, scale: 0.5 } });
    const scaled = (plan: WeightPlan) =>
      plan.recipes.filter((recipe) => recipe.kind === 'copy' && recipe.factor !== undefined);
    assert.equal(scaled(plans.unet).length, 21 * 2);
    for (const recipe of scaled(plans.unet)) {
      assert.match(recipe.target, /motion_modules\.\d\.temporal_transformer\.proj_out\.(weight|bias)$/);
      assert.equal(recipe.kind === 'copy' && recipe.factor, 0.5);
    }
    const [{ target, source } = { target: '', source: undefined }] = scaled(plans.unet);
    assert.ok(source !== undefined);
    const term = { kind: 'difference', factors: [source], scale: 1, ratio: 1 } as const;
    assert.equal(scaled(withTerms(plans.unet, new Map([[target, [term]]]))).length, 42);
    const plain = await planModel({ base: BASE, motionModule: { path: MOTION_V2, scale: 1 } });
    assert.deepEqual(scaled(plain.plans.unet), []);
  });

  it('refuses a version that contradicts the number of modules', async () => {
    await rejects(
      planModel({ base: BASE, motionModule: { path: MOTION_V2, version: 'v1' } }),
      'ERR_INVALID_ARGUMENT',
      /'v2' or 'animatelcm' or 'lightning'.*21 modules.*got 'v1'/,
    );
  });

  it('lays a checkpoint over the base, with all of its networks', async () => {
    const checkpoint = write('toonyou', lists.LDM_CHECKPOINT);
    const plan = await planModel({ base: BASE, checkpoint });
    const used = Object.values(plan.plans).flatMap(({ recipes: all }) =>
      all.map(({ source }) => source?.file),
    );
    assert.deepEqual([...new Set(used)], [checkpoint]);
    assert.deepEqual(plan.notices, []);
  });

  it('keeps the VAE and the text encoder of the base when a checkpoint has none, and says so', async () => {
    const checkpoint = write('pruned', lists.LDM_UNET_SHAPES);
    const plan = await planModel({ base: BASE, checkpoint });
    const files = Object.values(plan.plans).map(({ role, recipes: all }) => [role, all[0]?.source?.file]);
    assert.deepEqual(Object.fromEntries(files), {
      text_encoder: BASE,
      unet: checkpoint,
      vae_decoder: BASE,
      vae_encoder: BASE,
    });
    assert.deepEqual(noticeCodes(plan), ['kept-vae', 'kept-text-encoder']);
    assert.match(plan.notices[0]?.message ?? '', /pruned.*has no VAE; the one of .*base.* is kept/);
  });

  it('tells about tensors and motion modules that it does not use', async () => {
    const extra = write(
      'extra',
      lists.joined(lists.LDM_CHECKPOINT, lists.MOTION_V3, new Map([['mystery', [3]]])),
    );
    const plan = await planModel({ base: extra });
    assert.equal(plan.topology, 'unet');
    assert.deepEqual(noticeCodes(plan), ['unused-motion-modules', 'unused-tensors']);
    assert.match(plan.notices[1]?.message ?? '', /1 \(mystery\)/);
    assert.equal((await planModel({ base: extra, motionModule: { path: extra } })).topology, 'unet_motion');
  });

  it('reports what the files say about the prediction type', async () => {
    assert.equal((await planModel({ base: BASE })).prediction, undefined);
    const stated = write('stated', lists.LDM_CHECKPOINT, 'F16', { 'modelspec.prediction_type': 'v' });
    assert.deepEqual((await planModel({ base: stated })).prediction, {
      type: 'v_prediction',
      source: 'modelspec.prediction_type',
    });
    const marked = write('marked', lists.joined(lists.LDM_CHECKPOINT, new Map([['v_pred', [0]]])));
    assert.equal((await planModel({ base: marked })).prediction?.type, 'v_prediction');
  });

  it('plans the tiny family of this package from its own names', async () => {
    const tiny = graphFamilies().find(({ name }) => name === 'tiny');
    assert.ok(tiny !== undefined);
    const { graphs } = tiny;
    const shapes = (...keys: (keyof typeof graphs)[]): Shapes =>
      new Map(keys.flatMap((key) => Object.entries(graphs[key].parameters)));
    const base = models.writePipeline(fresh(), {
      unet: shapes('unet'),
      vae: shapes('vae_encoder', 'vae_decoder'),
      text_encoder: shapes('text_encoder'),
    });
    const motion = write(
      'tiny-motion',
      without(shapes('unet_motion_mid'), ...Object.keys(graphs.unet.parameters)),
    );
    const plan = await planModel({ base, motionModule: { path: motion } });
    isComplete(plan);
    assert.deepEqual([plan.family, plan.topology], ['tiny', 'unet_motion_mid']);
    await rejects(
      planModel({ base: BASE, motionModule: { path: motion } }),
      'ERR_UNSUPPORTED_MODEL',
      /architecture tiny.*architecture sd15/,
    );
    await rejects(planModel({ base, checkpoint: BASE }), 'ERR_UNSUPPORTED_MODEL', /architecture tiny/);
  });

  it('chooses among the families that it is given', async () => {
    await rejects(
      planModel(
        { base: BASE },
        graphFamilies().filter(({ name }) => name === 'tiny'),
      ),
      'ERR_UNSUPPORTED_MODEL',
    );
  });
});

describe('planModel, on incomplete and damaged models', () => {
  it('names the network that a base lacks, and the way out', async () => {
    for (const [prefix, title] of [
      ['first_stage_model.', 'VAE'],
      ['cond_stage_model.', 'text encoder'],
    ] as const) {
      const base = write('part', without(lists.LDM_CHECKPOINT, prefix));
      await rejects(
        planModel({ base }),
        'ERR_WEIGHTS_MISSING',
        new RegExp(`has no ${title}\\. Give a complete`),
      );
    }
    const bare = write('unet', lists.LDM_UNET_SHAPES);
    await rejects(planModel({ base: bare, checkpoint: bare }), 'ERR_WEIGHTS_MISSING', /Neither .* has a VAE/);
    await rejects(planModel({ base: write('unet', lists.UNET) }), 'ERR_WEIGHTS_MISSING', /has no VAE/);
    const noUnet = models.writePipeline(fresh(), { vae: lists.VAE, text_encoder: lists.CLIP });
    await rejects(planModel({ base: BASE, checkpoint: noUnet }), 'ERR_WEIGHTS_MISSING', /has no UNet/);
    await rejects(planModel({ base: noUnet }), 'ERR_WEIGHTS_MISSING', /has no UNet/);
  });

  it('counts and names missing parameters, with the file', async () => {
    const broken = write('broken', without(lists.LDM_CHECKPOINT, 'model.diffusion_model.middle_block.1.'));
    const error = await rejects(
      planModel({ base: broken }),
      'ERR_WEIGHTS_MISSING',
      /lacks parameters of the UNet: 26 \(mid_block\.attentions\.0\./,
    );
    assert.deepEqual([error.details.count, error.details.file], [26, broken]);
    const motion = write(
      'motion',
      changed(lists.MOTION_V2, 'mid_block.motion_modules.0.temporal_transformer.proj_in.bias'),
    );
    await rejects(
      planModel({ base: BASE, motionModule: { path: motion } }),
      'ERR_WEIGHTS_MISSING',
      /motion\.safetensors lacks .* 1 \(mid_block/,
    );
  });

  it('names a tensor of another shape, both shapes and the file', async () => {
    const broken = write(
      'broken',
      changed(lists.LDM_CHECKPOINT, 'model.diffusion_model.out.2.weight', [4, 320, 1, 1]),
    );
    await rejects(
      planModel({ base: broken }),
      'ERR_WEIGHTS_SHAPE',
      /'conv_out\.weight' of .*broken.* \[4, 320, 1, 1\].*needs \[4, 320, 3, 3\]/,
    );
    const motion = write(
      'motion',
      changed(lists.MOTION_V3, 'up_blocks.3.motion_modules.2.temporal_transformer.norm.bias', [321]),
    );
    await rejects(
      planModel({ base: BASE, motionModule: { path: motion } }),
      'ERR_WEIGHTS_SHAPE',
      /\[321\].*\[320\]/,
    );
  });

  it('refuses position tables of several lengths', async () => {
    const name =
      'up_blocks.3.motion_modules.2.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe';
    const motion = write('motion', changed(lists.MOTION_V3, name, [1, 24, 320]));
    await rejects(
      planModel({ base: BASE, motionModule: { path: motion } }),
      'ERR_WEIGHTS_SHAPE',
      /has 24 positions.*has 32/,
    );
  });

  it('refuses quantised weights', async () => {
    await rejects(
      planModel({ base: write('int8', lists.LDM_CHECKPOINT, 'I8') }),
      'ERR_FILE_FORMAT',
      /as I8.*quantised/,
    );
  });

  it('refuses two tensors for one parameter', async () => {
    const twice = write('twice', lists.joined(lists.LDM_CHECKPOINT, new Map([['unet.conv_in.bias', [320]]])));
    await rejects(
      planModel({ base: twice }),
      'ERR_FILE_FORMAT',
      /two tensors for one parameter.*unet\.conv_in\.bias/,
    );
  });
});

describe('planModel, on files of another kind', () => {
  const lora = write('lora', models.LORAS.kohya ?? new Map());
  const sd2Inpainting = models.withContextWidth(models.withInputChannels(lists.UNET, 9), 1024);
  type Wrong = readonly [
    what: string,
    options: PlanOptions,
    code: 'ERR_WRONG_KIND' | 'ERR_UNSUPPORTED_MODEL',
    message: RegExp,
  ];
  const wrong: readonly Wrong[] = [
    [
      'a LoRA as base',
      { base: lora },
      'ERR_WRONG_KIND',
      /is a LoRA \(kohya layout\), not what `base` takes.*Expected a Stable Diffusion 1\.5/,
    ],
    ['a LoRA as checkpoint', { base: BASE, checkpoint: lora }, 'ERR_WRONG_KIND', /is a LoRA.*`checkpoint`/],
    [
      'a base as motion module',
      { base: BASE, motionModule: { path: BASE } },
      'ERR_WRONG_KIND',
      /is a Stable Diffusion 1\.5 checkpoint.*mm_sd_v15_v2\.ckpt.*This file fits `base`/,
    ],
    [
      'a motion module as base',
      { base: MOTION_V2 },
      'ERR_WRONG_KIND',
      /is an AnimateDiff v2 motion module.*This file fits `motionModule`/,
    ],
    ['a VAE as base', { base: write('vae', lists.VAE) }, 'ERR_WRONG_KIND', /is a VAE/],
    [
      'a MotionLoRA as motion module',
      { base: BASE, motionModule: { path: write('ml', models.MOTION_LORA) } },
      'ERR_WRONG_KIND',
      /is a MotionLoRA/,
    ],
    [
      'SparseCtrl as motion module',
      { base: BASE, motionModule: { path: write('sc', models.SPARSECTRL) } },
      'ERR_WRONG_KIND',
      /is a SparseCtrl/,
    ],
    [
      'unknown weights as base',
      { base: write('x', new Map([['x.y', [4]]])) },
      'ERR_WRONG_KIND',
      /unknown weights/,
    ],
    [
      'SDXL',
      { base: write('xl', models.withContextWidth(lists.LDM_UNET_SHAPES, 2048)) },
      'ERR_UNSUPPORTED_MODEL',
      /is an SDXL checkpoint.*not supported/,
    ],
    [
      'SD 2',
      { base: write('sd2', models.withContextWidth(lists.LDM_CHECKPOINT, 1024)) },
      'ERR_UNSUPPORTED_MODEL',
      /Stable Diffusion 2/,
    ],
    [
      'inpainting',
      { base: write('in', models.withInputChannels(lists.LDM_CHECKPOINT, 9)) },
      'ERR_UNSUPPORTED_MODEL',
      /Stable Diffusion 1\.5 inpainting/,
    ],
    [
      'InstructPix2Pix',
      { base: write('p2p', models.withInputChannels(lists.LDM_CHECKPOINT, 8)) },
      'ERR_UNSUPPORTED_MODEL',
      /Stable Diffusion 1\.5 pix2pix.*Expected a Stable Diffusion 1\.5 checkpoint/,
    ],
    [
      'an inpainting checkpoint over a base',
      { base: BASE, checkpoint: write('in', models.withInputChannels(lists.LDM_UNET_SHAPES, 9)) },
      'ERR_UNSUPPORTED_MODEL',
      /Stable Diffusion 1\.5 inpainting.*Expected a personalised Stable Diffusion 1\.5 checkpoint/,
    ],
    ...[
      [
        'an inpainting folder',
        models.withInputChannels(lists.UNET, 9),
        /Stable Diffusion 1\.5 inpainting/,
      ] as const,
      [
        'an InstructPix2Pix folder',
        models.withInputChannels(lists.UNET, 8),
        /Stable Diffusion 1\.5 pix2pix/,
      ] as const,
      ['an SD 2 folder', models.withContextWidth(lists.UNET, 1024), /Stable Diffusion 2 /] as const,
      ['an SD 2 inpainting folder', sd2Inpainting, /Stable Diffusion 2 inpainting/] as const,
      ['an SDXL folder', models.withContextWidth(lists.UNET, 2048), /an SDXL diffusers folder/] as const,
    ].map(
      ([what, unet, message]): Wrong => [
        what,
        { base: models.writePipeline(fresh(), { unet, vae: lists.VAE, text_encoder: lists.CLIP }) },
        'ERR_UNSUPPORTED_MODEL',
        message,
      ],
    ),
    [
      'SD 3',
      { base: write('sd3', new Map([['model.diffusion_model.joint_blocks.0.x', [4]]])) },
      'ERR_UNSUPPORTED_MODEL',
      /is a Stable Diffusion 3 model/,
    ],
    [
      'Flux',
      { base: write('flux', new Map([['double_blocks.0.w', [4]]])) },
      'ERR_UNSUPPORTED_MODEL',
      /is a Flux model/,
    ],
    [
      'an SDXL motion module',
      { base: BASE, motionModule: { path: write('mx', models.MOTION_SDXL) } },
      'ERR_UNSUPPORTED_MODEL',
      /motion module for SDXL/,
    ],
    [
      'HotshotXL',
      { base: BASE, motionModule: { path: write('hs', models.MOTION_HOTSHOT) } },
      'ERR_UNSUPPORTED_MODEL',
      /HotshotXL motion module, which is for SDXL.*not supported/,
    ],
    ['PIA', { base: BASE, motionModule: { path: write('pia', models.PIA) } }, 'ERR_UNSUPPORTED_MODEL', /PIA/],
  ];
  for (const [what, options, code, message] of wrong) {
    it(`refuses ${what}, and says what it is`, async () => {
      await rejects(planModel(options), code, message);
    });
  }
});

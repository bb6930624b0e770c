/** Key maps against the complete key lists of real models: one to one, nothing left over. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { graphFamilies } from '../../lib/graphs.ts';
import { canonicalWeights } from '../../lib/weights/canonical.ts';
import { motionKeys } from '../../lib/weights/keys/diffusers-motion.ts';
import { ldmUnetKey } from '../../lib/weights/keys/ldm-unet.ts';
import { ldmVaeKey, ldmVaeLevels } from '../../lib/weights/keys/ldm-vae.ts';
import type { TensorSource } from '../../lib/weights/types.ts';
import type { Shapes } from './support/files.ts';
import * as lists from './support/key-lists.ts';

const sources = (shapes: Shapes): Map<string, TensorSource> =>
  new Map(Array.from(shapes, ([name, shape]) => [name, { file: 'x', offset: 0, dtype: 'F16', shape }]));
const canonical = (shapes: Shapes) => canonicalWeights(sources(shapes));
const names = (shapes: ReadonlyMap<string, unknown>) => [...shapes.keys()].sort();

const sd15 = graphFamilies().find(({ name }) => name === 'sd15');
assert.ok(sd15 !== undefined);

describe('the LDM layout', () => {
  it('maps the 686 UNet names one to one', () => {
    assert.equal(lists.LDM_UNET.size, 686);
    for (const [ldm, name] of lists.LDM_UNET)
      assert.equal(ldmUnetKey(ldm.replace('model.diffusion_model.', '')), name);
    assert.deepEqual([...new Set(lists.LDM_UNET.values())].sort(), names(lists.UNET));
  });

  it('maps the 248 VAE names one to one, with the order of the decoder reversed', () => {
    assert.equal(lists.LDM_VAE.size, 248);
    const bare = [...lists.LDM_VAE.keys()].map((name) => name.replace('first_stage_model.', ''));
    const levels = ldmVaeLevels(bare);
    assert.equal(levels, 4);
    for (const [ldm, name] of lists.LDM_VAE)
      assert.equal(ldmVaeKey(ldm.replace('first_stage_model.', ''), levels), name);
    assert.deepEqual([...new Set(lists.LDM_VAE.values())].sort(), names(lists.VAE));
  });

  it('counts the levels of a VAE with other widths', () => {
    const names = ['decoder.up.0.block.0.conv1.weight', 'decoder.up.1.block.0.conv1.weight'];
    assert.equal(ldmVaeLevels(names), 2);
    assert.equal(
      ldmVaeKey('decoder.up.1.upsample.conv.bias', 2),
      'decoder.up_blocks.0.upsamplers.0.conv.bias',
    );
  });

  it('maps a whole checkpoint, and ignores what is no parameter', () => {
    const extras = [
      'model_ema.decay',
      'model_ema.diffusion_modelinput_blocks00weight',
      'alphas_cumprod',
      'betas',
      'first_stage_model.loss.logvar',
      'cond_stage_model.transformer.text_model.embeddings.position_ids',
    ].map((name): [string, number[]] => [name, [1]]);
    const { parts, unknown, emaTensors, duplicates } = canonical(
      lists.joined(lists.LDM_CHECKPOINT, new Map(extras)),
    );
    assert.deepEqual(names(parts.unet), names(lists.UNET));
    assert.deepEqual(names(parts.vae), names(lists.VAE));
    assert.deepEqual(names(parts.textEncoder), names(lists.CLIP));
    assert.equal(parts.textEncoder.size, 196);
    assert.deepEqual([unknown, duplicates, emaTensors], [[], [], 2]);
  });

  it('does not map names of other architectures', () => {
    for (const name of [
      'label_emb.0.0.weight',
      'input_blocks.1.0.in_layers.7.weight',
      'output_blocks.x.0.y',
      'constructor',
      'middle_block.3.x',
    ]) {
      assert.equal(ldmUnetKey(name), undefined, name);
    }
  });
});

describe('the diffusers layout', () => {
  it('keeps UNet and VAE names', () => {
    const { parts, unknown } = canonical(
      lists.joined(lists.prefixed(lists.UNET, 'unet.'), lists.prefixed(lists.VAE, 'vae.')),
    );
    assert.deepEqual(
      [names(parts.unet), names(parts.vae), unknown],
      [names(lists.UNET), names(lists.VAE), []],
    );
  });

  it('accepts the old names of VAE attention layers', () => {
    const old: Readonly<Record<string, string>> = {
      to_q: 'query',
      to_k: 'key',
      to_v: 'value',
      'to_out.0': 'proj_attn',
    };
    const renamed = new Map(
      Array.from(lists.VAE, ([name, shape]) => [
        name.replace(/(to_q|to_k|to_v|to_out\.0)\./, (_, layer: string) => `${old[layer]}.`),
        shape,
      ]),
    );
    assert.ok(renamed.has('decoder.mid_block.attentions.0.proj_attn.bias'));
    assert.deepEqual(names(canonical(renamed).parts.vae), names(lists.VAE));
  });

  it('accepts text encoders with and without text_model.', () => {
    for (const prefix of [
      '',
      'text_model.',
      'text_encoder.',
      'cond_stage_model.transformer.',
      'cond_stage_model.transformer.text_model.',
    ]) {
      assert.deepEqual(
        names(canonical(lists.prefixed(lists.CLIP_BARE, prefix)).parts.textEncoder),
        names(lists.CLIP),
        prefix,
      );
    }
  });
});

describe('the layouts of motion modules', () => {
  const adapters: readonly (readonly [what: string, count: number, shapes: Shapes, original: Shapes])[] = [
    ['v2', 567, lists.MOTION_ADAPTER_V2, lists.MOTION_V2],
    ['v1 and v3', 540, lists.MOTION_ADAPTER_V3, lists.MOTION_V3],
  ];
  for (const [what, count, shapes, original] of adapters) {
    it(`maps the ${count} names of a diffusers MotionAdapter (${what}) to the ${original.size} original ones`, () => {
      assert.equal(shapes.size, count);
      const { parts, unknown, layouts } = canonical(shapes);
      assert.deepEqual(names(parts.motion), names(original));
      assert.deepEqual([unknown, layouts.motion], [[], 'diffusers']);
      for (const [name, shape] of original) assert.deepEqual(parts.motion.get(name)?.shape, shape, name);
    });
  }

  it('keeps the 588 and 560 original names behind every known prefix', () => {
    assert.deepEqual([lists.MOTION_V2.size, lists.MOTION_V3.size], [588, 560]);
    for (const prefix of [
      '',
      'module.',
      'unet.',
      'model.diffusion_model.',
      'module.unet.',
      '_orig_mod.module.',
      'motion_module.',
    ]) {
      const { parts, unknown } = canonical(lists.prefixed(lists.MOTION_V2, prefix));
      assert.deepEqual([names(parts.motion), unknown], [names(lists.MOTION_V2), []], prefix);
    }
  });

  it('feeds both attentions from the one position table of diffusers', () => {
    const keys = motionKeys('up_blocks.3.motion_modules.2.transformer_blocks.0.pos_embed.pe');
    const block = 'up_blocks.3.motion_modules.2.temporal_transformer.transformer_blocks.0';
    assert.deepEqual(keys, {
      layout: 'diffusers',
      names: [`${block}.attention_blocks.0.pos_encoder.pe`, `${block}.attention_blocks.1.pos_encoder.pe`],
    });
  });

  it('renames the blocks of HotshotXL', () => {
    assert.deepEqual(
      motionKeys(
        'down_blocks.0.temporal_attentions.1.transformer_blocks.0.attention_blocks.0.pos_encoder.positional_encoding',
      ),
      {
        layout: 'hotshot',
        names: [
          'down_blocks.0.motion_modules.1.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe',
        ],
      },
    );
  });

  it('separates motion modules from the rest of a whole UNet', () => {
    const { parts, unknown } = canonical(lists.prefixed(lists.UNET_WITH_MOTION, 'module.'));
    assert.deepEqual([parts.unet.size, parts.motion.size, unknown], [686, 588, []]);
  });
});

describe('canonical names', () => {
  it('are exactly the parameters of the graphs', () => {
    const { graphs } = sd15;
    assert.deepEqual(Object.keys(graphs.unet.parameters).sort(), names(lists.UNET));
    assert.deepEqual(Object.keys(graphs.unet_motion_mid.parameters).sort(), names(lists.UNET_WITH_MOTION));
    assert.deepEqual(Object.keys(graphs.text_encoder.parameters).sort(), names(lists.CLIP));
    const vae = [
      ...Object.keys(graphs.vae_encoder.parameters),
      ...Object.keys(graphs.vae_decoder.parameters),
    ];
    assert.deepEqual(vae.sort(), names(lists.VAE));
  });

  it('list a second tensor for the same parameter instead of hiding it', () => {
    const twice = canonical(
      new Map([
        ['unet.conv_in.bias', [4]],
        ['module.conv_in.bias', [4]],
      ]),
    );
    assert.deepEqual(twice.duplicates, ['module.conv_in.bias']);
  });
});

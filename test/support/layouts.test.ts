/** Names of the LDM layout against the tables that mmagic's converters give for SD 1.5 and its VAE. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { readFamily } from './family.ts';
import { diffusersMotionName, isVaeAttentionWeight, ldmUNetName, ldmVaeName, oldVaeName } from './layouts.ts';
import { motionParameters, type Parameter, unetParameters, vaeParameters } from './parameters.ts';

const family = readFamily('sd15');

/** Hash of the sorted lines `LDM name <tab> canonical name`. */
function tableHash(parameters: readonly Parameter[], name: (canonical: string) => string): string {
  const lines = parameters.map(([canonical]) => `${name(canonical)}\t${canonical}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}

describe('layouts', () => {
  it('name all 686 UNet parameters as LDM checkpoints do', () => {
    const expected = '2397e25190ba02f8aa9bf30a29437b4e657b78e180db07aeaa7f967c7023ee16';
    assert.equal(tableHash(unetParameters(family.unet), ldmUNetName), expected);
  });

  it('name all 248 VAE parameters as LDM checkpoints do', () => {
    const expected = '4f3dd0b6f504eff4729a6db7aaee81c7daf3f8b7830f15f3c0aadc07910fc8b2';
    assert.equal(tableHash(vaeParameters(family.vae), ldmVaeName), expected);
  });

  it('tell the eight attention weights of the VAE from its other parameters', () => {
    const weights = vaeParameters(family.vae).filter(([name]) => isVaeAttentionWeight(name));
    assert.equal(weights.length, 8);
    assert.ok(weights.every(([, shape]) => shape.length === 2));
  });

  it('give the VAE attention its names of old diffusers files and leave the rest alone', () => {
    const changed = vaeParameters(family.vae).filter(([name]) => oldVaeName(name) !== name);
    assert.equal(changed.length, 16);
    assert.equal(
      oldVaeName('decoder.mid_block.attentions.0.to_out.0.bias'),
      'decoder.mid_block.attentions.0.proj_attn.bias',
    );
  });

  it('give motion modules the names of a MotionAdapter', () => {
    const block = 'up_blocks.1.motion_modules.2.transformer_blocks.0';
    const original = 'up_blocks.1.motion_modules.2.temporal_transformer.transformer_blocks.0';
    const renames = {
      [`${original}.attention_blocks.1.to_out.0.bias`]: `${block}.attn2.to_out.0.bias`,
      [`${original}.attention_blocks.0.pos_encoder.pe`]: `${block}.pos_embed.pe`,
      [`${original}.norms.0.weight`]: `${block}.norm1.weight`,
      [`${original}.ff_norm.weight`]: `${block}.norm3.weight`,
      [`${original}.ff.net.0.proj.weight`]: `${block}.ff.net.0.proj.weight`,
    };
    for (const [name, expected] of Object.entries(renames)) assert.equal(diffusersMotionName(name), expected);
    const names = motionParameters(family.motion.v2).map(([name]) => diffusersMotionName(name));
    assert.equal(new Set(names).size, 546);
  });
});

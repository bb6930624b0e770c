/** The alphas that a header states by patterns, and what a hostile header of many patterns costs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { statedRatio } from '../../lib/weights/lora-metadata.ts';

const stating = (config: object) => statedRatio({ lora_adapter_metadata: JSON.stringify(config) });

describe('statedRatio', () => {
  it('takes the first pattern that is the layer or the end of its path', () => {
    const ratio = stating({
      'unet.lora_alpha': 2,
      'unet.alpha_pattern': { 'attn1.to_q': 4, to_q: 8, 'down.attn1.to_q': 16, o_k: 32 },
    });
    const layers = ['down_attn1_to_q', 'down_attn2_to_q', 'to_q', 'attn1_to_k', 'to_v'];
    assert.deepEqual(
      layers.map((layer) => ratio('unet', layer, 4)),
      [1, 2, 2, 0.5, 0.5],
    );
    assert.equal(ratio('text_encoder', 'to_q', 4), 1);
  });

  it('costs no more for each layer with many patterns than with few', () => {
    const patterns = Object.fromEntries(
      Array.from({ length: 100_000 }, (_, at) => [`blocks.${at}.to_q`, at]),
    );
    const ratio = stating({ 'unet.alpha_pattern': patterns });
    const start = process.cpuUsage();
    for (let at = 0; at < 100_000; at++) assert.equal(ratio('unet', `down_blocks_${at}_to_q`, 1), at);
    const { user, system } = process.cpuUsage(start);
    assert.ok(user + system < 10_000_000, `${(user + system) / 1000} ms for 100,000 layers`);
  });
});

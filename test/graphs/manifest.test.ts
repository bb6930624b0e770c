import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { GRAPH_FOLDER, graphFamilies, graphFile } from '../../lib/graphs.ts';

const SCRIPTS = path.resolve('scripts');

/** The same bytes as `source_hash` in scripts/export_graphs.py. */
function sourceHash(): string {
  const networks = readdirSync(path.join(SCRIPTS, 'graphs')).filter((name) => name.endsWith('.py'));
  const files = ['export_graphs.py', ...networks.sort().map((name) => `graphs/${name}`)];
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(path.join(SCRIPTS, file)))
      .update('\0');
  return hash.digest('hex');
}

describe('the graphs that ship', () => {
  const manifest = JSON.parse(readFileSync(path.join(GRAPH_FOLDER, 'manifest.json'), 'utf8'));

  it('were exported from the sources as they are now (else: python scripts/export_graphs.py)', () => {
    assert.equal(manifest.sources, sourceHash());
  });

  it('are the archives that the manifest describes', () => {
    for (const family of manifest.families) {
      for (const graph of Object.values(family.graphs) as { name: string; sha256: string }[]) {
        const bytes = readFileSync(graphFile(graph.name));
        assert.equal(createHash('sha256').update(bytes).digest('hex'), graph.sha256, graph.name);
        assert.ok(bytes.length < 1 << 20, `${graph.name} holds no weights`);
        assert.ok(
          !/\.py", line \d/.test(bytes.toString('latin1')),
          `${graph.name} holds no paths of its sources`,
        );
      }
    }
  });

  it('have the tensor counts of Stable Diffusion 1.5 and of the motion modules', () => {
    const sd15 = graphFamilies().find((family) => family.name === 'sd15');
    const count = (
      key: 'text_encoder' | 'vae_encoder' | 'vae_decoder' | 'unet' | 'unet_motion' | 'unet_motion_mid',
    ) => Object.keys(sd15?.graphs[key].parameters ?? {}).length;
    assert.equal(count('text_encoder'), 196);
    assert.equal(count('vae_encoder') + count('vae_decoder'), 248);
    assert.equal(count('unet'), 686);
    assert.equal(count('unet_motion') - count('unet'), 560);
    assert.equal(count('unet_motion_mid') - count('unet'), 588);
  });
});

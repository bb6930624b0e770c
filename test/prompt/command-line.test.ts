/** Prompts that change and textual inversions in flags. */
import assert from 'node:assert/strict';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fakeModel, runCli } from '../cli/fakes.ts';

const folder = os.tmpdir();

async function run(argv: readonly string[]) {
  const { model, load } = fakeModel();
  const out = ['--seed', '1', '--out', 'clip.gif'];
  const result = await runCli(['generate', '--base', 'b', ...argv, ...out], { load }, { folder });
  return { ...result, load: model.loads[0], request: model.requests[0] };
}

describe('the flags of prompts', () => {
  it('take a prompt that changes as texts by frame', async () => {
    const { code, stderr, request } = await run(['--prompt-travel', '0: a cat | 8: a (dog:1.2)']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(request?.prompt, { 0: 'a cat', 8: 'a (dog:1.2)' });
  });

  it('refuse texts without frames', async () => {
    const { code, stderr } = await run(['--prompt-travel', 'a cat | 8: a dog']);
    assert.equal(code, 2);
    assert.match(stderr, /Expected texts by frame, such as .* for `--prompt-travel`/);
  });

  it('take textual inversions with and without a word, and sources', async () => {
    const argv = ['a.pt', 'b.pt:bad', 'civitai:123', 'civitai:123:ugly', 'hf:owner/repo/c.pt'];
    const flags = argv.flatMap((value) => ['--embedding', value]);
    const { code, stderr, load } = await run(['-p', 'a cat', ...flags]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(load?.embeddings, [
      { path: path.join(folder, 'a.pt') },
      { path: path.join(folder, 'b.pt'), token: 'bad' },
      { path: 'civitai:123' },
      { path: 'civitai:123', token: 'ugly' },
      { path: 'hf:owner/repo/c.pt' },
    ]);
  });
});

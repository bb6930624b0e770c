import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import type { ResolveOptions } from '../../lib/hub/resolve.ts';
import type { SourceInput } from '../../lib/hub/source.ts';
import { runCli } from '../cli/fakes.ts';
import { temporaryFolder } from '../libtorch/support/folders.ts';

function fakeHub() {
  const asked: SourceInput[] = [];
  const options: ResolveOptions[] = [];
  const resolveSource = async (source: SourceInput, given: ResolveOptions) => {
    asked.push(source);
    options.push(given);
    const name = 'mm.ckpt';
    given.onProgress?.({ phase: 'look-up', source: 'x', name: 'owner/repo', done: 0, total: undefined });
    given.onProgress?.({ phase: 'download', source: 'x', name, done: 5e8, total: 1e9 });
    given.onProgress?.({ phase: 'download', source: 'x', name, done: 1e9, total: 1e9 });
    given.onProgress?.({ phase: 'verify', source: 'x', name, done: 0, total: 1e9 });
    return `/cache/${asked.length}`;
  };
  return { asked, options, resolveSource };
}

describe('animatediff-native pull', () => {
  it('prints the paths on stdout and the progress on stderr', async () => {
    const { asked, resolveSource } = fakeHub();
    const result = await runCli(['pull', 'hf:owner/repo/mm.ckpt', 'civitai:12'], { resolveSource });
    assert.equal(result.code, 0, result.stderr);
    assert.equal(result.stdout, '/cache/1\n/cache/2\n');
    assert.deepEqual(asked, ['hf:owner/repo/mm.ckpt', 'civitai:12']);
    assert.match(result.stderr, /look up owner\/repo/);
    assert.match(result.stderr, /download mm\.ckpt {2}500 MB of 1\.0 GB/);
    assert.match(result.stderr, /verify mm\.ckpt/);
  });

  it('draws a bar on a terminal', async () => {
    const { resolveSource } = fakeHub();
    const result = await runCli(['pull', 'hf:owner/repo/mm.ckpt'], { resolveSource }, { terminal: true });
    assert.match(result.stderr, /\rdownload mm\.ckpt {2}\[=+/);
  });

  it('fetches all that a configuration names, each source once', async () => {
    const folder = temporaryFolder();
    const config = [
      'base: hf:owner/base',
      'checkpoint: civitai:1',
      'motionModule: { path: "hf:owner/mm/mm.ckpt", version: v2 }',
      'loras: [{ path: "civitai:2", scale: 0.5 }, civitai:1, local.safetensors]',
    ];
    writeFileSync(path.join(folder, 'a.yaml'), config.join('\n'));
    const { asked, options, resolveSource } = fakeHub();
    const argv = ['pull', 'a.yaml', 'civitai:1', '--refresh', '--json'];
    const result = await runCli(argv, { resolveSource }, { folder });
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(asked, [
      'hf:owner/base',
      'civitai:1',
      'hf:owner/mm/mm.ckpt',
      'civitai:2',
      path.join(folder, 'local.safetensors'),
    ]);
    assert.ok(options.every(({ refresh }) => refresh === true));
    const { files } = JSON.parse(result.stdout);
    assert.deepEqual(files[0], { source: 'hf:owner/base', path: '/cache/1' });
    assert.equal(files.length, 5);
  });

  it('tells a wrong source before it fetches the others', async () => {
    const { asked, resolveSource } = fakeHub();
    const result = await runCli(['pull', 'civitai:12', 'hf:repo'], { resolveSource });
    assert.equal(result.code, 2);
    assert.match(result.stderr, /'hf:repo' is no source/);
    assert.deepEqual(asked, []);
  });

  it('fails with the error of a download', async () => {
    const resolveSource = () => Promise.reject(new AnimateDiffError('ERR_DOWNLOAD', 'No network.'));
    const result = await runCli(['pull', 'civitai:12'], { resolveSource });
    assert.equal(result.code, 1);
    assert.match(result.stderr, /error: No network\.\ncode: ERR_DOWNLOAD/);
  });
});

describe('animatediff-native models', () => {
  const models = [
    { source: 'civitai:12', path: '/cache/a.safetensors', bytes: 2_100_000_000 },
    { source: 'hf:owner/repo', path: '/hub/x', bytes: 500 },
  ];

  it('lists sources, sizes and paths', async () => {
    for (const argv of [['models', 'list'], ['models']]) {
      const result = await runCli(argv, { listModels: async () => models });
      assert.equal(
        result.stdout,
        '  2.1 GB  civitai:12\n          /cache/a.safetensors\n   500 B  hf:owner/repo\n          /hub/x\n',
      );
    }
    const json = await runCli(['models', 'list', '--json'], { listModels: async () => models });
    assert.deepEqual(JSON.parse(json.stdout), { models });
    const empty = await runCli(['models', 'list'], { listModels: async () => [] });
    assert.equal(empty.stdout, '');
    assert.match(empty.stderr, /no models.*pull/);
  });

  it('removes what is named and says what was freed', async () => {
    const removeModel = async (source: SourceInput) => ({
      source: String(source),
      path: '/x',
      bytes: 1_500_000,
    });
    const result = await runCli(['models', 'rm', 'civitai:1', 'hf:a/b'], { removeModel });
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stdout, /1\.5 MB {2}civitai:1\n.*\n.*hf:a\/b\n.*\n +3\.0 MB {2}freed\n$/s);
  });

  it('removes everything of its own with --all', async () => {
    const removeAllModels = async () => models.slice(0, 1);
    const result = await runCli(['models', 'rm', '--all'], { removeAllModels });
    assert.match(result.stdout, /2\.1 GB {2}freed/);
    assert.match(result.stderr, /shared with other programs/);
  });

  it('must know what to remove', async () => {
    for (const argv of [
      ['models', 'rm'],
      ['models', 'rm', '--all', 'civitai:1'],
      ['models', 'remove', 'x'],
    ]) {
      const result = await runCli(argv);
      assert.equal(result.code, 2, argv.join(' '));
    }
  });
});

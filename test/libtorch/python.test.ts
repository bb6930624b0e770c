import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pythonTorch } from '../../lib/libtorch/python.ts';
import { temporaryFolder, writeFiles } from './support/folders.ts';

/** Calls {@link pythonTorch} in a process with these variables and this current folder. */
function ask(cwd: string, variables: NodeJS.ProcessEnv) {
  const module = new URL('../../lib/libtorch/python.ts', import.meta.url).href;
  const program = `import(${JSON.stringify(module)}).then((m) => console.log(JSON.stringify(m.pythonTorch('python3'))))`;
  const loader = import.meta.resolve('tsx');
  const { stdout } = spawnSync(process.execPath, ['--import', loader, '-e', program], {
    cwd,
    env: { ...process.env, ...variables },
    encoding: 'utf8',
  });
  return JSON.parse(stdout) as { folder?: string; problem?: string };
}

describe('the torch of Python', () => {
  it('is found without being imported', () => {
    const folder = temporaryFolder();
    // An import would fail.
    writeFiles(folder, { 'torch/__init__.py': 'raise SystemExit("imported")\n' });
    assert.equal(ask(folder, { PYTHONPATH: folder }).folder, path.join(folder, 'torch'));
  });

  it('is not any folder of that name', () => {
    const folder = temporaryFolder();
    const empty = temporaryFolder();
    writeFiles(folder, { 'torch/readme.txt': '' });
    // A folder without __init__.py on Python's path, and a package in the current folder.
    assert.notEqual(ask(empty, { PYTHONPATH: folder }).folder, path.join(folder, 'torch'));
    writeFiles(folder, { 'torch/__init__.py': '' });
    assert.notEqual(ask(folder, {}).folder, path.join(folder, 'torch'));
  });

  it('tells an interpreter that fails from one that is missing', () => {
    assert.deepEqual(pythonTorch('/nowhere/python3'), {
      interpreter: undefined,
      problem: '/nowhere/python3 was not found',
    });
    const broken = pythonTorch('false');
    assert.match('problem' in broken ? broken.problem : '', /^false could not be asked: exit status 1$/);
  });
});

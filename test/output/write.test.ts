import assert from 'node:assert/strict';
import { mkdir, writeFile as put, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { writeFile, writeFolder } from '../../lib/output/write.ts';
import { scene, temporaryFolder } from './support.ts';

const bytes = Buffer.from('new');
const isOurs = (name: string) => name.endsWith('.png');

async function* files(...names: string[]) {
  for (const name of names) yield { name, bytes };
}

async function* failing() {
  yield { name: '0.png', bytes };
  throw new Error('the encoder broke');
}

describe('writing a file', () => {
  const folder = temporaryFolder();
  const fresh = async (name: string) => {
    const target = path.join(await folder(), name);
    await mkdir(target);
    return target;
  };

  it('makes missing folders, replaces an older file and leaves nothing else', async () => {
    const root = await fresh('make');
    const file = path.join(root, 'a', 'b', 'c.gif');
    await writeFile(file, Buffer.from('old'));
    await writeFile(file, bytes);
    assert.equal(await readFile(file, 'utf8'), 'new');
    assert.deepEqual(await readdir(path.dirname(file)), ['c.gif']);
  });

  it('does not replace a folder', async () => {
    const root = await fresh('folder');
    await mkdir(path.join(root, 'a.gif'));
    await assert.rejects(writeFile(path.join(root, 'a.gif'), bytes), {
      code: 'ERR_OUTPUT',
      message: /a\.gif: it is a folder/,
    });
    assert.deepEqual(await readdir(root), ['a.gif']);
  });

  it('says when a part of the path is a file', async () => {
    const root = await fresh('file');
    await put(path.join(root, 'a'), 'text');
    for (const inside of ['a/b.gif', 'a/b/c.gif']) {
      await assert.rejects(writeFile(path.join(root, inside), bytes), {
        code: 'ERR_OUTPUT',
        message: /a part of the path is a file/,
      });
    }
    assert.deepEqual(await readdir(root), ['a']);
  });

  it('says when the name is too long', async () => {
    const root = await fresh('long');
    await assert.rejects(writeFile(path.join(root, `${'n'.repeat(300)}.gif`), bytes), {
      code: 'ERR_OUTPUT',
      message: /the name is too long/,
    });
    assert.deepEqual(await readdir(root), []);
  });

  it('accepts the longest name that the file system does', async () => {
    const root = await fresh('longest');
    const name = `${'n'.repeat(251)}.gif`;
    await writeFile(path.join(root, name), bytes);
    assert.deepEqual(await readdir(root), [name]);
  });

  it('keeps the older file when a clip cannot be saved', async () => {
    const root = await fresh('keep');
    const file = path.join(root, 'a.gif');
    await scene(1, 8, 8).save(file);
    const before = await readFile(file);
    await assert.rejects(scene(1, 8, 8).save(file, { fps: 1000 }), { code: 'ERR_INVALID_ARGUMENT' });
    assert.deepEqual(await readFile(file), before);
  });
});

describe('writing a folder', () => {
  const folder = temporaryFolder();
  const fresh = async (name: string) => {
    const root = path.join(await folder(), name);
    await mkdir(root);
    return { root, target: path.join(root, 'frames') };
  };

  it('replaces an older result, of which nothing stays', async () => {
    const { root, target } = await fresh('replace');
    assert.equal(await writeFolder(target, files('0.png', '1.png', '2.png'), isOurs), 9);
    assert.equal(await writeFolder(target, files('0.png'), isOurs), 3);
    assert.deepEqual(await readdir(target), ['0.png']);
    assert.deepEqual(await readdir(root), ['frames']);
  });

  it('fills an empty folder', async () => {
    const { target } = await fresh('empty');
    await mkdir(target);
    await writeFolder(target, files('0.png'), isOurs);
    assert.deepEqual(await readdir(target), ['0.png']);
  });

  it('never touches a folder with other files', async () => {
    const { root, target } = await fresh('other');
    await mkdir(target);
    await put(path.join(target, 'thesis.txt'), 'text');
    await assert.rejects(writeFolder(target, files('0.png'), isOurs), {
      code: 'ERR_OUTPUT',
      message: /frames: the folder holds other files/,
    });
    assert.deepEqual(await readdir(target), ['thesis.txt']);
    assert.deepEqual(await readdir(root), ['frames']);
  });

  it('does not appear, and leaves the older one, when a frame fails', async () => {
    const { root, target } = await fresh('fail');
    const broken = { code: 'ERR_OUTPUT', message: /frames: the encoder broke/ };
    await assert.rejects(writeFolder(target, failing(), isOurs), broken);
    assert.deepEqual(await readdir(root), []);
    await writeFolder(target, files('0.png', '1.png'), isOurs);
    await assert.rejects(writeFolder(target, failing(), isOurs), broken);
    assert.deepEqual((await readdir(target)).sort(), ['0.png', '1.png']);
  });

  it('does not replace a file', async () => {
    const { root, target } = await fresh('file');
    await put(target, 'text');
    await assert.rejects(writeFolder(target, files('0.png'), isOurs), { code: 'ERR_OUTPUT' });
    assert.equal(await readFile(target, 'utf8'), 'text');
    assert.deepEqual(await readdir(root), ['frames']);
  });
});

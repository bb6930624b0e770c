import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Clip } from '../../lib/clip.ts';
import { parameters, scene, temporaryFolder } from './support.ts';

describe('a clip', () => {
  it('gives frames as views with their size', () => {
    const clip = scene(3, 6, 4);
    assert.deepEqual(
      { width: clip.width, height: clip.height, channels: clip.channels, frameCount: clip.frameCount },
      { width: 6, height: 4, channels: 3, frameCount: 3 },
    );
    const frame = clip.frame(2);
    assert.equal(frame.length, 6 * 4 * 3);
    assert.equal(frame.buffer, clip.data.buffer);
    assert.deepEqual(Buffer.from(frame), Buffer.from(clip.data.slice(2 * 72)));
  });

  it('is iterated with `for` and with `for await`, as often as one likes', async () => {
    const clip = scene(3, 6, 4);
    const frames = clip.frames();
    for (let round = 0; round < 2; round++) {
      const [now, later] = [[...frames], []] as [unknown[], unknown[]];
      for await (const frame of frames) later.push(frame);
      const expected = [0, 1, 2].map((index) => ({
        data: clip.frame(index),
        width: 6,
        height: 4,
        channels: 3,
        index,
      }));
      assert.deepEqual(now, expected);
      assert.deepEqual(later, expected);
    }
  });

  it('refuses a frame that does not exist', () => {
    for (const index of [-1, 3, 0.5, Number.NaN]) {
      assert.throws(() => scene(3, 6, 4).frame(index), { code: 'ERR_INVALID_ARGUMENT', message: /0 to 2/ });
    }
  });

  it('refuses data that does not fit its size', () => {
    const make = (bytes: number, frames: number) => () =>
      new Clip(new Uint8Array(bytes), { frames, width: 6, height: 4 }, parameters);
    assert.throws(make(71, 1), { code: 'ERR_INVALID_ARGUMENT', message: /72 bytes.*71/ });
    assert.throws(make(0, 0), { code: 'ERR_INVALID_ARGUMENT', message: /frames/ });
  });

  it('reports what it saved', async () => {
    const { bytes, ...saved } = await scene(3, 6, 4).save(path.join(await folder(), 'a.gif'));
    assert.deepEqual(saved, {
      path: path.join(await folder(), 'a.gif'),
      format: 'gif',
      frames: 3,
      width: 6,
      height: 4,
    });
    assert.ok(bytes > 100);
  });

  const folder = temporaryFolder();

  it('works without sharp until it is saved, and then says what is missing', async () => {
    const blockSharp = `data:text/javascript,${encodeURIComponent(
      "export const resolve = (name, context, next) => { if (name === 'sharp') throw new Error('no such library'); return next(name, context); };",
    )}`;
    const clipModule = new URL('../../lib/clip.ts', import.meta.url).href;
    const script = `
      const { register } = await import('node:module');
      register(${JSON.stringify(blockSharp)});
      const { Clip } = await import(${JSON.stringify(clipModule)});
      const clip = new Clip(new Uint8Array(3072).map((_, i) => i), { frames: 1, width: 32, height: 32 }, {});
      if (clip.frame(0)[5] !== 5) throw new Error('wrong frame');
      await clip.save('never.gif').catch(({ code, message }) => console.log(JSON.stringify({ code, message })));`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    const [status] = await once(child, 'close');
    assert.equal(status, 0);
    const error = JSON.parse(Buffer.concat(output).toString());
    assert.equal(error.code, 'ERR_OUTPUT');
    assert.match(error.message, /sharp, which cannot be loaded: no such library.*clip\.frames\(\)/);
  });
});

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { joinClips, saveGrid } from '../../lib/output/grid.ts';
import { readAllMetadata } from '../../lib/output/read-metadata.ts';
import { decode, paint, temporaryFolder } from './support.ts';

/** A clip of 48x32 whose pixels all have the value `10 · clip + frame + 1`. */
const plain = (clip: number) =>
  paint(2, 48, 32, (frame) => {
    const value = 10 * clip + frame + 1;
    return [value, value, value];
  });
const clips = (count: number) => Array.from({ length: count }, (_, i) => plain(i));

describe('a grid', () => {
  const folder = temporaryFolder();

  for (const { count, columns, size } of [
    { count: 4, columns: 4, size: '202x36' },
    { count: 5, columns: 2, size: '102x104' },
    { count: 2, columns: 4, size: '102x36' },
    { count: 1, columns: 4, size: '48x32' },
  ]) {
    it(`of ${count} clips in ${columns} columns has the size of torchvision's make_grid`, () => {
      const { width, height } = joinClips(clips(count), columns);
      assert.equal(`${width}x${height}`, size);
    });
  }

  it('has clips row by row, 2 black pixels around each, and black where one is missing', () => {
    const { data, width, height, frames } = joinClips(clips(5), 2);
    assert.equal(frames, 2);
    for (let i = 0; i < data.length; i++) {
      const x = Math.floor(i / 3) % width;
      const y = Math.floor(i / (3 * width)) % height;
      const frame = Math.floor(i / (3 * width * height));
      const [column, row] = [Math.floor((x - 2) / 50), Math.floor((y - 2) / 34)];
      const inside = x >= 2 && y >= 2 && (x - 2) % 50 < 48 && (y - 2) % 34 < 32;
      const clip = row * 2 + column;
      const expected = inside && clip < 5 ? 10 * clip + frame + 1 : 0;
      assert.equal(data[i], expected, `frame ${frame}, x ${x}, y ${y}`);
    }
  });

  it('is saved in four columns with the parameters of every clip', async () => {
    const file = path.join(await folder(), 'grid.webp');
    const all = clips(6);
    const saved = await saveGrid(all, file, { lossless: true, fps: 4 });
    assert.deepEqual(
      { width: saved.width, height: saved.height, frames: saved.frames },
      { width: 202, height: 70, frames: 2 },
    );
    assert.deepEqual(Buffer.from(await decode(file)), Buffer.from(joinClips(all, 4).data));
    assert.deepEqual(
      await readAllMetadata(file),
      all.map((clip) => clip.parameters),
    );
  });

  it('refuses clips of different sizes, no clips and no columns', async () => {
    const refused = { code: 'ERR_INVALID_ARGUMENT' };
    const other = paint(2, 48, 40, () => [0, 0, 0]);
    await assert.rejects(saveGrid([plain(0), other], 'never.gif'), { ...refused, message: /48x32.*48x40/ });
    await assert.rejects(saveGrid([], 'never.gif'), { ...refused, message: /at least one clip/ });
    await assert.rejects(saveGrid([plain(0)], 'never.gif', { columns: 0 }), {
      ...refused,
      message: /columns/,
    });
  });
});

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { crc32, inflateSync } from 'node:zlib';
import sharp from 'sharp';
import { formatOf } from '../../lib/output/encode.ts';
import { readChunks } from '../../lib/output/png-chunks.ts';
import { decode, paint, scene, seenPsnr, temporaryFolder } from './support.ts';

describe('an animated WebP', () => {
  const folder = temporaryFolder();

  it('has all frames, exact delays and loops forever', async () => {
    const clip = scene();
    const file = path.join(await folder(), 'a.webp');
    await clip.save(file, { fps: 12 });
    const { pages, delay, loop } = await sharp(await readFile(file)).metadata();
    assert.deepEqual({ pages, loop }, { pages: 8, loop: 0 });
    assert.deepEqual(delay, [83, 84, 83, 83, 84, 83, 83, 84]);
    const found = seenPsnr(clip, await decode(file));
    assert.ok(found > 38, `${found.toFixed(1)} dB at the default quality`);
  });

  it('keeps every pixel when lossless, and plays as often as asked', async () => {
    const clip = scene();
    const file = path.join(await folder(), 'b.webp');
    await clip.save(file, { lossless: true, loop: 3 });
    assert.deepEqual(Buffer.from(await decode(file)), Buffer.from(clip.data));
    assert.equal((await sharp(await readFile(file)).metadata()).loop, 3);
  });

  it('keeps its length when frames are equal', async () => {
    const clip = paint(6, 16, 16, (frame, x) => [frame < 3 ? 10 : 200, x * 16, 0]);
    const file = path.join(await folder(), 'c.webp');
    await clip.save(file);
    const { delay = [] } = await sharp(await readFile(file)).metadata();
    assert.equal(
      delay.reduce((a, b) => a + b),
      750,
    );
  });

  it('is smaller at a lower quality', async () => {
    const clip = scene();
    const at = async (quality: number) =>
      (await clip.save(path.join(await folder(), `q${quality}.webp`), { quality })).bytes;
    assert.ok((await at(20)) < (await at(95)));
  });
});

describe('an APNG', () => {
  const folder = temporaryFolder();
  const save = async (fps = 8, loop = 0) => {
    const clip = scene();
    const file = path.join(await folder(), `${fps}-${loop}.apng`);
    await clip.save(file, { fps, loop });
    const bytes = await readFile(file);
    return { clip, file, bytes, chunks: [...readChunks(bytes)] };
  };

  it('is laid out as the specification says, with numbered chunks', async () => {
    const { chunks } = await save();
    const types = chunks.map(({ type }) => type);
    assert.equal(types[0], 'IHDR');
    assert.equal(types.at(-1), 'IEND');
    assert.ok(types.indexOf('acTL') < types.indexOf('fcTL') && types.indexOf('fcTL') < types.indexOf('IDAT'));
    const control = Buffer.from(chunks.find(({ type }) => type === 'acTL')?.data ?? []);
    assert.deepEqual([control.readUInt32BE(0), control.readUInt32BE(4)], [8, 0]);
    const numbers = chunks
      .filter(({ type }) => type === 'fcTL' || type === 'fdAT')
      .map(({ data }) => Buffer.from(data).readUInt32BE(0));
    assert.deepEqual(numbers, Array.from(numbers.keys()));
  });

  it('has correct checksums', async () => {
    const { bytes } = await save();
    for (let at = 8; at < bytes.length; ) {
      const end = at + 8 + bytes.readUInt32BE(at);
      assert.equal(bytes.readUInt32BE(end), crc32(bytes.subarray(at + 4, end)));
      at = end + 4;
    }
  });

  it('states delays as fractions of a second', async () => {
    for (const [fps, fraction] of [
      [8, '1/8'],
      [7.5, '2/15'],
      [23.976, '1000/23976'],
    ] as const) {
      const { chunks } = await save(fps);
      const frames = chunks.filter(({ type }) => type === 'fcTL').map(({ data }) => Buffer.from(data));
      assert.deepEqual(
        frames.map((data) => `${data.readUInt16BE(20)}/${data.readUInt16BE(22)}`),
        Array(8).fill(fraction),
      );
    }
  });

  it('shows its first frame in programs that know PNG only', async () => {
    const { clip, file } = await save();
    const pixels = await sharp(await readFile(file))
      .raw()
      .toBuffer();
    assert.deepEqual(pixels, Buffer.from(clip.frame(0)));
  });

  it('holds every frame without loss', async () => {
    const { clip, chunks } = await save();
    const [imageHeader] = chunks;
    const images: Buffer[][] = [];
    for (const { type, data } of chunks) {
      if (type === 'fcTL') images.push([]);
      if (type === 'IDAT') images.at(-1)?.push(Buffer.from(data));
      if (type === 'fdAT') images.at(-1)?.push(Buffer.from(data).subarray(4));
    }
    assert.equal(images.length, 8);
    assert.equal(imageHeader?.data.length, 13);
    for (const [index, image] of images.entries()) {
      assert.equal(inflateSync(Buffer.concat(image)).length, 96 * (1 + 128 * 3));
      const still: Buffer = await sharp(asPng(Buffer.from(imageHeader?.data ?? []), Buffer.concat(image)))
        .raw()
        .toBuffer();
      assert.deepEqual(still, Buffer.from(clip.frame(index)));
    }
  });
});

/** A plain PNG around the image data of one frame. */
function asPng(imageHeader: Buffer, image: Buffer): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    size.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([size, body, sum]);
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks = [chunk('IHDR', imageHeader), chunk('IDAT', image), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([signature, ...chunks]);
}

describe('a PNG', () => {
  const folder = temporaryFolder();

  it('holds the only frame of a clip without loss', async () => {
    const clip = scene(1);
    const file = path.join(await folder(), 'one.PNG');
    const saved = await clip.save(file);
    assert.deepEqual({ format: saved.format, frames: saved.frames }, { format: 'png', frames: 1 });
    assert.deepEqual(
      await sharp(await readFile(file))
        .raw()
        .toBuffer(),
      Buffer.from(clip.data),
    );
  });

  it('refuses several frames and says which formats take them', async () => {
    const file = path.join(await folder(), 'many.png');
    await assert.rejects(scene(2, 8, 8).save(file), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /2 frames.*\.apng/,
    });
  });

  for (const name of ['frames', 'frames2/', 'deep/er/frames']) {
    it(`becomes a folder of numbered files for the path ${name}`, async () => {
      const clip = scene(3, 16, 8);
      const target = path.join(await folder(), name) + (name.endsWith('/') ? '/' : '');
      const saved = await clip.save(target);
      const names = (await readdir(target)).sort();
      assert.deepEqual(names, ['0000.png', '0001.png', '0002.png']);
      assert.equal(saved.path, path.resolve(target));
      let bytes = 0;
      for (const [index, file] of names.entries()) {
        const content = await readFile(path.join(target, file));
        bytes += content.length;
        assert.deepEqual(await sharp(content).raw().toBuffer(), Buffer.from(clip.frame(index)));
      }
      assert.equal(saved.bytes, bytes);
    });
  }
});

describe('the format', () => {
  it('follows from the extension in any case', () => {
    const found = ['a.gif', 'a.WEBP', 'b.c/a.apng', 'a.png', 'a', 'a.gif/', 'v1.5/'].map(formatOf);
    assert.deepEqual(found, ['gif', 'webp', 'apng', 'png', 'frames', 'frames', 'frames']);
  });

  for (const name of ['a.mp4', 'a.webm', 'a.jpg', 'a.1']) {
    it(`is refused for ${name}, with the ones that exist`, async () => {
      const message = /\.gif, \.webp, \.apng or \.png, or a folder/;
      await assert.rejects(scene(1, 8, 8).save(name), { code: 'ERR_INVALID_ARGUMENT', message });
    });
  }

  for (const [option, value] of [
    ['fps', 0],
    ['fps', Number.NaN],
    ['fps', 1000],
    ['loop', -1],
    ['loop', 65_536],
    ['quality', 101],
    ['quality', 80],
    ['lossless', true],
    ['format', 'mp4'],
  ] as const) {
    it(`does not save a GIF with ${option} ${value}`, async () => {
      const message = new RegExp(`\`${option}\`, got .*${value}`);
      await assert.rejects(scene(1, 8, 8).save('never.gif', { [option]: value }), {
        code: 'ERR_INVALID_ARGUMENT',
        message,
      });
    });
  }
});

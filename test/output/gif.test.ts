import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import type { Clip } from '../../lib/clip.ts';
import type { SaveOptions } from '../../lib/output/encode.ts';
import { decode, noise, paint, readGif, scene, seenPsnr, temporaryFolder } from './support.ts';

describe('an animated GIF', () => {
  const folder = temporaryFolder();
  let count = 0;
  const save = async (clip: Clip, options: SaveOptions = {}) => {
    const file = path.join(await folder(), `${count++}.gif`);
    await clip.save(file, options);
    return { file, facts: readGif(await readFile(file)) };
  };

  it('has one global palette, no local ones, all frames, and loops forever', async () => {
    const { file, facts } = await save(scene());
    assert.equal(facts.width, 128);
    assert.equal(facts.height, 96);
    assert.equal(facts.globalColours, 256);
    assert.equal(facts.localTables, 0);
    assert.equal(facts.delays.length, 8);
    assert.equal(facts.repetitions, 0);
    const { pages, loop, delay } = await sharp(await readFile(file)).metadata();
    assert.deepEqual({ pages, loop }, { pages: 8, loop: 0 });
    assert.equal(
      delay?.reduce((a, b) => a + b),
      1000,
    );
  });

  it('gives 8 fps as delays of 12 and 13 hundredths that add up to a second', async () => {
    const { facts } = await save(scene());
    assert.deepEqual(facts.delays, [12, 13, 12, 13, 12, 13, 12, 13]);
  });

  it('accepts 50 fps and refuses more, which players would slow down', async () => {
    const clip = scene(2, 8, 8);
    assert.deepEqual((await save(clip, { fps: 50 })).facts.delays, [2, 2]);
    await assert.rejects(save(clip, { fps: 50.1 }), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /fps.*50\.1/,
    });
  });

  it('says how often it plays: repetitions after the first time', async () => {
    const clip = scene(2, 8, 8);
    assert.equal((await save(clip, { loop: 1 })).facts.repetitions, undefined);
    assert.equal((await save(clip, { loop: 3 })).facts.repetitions, 2);
  });

  it('keeps identical frames as frames of their own', async () => {
    const clip = paint(6, 20, 10, (frame, x) => [frame < 3 ? 10 : 200, x * 10, 0]);
    const { file, facts } = await save(clip, { fps: 10 });
    assert.deepEqual(facts.delays, Array(6).fill(10));
    assert.deepEqual(Buffer.from(await decode(file)), Buffer.from(clip.data));
  });

  for (const colours of [1, 2, 3, 4, 5, 16, 17, 254, 255]) {
    it(`keeps a clip of ${colours} colours exactly`, async () => {
      const random = noise(colours);
      const clip = paint(3, 67, 41, () => {
        const colour = random.next().value % colours;
        return [colour, 255 - colour, (colour * 7) % 256];
      });
      const { file, facts } = await save(clip);
      assert.ok(facts.globalColours > colours, `a table of ${facts.globalColours} has room for transparency`);
      assert.deepEqual(Buffer.from(await decode(file)), Buffer.from(clip.data));
    });
  }

  it('keeps noise exactly that fills the code table many times', async () => {
    const random = noise(7);
    const clip = paint(2, 300, 300, () => {
      const value = random.next().value & 0xfe;
      return [value, value, value];
    });
    const { file } = await save(clip);
    assert.deepEqual(Buffer.from(await decode(file)), Buffer.from(clip.data));
  });

  it('stores only what changes, also when it changes far apart', async () => {
    const changing = (frames: number) => {
      const random = noise(3);
      const still = Array.from({ length: 80 * 80 }, () => random.next().value >> 1);
      return paint(frames, 80, 80, (frame, x, y) => {
        const corner = (x === 0 && y === 0) || (x === 79 && y === 79);
        return corner ? [255, 30 * frame, 0] : [still[y * 80 + x] as number, 0, 0];
      });
    };
    const bytes = async (frames: number) => (await readFile((await save(changing(frames))).file)).length;
    const [one, eight] = [await bytes(1), await bytes(8)];
    assert.ok(eight < 1.5 * one, `8 frames take ${eight} bytes, one takes ${one}`);
  });

  it('makes a single pixel', async () => {
    const clip = paint(1, 1, 1, () => [1, 2, 3]);
    const { file } = await save(clip);
    assert.deepEqual([...(await decode(file))], [1, 2, 3]);
  });

  it('shows gradients without bands: 3 dB closer to the eye than the nearest colours', async () => {
    const clip = paint(6, 96, 96, (frame, x, y) => [(255 * x) / 95, (255 * y) / 95, 128 + 10 * frame]);
    const found = seenPsnr(clip, await decode((await save(clip)).file));
    const options = { width: 96, height: 6 * 96, channels: 3 } as const;
    const nearest = await sharp(clip.data, { raw: options }).gif({ dither: 0 }).toBuffer();
    const banded = seenPsnr(clip, await sharp(nearest).removeAlpha().raw().toBuffer());
    assert.ok(found > 34, `${found.toFixed(1)} dB`);
    assert.ok(found > banded + 3, `${found.toFixed(1)} dB, nearest colours ${banded.toFixed(1)} dB`);
  });

  it('is as close to the eye as what sharp makes with a palette of the first frame', async () => {
    const clip = scene();
    const found = seenPsnr(clip, await decode((await save(clip)).file));
    const options = { width: 128, height: 8 * 96, channels: 3, pageHeight: 96 } as const;
    const first = await sharp(clip.data, { raw: options }).gif({ interPaletteMaxError: 256 }).toBuffer();
    const naive = seenPsnr(clip, await sharp(first, { animated: true }).removeAlpha().raw().toBuffer());
    assert.ok(found > naive - 0.5, `${found.toFixed(1)} dB, sharp ${naive.toFixed(1)} dB`);
  });

  it('never flickers where nothing moves', async () => {
    const clip = scene();
    const pixels = await decode((await save(clip)).file);
    const frameBytes = 128 * 96 * 3;
    let still = 0;
    for (let i = frameBytes; i < pixels.length; i += 3) {
      const same = (bytes: Uint8Array) => [0, 1, 2].every((c) => bytes[i + c] === bytes[i + c - frameBytes]);
      if (!same(clip.data)) continue;
      still++;
      assert.ok(same(pixels), `pixel ${i / 3} changed`);
    }
    assert.ok(still > 50_000, `${still} pixels stand still`);
  });

  it('names the limit of the format for a clip that is too wide', async () => {
    const clip = paint(1, 65_536, 1, () => [0, 0, 0]);
    await assert.rejects(save(clip), { code: 'ERR_INVALID_ARGUMENT', message: /65536x1.*65535/ });
  });
});

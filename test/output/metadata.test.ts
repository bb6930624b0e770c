import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { Clip } from '../../lib/clip.ts';
import type { ClipParameters } from '../../lib/options.ts';
import { readableText } from '../../lib/output/metadata.ts';
import { chunkText, readChunks } from '../../lib/output/png-chunks.ts';
import { readMetadata } from '../../lib/output/read-metadata.ts';
import { parameters, readGif, temporaryFolder } from './support.ts';

const pixels = Uint8Array.from({ length: 4 * 4 * 3 }, (_, i) => 5 * i);
const clipOf = (changes: Partial<ClipParameters> = {}) =>
  new Clip(pixels, { frames: 1, width: 4, height: 4 }, { ...parameters, ...changes });

describe('the parameters of a clip', () => {
  const folder = temporaryFolder();

  for (const name of ['a.gif', 'a.webp', 'a.apng', 'a.png', 'frames/']) {
    it(`come back from ${name}`, async () => {
      const file = path.join(await folder(), name);
      for (const prompt of [
        parameters.prompt,
        '',
        '\u0000\u0007\ud800 </clip:parameters> ]]> \\u0041',
        'x'.repeat(70_000),
      ]) {
        const clip = clipOf({ prompt });
        await clip.save(file);
        assert.deepEqual(await readMetadata(file), clip.parameters, JSON.stringify(prompt).slice(0, 40));
      }
    });

    it(`are left out of ${name} when not wanted`, async () => {
      const file = path.join(await folder(), name);
      await clipOf().save(file, { metadata: false });
      assert.equal(await readMetadata(file), undefined);
      const bytes = await readFile(name.endsWith('/') ? path.join(file, '0000.png') : file);
      assert.ok(!bytes.includes('cat'), 'no trace of the prompt');
    });
  }

  it('are readable text in the form that image tools know', () => {
    assert.equal(
      readableText(parameters),
      [
        'a cat, émotion 猫 <b>&amp;</b>',
        'Negative prompt: bad "hands"\nsecond line',
        'Steps: 25, Sampler: ddim, CFG scale: 7.5, Seed: 18339859844376517918, Size: 48x32, Frames: 8, Model: toonyou_beta3, Motion module: mm_sd_v15_v2, Compat: original, Version: animatediff-native 0.1.0',
      ].join('\n'),
    );
    assert.match(
      readableText({ ...parameters, negativePrompt: '', checkpoint: 'a/b, c.ckpt' }),
      /Model: "b, c"/,
    );
  });

  it('are in the chunk that image tools read, as UTF-8 where ASCII is not enough', async () => {
    const file = path.join(await folder(), 'tools.png');
    for (const [prompt, type] of [
      ['a cat', 'tEXt'],
      ['a café', 'iTXt'],
      ['a 猫', 'iTXt'],
    ] as const) {
      await clipOf({ prompt }).save(file);
      const chunk = [...readChunks(await readFile(file))].find(
        (c) => chunkText(c, 'parameters') !== undefined,
      );
      assert.equal(chunk?.type, type);
      assert.ok(
        chunk !== undefined && chunkText(chunk, 'parameters')?.startsWith(`${prompt}\nNegative prompt: `),
      );
      // libpng, inside sharp, reads the same text.
      const { comments } = await sharp(await readFile(file)).metadata();
      assert.ok(comments?.some(({ keyword, text }) => keyword === 'parameters' && text.startsWith(prompt)));
    }
  });

  it('are the first comment of a GIF', async () => {
    const file = path.join(await folder(), 'tools.gif');
    await clipOf().save(file);
    assert.equal(readGif(await readFile(file)).comments[0], readableText(parameters));
  });

  it('are the description of a WebP, and its Exif comment when they are ASCII', async () => {
    const file = path.join(await folder(), 'tools.webp');
    await clipOf({ prompt: 'a cat' }).save(file);
    const { xmpAsString, exif } = await sharp(await readFile(file)).metadata();
    assert.match(xmpAsString ?? '', /<rdf:li xml:lang="x-default">a cat\nNegative prompt: bad "hands"/);
    assert.ok(exif?.includes('a cat\nNegative prompt'));
    await clipOf({ prompt: 'a 猫' }).save(file);
    assert.equal((await sharp(await readFile(file)).metadata()).exif, undefined);
  });

  it('are not found in files of other programs, in damaged files and in other formats', async () => {
    const at = async (name: string) => path.join(await folder(), name);
    const others = await sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } });
    await others
      .clone()
      .png()
      .toFile(await at('other.png'));
    await others
      .clone()
      .webp()
      .toFile(await at('other.webp'));
    await others
      .clone()
      .gif()
      .toFile(await at('other.gif'));
    await others
      .clone()
      .jpeg()
      .toFile(await at('other.jpg'));
    await writeFile(await at('empty.gif'), '');
    for (const name of ['other.png', 'other.webp', 'other.gif', 'other.jpg', 'empty.gif']) {
      assert.equal(await readMetadata(await at(name)), undefined, name);
    }
    for (const extension of ['gif', 'webp', 'png', 'apng']) {
      const whole = await at(`whole.${extension}`);
      await clipOf().save(whole);
      const bytes = await readFile(whole);
      for (let size = 0; size < bytes.length; size += 7) {
        await writeFile(await at('cut'), bytes.subarray(0, size));
        const found = await readMetadata(await at('cut'));
        assert.ok(
          found === undefined || found.prompt === parameters.prompt,
          `${extension} cut to ${size} bytes`,
        );
      }
    }
  });

  it('are only read from JSON that this package wrote', async () => {
    const file = path.join(await folder(), 'forged.gif');
    await clipOf({ prompt: 'FORGED' }).save(file);
    const bytes = (await readFile(file)).toString('latin1');
    await writeFile(file, bytes.replace('[{"prompt":"FORGED"', '[{"prompt":12345678'), 'latin1');
    assert.equal(await readMetadata(file), undefined);
  });

  it('cannot be read from a file that does not exist, or a folder without frames', async () => {
    const empty = path.join(await folder(), 'empty');
    await mkdir(empty);
    for (const file of [path.join(await folder(), 'none.gif'), empty]) {
      await assert.rejects(readMetadata(file), { code: 'ERR_FILE_NOT_FOUND' });
    }
  });
});

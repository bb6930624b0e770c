/** The judge of the evaluation, on clips that were drawn, so that what they show is known. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { BACKGROUNDS, COLOURS, MOTIONS, SHAPES as SHAPE_WORDS } from '../../lib/demo/vocabulary.ts';
import type { RgbFrames } from '../../lib/output/frames.ts';
import { judge } from '../../scripts/eval-demo/judge/judge.ts';
import { COLOURS as PALETTE, SCENERIES } from '../../scripts/eval-demo/judge/palette.ts';
import { SHAPES } from '../../scripts/eval-demo/judge/shapes.ts';
import { BOUNDS } from '../../scripts/eval-demo/judge/smoothness.ts';
import { type Expected, mark } from '../../scripts/eval-demo/score.ts';
import { CRITERIA } from '../../scripts/eval-demo/sets.ts';

const FRAMES = 16;
const FOLDER = new URL('../fixtures/demo-clips/', import.meta.url);

type Truth = Expected & { readonly file: string };

const TRUTH = JSON.parse(readFileSync(new URL('truth.json', FOLDER), 'utf8')) as readonly Truth[];

/** Milliseconds per frame. Frames that are equal were joined to longer ones when the file was written. */
const DURATION = 125;

async function readClip(file: string): Promise<RgbFrames> {
  const picture = sharp(readFileSync(new URL(file, FOLDER)), { animated: true }).removeAlpha();
  const { width, height, pageHeight = height, delay = [] } = await picture.metadata();
  const pages = new Uint8Array(await picture.raw().toBuffer());
  const bytes = width * pageHeight * 3;
  const order = delay.flatMap((duration, page) => Array<number>(Math.round(duration / DURATION)).fill(page));
  const shown = order.length === 0 ? Array<number>(FRAMES).fill(0) : order;
  const data = new Uint8Array(shown.length * bytes);
  for (const [frame, page] of shown.entries()) {
    data.set(pages.subarray(page * bytes, (page + 1) * bytes), frame * bytes);
  }
  return { data, width, height: pageHeight, frames: shown.length };
}

/** The clip whose frame i is frame `order(i)` of this one. */
function reorder(clip: RgbFrames, order: (frame: number) => number): RgbFrames {
  const bytes = clip.width * clip.height * 3;
  const data = new Uint8Array(clip.data.length);
  for (let frame = 0; frame < clip.frames; frame += 1) {
    data.set(clip.data.subarray(order(frame) * bytes, (order(frame) + 1) * bytes), frame * bytes);
  }
  return { ...clip, data };
}

/** Noise of up to 6 levels and a blur over neighbours, as a small model's decoder adds them. */
function degrade(clip: RgbFrames): RgbFrames {
  let state = 1;
  const data = clip.data.map((value, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const blurred = (2 * value + (clip.data[i - 3] ?? value) + (clip.data[i + 3] ?? value)) / 4;
    return Math.min(255, Math.max(0, blurred + (state / 2 ** 31 - 1) * 6));
  });
  return { ...clip, data };
}

describe('the judge of the evaluation', () => {
  it('knows all words of the captions', () => {
    assert.deepEqual(Object.keys(PALETTE), Object.keys(COLOURS));
    assert.deepEqual(Object.keys(SHAPES), Object.keys(SHAPE_WORDS));
    assert.deepEqual(Object.keys(SCENERIES), Object.keys(BACKGROUNDS));
    for (const motion of TRUTH.map((truth) => truth.motion)) assert.ok(motion in MOTIONS, motion);
  });

  for (const { file, ...truth } of TRUTH) {
    const { style, camera, colour, shape, motion, background } = truth;
    it(`names what a clip shows: ${style}, ${camera}, ${colour} ${shape} ${motion}, ${background}`, async () => {
      const clip = await readClip(file);
      const verdict = judge(clip);
      const wrong = CRITERIA.filter((criterion) => mark(verdict, truth)[criterion] === false);
      assert.deepEqual(wrong, [], JSON.stringify(verdict));
      for (const key of ['background', 'colour', 'size'] as const) {
        assert.ok(verdict.measured[key] <= BOUNDS[key] / 2, `${key} ${verdict.measured[key]}`);
      }
    });
  }

  const normal = TRUTH.filter(({ style, camera }) => style === 'normal' && camera === 'fixed');

  it('is not misled by blur and noise', async () => {
    for (const { file, ...truth } of normal.slice(0, 4)) {
      const verdict = judge(degrade(await readClip(file)));
      const wrong = CRITERIA.filter((criterion) => mark(verdict, truth)[criterion] === false);
      assert.deepEqual(wrong, [], JSON.stringify(verdict));
    }
  });

  it('sees that a clip runs backwards', async () => {
    const opposite = {
      'moving left': 'moving right',
      'moving up': 'moving down',
      growing: 'shrinking',
    };
    const both = new Map([
      ...Object.entries(opposite),
      ...Object.entries(opposite).map(([a, b]) => [b, a] as const),
    ]);
    for (const { file, motion } of normal.filter((truth) => both.has(truth.motion))) {
      const clip = await readClip(file);
      const backwards = reorder(clip, (frame) => clip.frames - 1 - frame);
      assert.equal(judge(backwards).motion, both.get(motion));
    }
  });

  it('calls a single picture, shown all the time, standing still', async () => {
    const { file } = normal.find(({ motion }) => motion === 'moving right') ?? (normal[0] as Truth);
    const clip = await readClip(file);
    const verdict = judge(reorder(clip, () => 7));
    assert.equal(verdict.motion, 'standing still');
    assert.equal(verdict.smooth, true);
  });

  it('sees that frames do not belong together', async () => {
    const clips = await Promise.all(normal.slice(0, 8).map(({ file }) => readClip(file)));
    const [first] = clips as [RgbFrames];
    const bytes = first.width * first.height * 3;
    const data = new Uint8Array(first.data.length);
    for (let frame = 0; frame < first.frames; frame += 1) {
      const source = clips[frame % clips.length] as RgbFrames;
      data.set(source.data.subarray(frame * bytes, (frame + 1) * bytes), frame * bytes);
    }
    assert.equal(judge({ ...first, data }).smooth, false);
  });
});

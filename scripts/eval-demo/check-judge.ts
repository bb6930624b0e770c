/**
 * Proves the judge on clips whose contents are known (scripts/demo/draw_truth.py):
 *
 *   node --import tsx scripts/eval-demo/check-judge.ts FOLDER [--clips N] [--noise 6] [--show 20]
 *
 * `--noise`: greatest change of every value (0–255), at random; `--show`: mistakes that are listed.
 */
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Scene } from './captions.ts';
import { judge } from './judge/judge.ts';
import { tableHead, tableRow } from './report.ts';
import { count, type Expected, type Marks, mark } from './score.ts';

const SIZE = { width: 128, height: 128, frames: 16 } as const;
const BYTES = SIZE.frames * SIZE.height * SIZE.width * 3;

/** Adds noise that is the same in every run (Numerical Recipes' linear congruential generator). */
function disturb(data: Uint8Array, amount: number, seed: number): void {
  let state = seed >>> 0;
  for (let i = 0; i < data.length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const change = Math.round((state / 2 ** 31 - 1) * amount);
    data[i] = Math.min(255, Math.max(0, (data[i] ?? 0) + change));
  }
}

function mistakes(index: number, expected: Expected, marks: Marks, told: Readonly<Record<string, unknown>>) {
  return Object.entries(marks)
    .filter(([, right]) => right === false)
    .map(([criterion]) => `${index}: ${criterion} ${told[criterion]}, ${Object.values(expected).join(' ')}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clips: { type: 'string', default: '100000' },
    noise: { type: 'string', default: '0' },
    show: { type: 'string', default: '20' },
  },
});
const [folder = '.'] = positionals;
const truth = JSON.parse(await readFile(path.join(folder, 'truth.json'), 'utf8')) as (Expected & Scene)[];
const file = await open(path.join(folder, 'frames.rgb'));
const marks: Marks[] = [];
const wrong: string[] = [];
const flicker = { background: [0], colour: [0], size: [0] };
for (const [index, expected] of truth.slice(0, Number(values.clips)).entries()) {
  const data = new Uint8Array(BYTES);
  await file.read(data, 0, BYTES, index * BYTES);
  if (Number(values.noise) > 0) disturb(data, Number(values.noise), index);
  const verdict = judge({ data, ...SIZE });
  const each = mark(verdict, expected);
  marks.push(each);
  wrong.push(...mistakes(index, expected, each, { ...verdict }));
  for (const key of ['background', 'colour', 'size'] as const) flicker[key].push(verdict.measured[key]);
}
await file.close();
console.log(tableHead());
console.log(tableRow(`${path.basename(folder)}, ${marks.length} clips`, count(marks)));
const quantiles = Object.entries(flicker).map(([name, all]) => {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.round(share * (sorted.length - 1))] ?? 0).toFixed(2);
  return `${name} ${at(0.5)}, ${at(0.95)}, ${at(1)}`;
});
console.log(`flicker (median, 95 %, greatest): ${quantiles.join('; ')}`);
for (const line of wrong.slice(0, Number(values.show))) console.log(line);

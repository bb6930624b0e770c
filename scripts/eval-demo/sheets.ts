/** Contact sheets: judged clips to look at, five frames of each, failures in red. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import type { RgbFrames } from '../../lib/output/frames.ts';
import { frameView } from '../../lib/output/frames.ts';
import { caption, type Task } from './captions.ts';
import type { Verdict } from './judge/judge.ts';
import type { Expected, Marks } from './score.ts';
import { CRITERIA, type Criterion } from './sets.ts';

/** Frames that are shown, evenly spread over the clip. */
const SHOWN = 5;
const COLUMNS = 2;
const ROWS = 10;
/** Pixels. */
const GAP = 8;
const LABEL = 34;

export interface JudgedClip {
  readonly clip: RgbFrames;
  readonly task: Task;
  readonly expected: Expected;
  readonly verdict: Verdict;
  readonly marks: Marks;
}

const escapeXml = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

function wrong({ marks, verdict, expected }: JudgedClip): string {
  const told = (criterion: Criterion) =>
    criterion === 'smooth'
      ? `flicker (background ${verdict.measured.background.toFixed(1)}, colour ${verdict.measured.colour.toFixed(0)}, size ${verdict.measured.size.toFixed(2)})`
      : `${criterion} ${verdict[criterion]} instead of ${expected[criterion]}`;
  return CRITERIA.filter((criterion) => marks[criterion] === false)
    .map(told)
    .join(', ');
}

/** Two lines of text as wide as a clip's frames. */
function label(judged: JudgedClip, width: number): Buffer {
  const failure = wrong(judged);
  const colour = failure === '' ? '#9fd79f' : '#ff7a6b';
  const lines = [`${judged.task.seed}: ${caption(judged.task)}`, failure === '' ? 'as asked for' : failure];
  const text = lines
    .map(
      (each, i) =>
        `<text x="2" y="${13 + 14 * i}" fill="${i === 0 ? '#ffffff' : colour}" font-family="sans-serif" font-size="11">${escapeXml(each)}</text>`,
    )
    .join('');
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${LABEL}">${text}</svg>`,
  );
}

function shownFrames({ frames }: RgbFrames): number[] {
  return Array.from({ length: SHOWN }, (_, i) => Math.round((i * (frames - 1)) / (SHOWN - 1)));
}

async function writeSheet(file: string, clips: readonly JudgedClip[]): Promise<void> {
  const { width, height } = (clips[0] as JudgedClip).clip;
  const cell = { width: SHOWN * width + GAP, height: height + LABEL + GAP };
  const pictures = clips.flatMap((judged, i) => {
    const [left, top] = [(i % COLUMNS) * cell.width + GAP, Math.floor(i / COLUMNS) * cell.height + GAP];
    const frames = shownFrames(judged.clip).map((frame, place) => ({
      input: Buffer.from(frameView(judged.clip, frame)),
      raw: { width, height, channels: 3 as const },
      left: left + place * width,
      top: top + LABEL,
    }));
    return [{ input: label(judged, SHOWN * width), left, top }, ...frames];
  });
  const rows = Math.ceil(clips.length / COLUMNS);
  await sharp({
    create: {
      width: COLUMNS * cell.width + GAP,
      height: rows * cell.height + GAP,
      channels: 3,
      background: '#202020',
    },
  })
    .composite(pictures)
    .png()
    .toFile(file);
}

/** Writes `NAME-001.png`, `NAME-002.png`, … to a folder. */
export async function writeSheets(folder: string, name: string, clips: readonly JudgedClip[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  const size = COLUMNS * ROWS;
  for (let start = 0; start < clips.length; start += size) {
    const number = String(start / size + 1).padStart(3, '0');
    await writeSheet(path.join(folder, `${name}-${number}.png`), clips.slice(start, start + size));
  }
}

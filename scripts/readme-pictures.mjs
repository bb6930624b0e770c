/**
 * Makes the animation at the head of README.md: `npm run readme:pictures`. Every cell is a clip that
 * `animatediff-native demo` made: a prompt of configs/demo.yaml with its seed per column, a style or a camera
 * move per row. The labels take a sans-serif font of this machine.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { Failure, main, ROOT, say } from './run.mjs';
import { setup } from './setup.mjs';
import { importBuilt } from './typescript.mjs';

const OUTPUT = path.join(ROOT, 'docs', 'demo.webp');
const MAX_BYTES = 3e6;
/** Qualities of WebP, tried in this order until the file is small enough. */
const QUALITIES = [90, 80, 70, 55, 40];
const COLUMNS = 4;
const ROWS = [
  { label: 'base model', flags: [] },
  { label: 'personalised: neon', flags: ['--style', 'neon'] },
  { label: 'LoRA: crayon', flags: ['--style', 'crayon'] },
  { label: 'camera: zoom in', flags: ['--camera', 'zoom-in'] },
  { label: 'camera: pan left', flags: ['--camera', 'pan-left'] },
];
/** Pixels that the grid leaves around each clip. */
const GAP = 2;
/** Pixels above the columns and beside the rows, for labels. */
const HEADER = 46;
const SIDE = 20;
/** Sizes in pixels; a line of a column's label holds `characters`. */
const FONT = { family: 'DejaVu Sans, Verdana, Arial, sans-serif', size: 10.5, line: 14, characters: 21 };

/** Frames of a folder of PNG files, one after the other: [frames, height, width, 3]. */
async function readFrames(folder) {
  const names = (await readdir(folder)).sort();
  const frames = names.map((name) =>
    sharp(path.join(folder, name)).removeAlpha().raw().toBuffer({ resolveWithObject: true }),
  );
  const pictures = await Promise.all(frames);
  const [{ info }] = pictures;
  return { data: Buffer.concat(pictures.map(({ data }) => data)), width: info.width, height: info.height };
}

/** Runs the command, and returns its clip as `joinClips` takes it. */
async function makeClip({ prompt, seed }, flags, folder) {
  say(`demo "${prompt}" ${flags.join(' ')}`);
  const cli = path.join(ROOT, 'dist', 'cli', 'index.js');
  const output = ['--seed', `${seed}`, ...flags, '--format', 'png', '--out', folder, '--json', '--quiet'];
  const text = execFileSync(process.execPath, [cli, 'demo', prompt, ...output], { encoding: 'utf8' });
  const [clip] = JSON.parse(text).clips;
  return {
    ...(await readFrames(clip.path)),
    frameCount: clip.parameters.frames,
    parameters: clip.parameters,
  };
}

/** A text in lines of at most `FONT.characters`. */
function wrap(text) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length <= FONT.characters) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Text around the point (x, y), turned by `angle` degrees. */
function svgText(lines, x, y, angle = 0) {
  const top = y - ((lines.length - 1) * FONT.line) / 2 + FONT.size * 0.35;
  const spans = lines.map((line, i) => `<tspan x="${x}" y="${top + i * FONT.line}">${escaped(line)}</tspan>`);
  return `<text transform="rotate(${angle} ${x} ${y})">${spans.join('')}</text>`;
}

/** The labels on black, without clips: RGB of the whole picture. */
async function drawLabels(prompts, cell, { width, height }) {
  const columns = prompts.map((prompt, i) =>
    svgText(wrap(prompt), SIDE + GAP + i * (cell.width + GAP) + cell.width / 2, HEADER / 2),
  );
  const rows = ROWS.map(({ label }, i) =>
    svgText([label], SIDE / 2, HEADER + GAP + i * (cell.height + GAP) + cell.height / 2, -90),
  );
  const style = `font-family="${FONT.family}" font-size="${FONT.size}" fill="#e6e6e6" text-anchor="middle"`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><rect width="100%" height="100%"/><g ${style}>${[...columns, ...rows].join('')}</g></svg>`;
  return await sharp(Buffer.from(svg)).flatten({ background: '#000' }).removeAlpha().raw().toBuffer();
}

/** The grid below and beside its labels, in every frame. */
async function addLabels(grid, prompts, cell) {
  const [width, height] = [grid.width + SIDE, grid.height + HEADER];
  const labels = await drawLabels(prompts, cell, { width, height });
  const data = new Uint8Array(grid.frames * labels.length);
  for (let frame = 0; frame < grid.frames; frame++) {
    data.set(labels, frame * labels.length);
    for (let y = 0; y < grid.height; y++) {
      const from = (frame * grid.height + y) * grid.width * 3;
      const to = frame * labels.length + ((y + HEADER) * width + SIDE) * 3;
      data.set(grid.data.subarray(from, from + grid.width * 3), to);
    }
  }
  return { data, width, height, frames: grid.frames };
}

/** Saves at the best quality that is small enough. */
async function save(frames, parameters, fps) {
  const { saveFrames } = await importBuilt('output/encode.js');
  for (const quality of QUALITIES) {
    const { bytes } = await saveFrames(frames, OUTPUT, parameters, { fps, quality });
    say(`${path.relative(ROOT, OUTPUT)}: ${bytes} bytes at quality ${quality}`);
    if (bytes <= MAX_BYTES) return;
  }
  throw new Failure(`The picture is larger than ${MAX_BYTES} bytes at every quality.`);
}

async function makePictures(folder) {
  const { loadConfig } = await importBuilt('config/load.js');
  const { joinClips } = await importBuilt('output/grid.js');
  const { planJobs } = await importBuilt('cli/jobs.js');
  const config = await loadConfig(path.join(ROOT, 'configs', 'demo.yaml'));
  const jobs = planJobs(config).slice(0, COLUMNS);
  const clips = [];
  for (const { flags } of ROWS) {
    for (const job of jobs) clips.push(await makeClip(job, flags, folder));
  }
  const prompts = jobs.map(({ prompt }) => prompt);
  const frames = await addLabels(joinClips(clips, COLUMNS), prompts, clips[0]);
  await save(
    frames,
    clips.map(({ parameters }) => parameters),
    config.fps,
  );
}

await main(async () => {
  await setup();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'animatediff-pictures-'));
  try {
    await makePictures(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

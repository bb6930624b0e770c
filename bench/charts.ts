/** From results to charts. */
import { drawBars } from './draw/bars.ts';
import { drawLines, type Panel, type Point, type Series } from './draw/lines.ts';
import { MEASURE_NAMES, MEASURES } from './measures.ts';
import type { BenchResult, Circumstances, CurvePoint, CurvesResult, SideResult, Sweep } from './results.ts';
import { sideTitle } from './sides.ts';
import { ratio } from './statistics.ts';
import { isOurs } from './tables.ts';

/** `AMD EPYC, 2 threads, 16 frames 256×256, 2026-01-31, 0123abc`. */
export function subtitle({ hardware, settings, date, commit = 'no commit' }: Circumstances): string {
  const { threads, frames, size } = settings;
  const place = hardware.accelerator ?? `${hardware.cpu}, ${threads} thread${threads === 1 ? '' : 's'}`;
  return `${place}, ${frames} frames ${size}×${size}, ${date}, ${commit}`;
}

/** How many times better one of our element types is than each peer. */
export function ratioChart(result: BenchResult, ours: SideResult): string {
  const peers = result.sides.filter((side) => !isOurs(side));
  const groups = MEASURE_NAMES.flatMap((name) => {
    const ratios = peers.map((peer) => ratio(ours.summaries[name], peer.summaries[name])?.median);
    return ratios.some((each) => each !== undefined) ? [{ title: MEASURES[name].title, ratios }] : [];
  });
  return drawBars({
    title: `${sideTitle(ours)}: times better than`,
    subtitle: subtitle(result),
    series: peers.map(sideTitle),
    groups,
  });
}

const TITLES: Readonly<Record<Exclude<Sweep, 'threads'>, string>> = {
  frames: 'more frames',
  size: 'larger frames',
  batch: 'more clips at once',
};

const GIBIBYTE = 2 ** 30;
const TERA = 1e12;

/** The point that all sweeps go through. */
function basePoint({ sweeps, settings }: CurvesResult): CurvePoint | undefined {
  const same = (point: CurvePoint) =>
    (['frames', 'size', 'batch', 'threads'] as const).every((name) => point[name] === settings[name]);
  return Object.values(sweeps).flat().find(same);
}

function overWork(
  result: CurvesResult,
  facts: Pick<Panel, 'title' | 'x' | 'y' | 'slope'>,
  place: (point: CurvePoint) => Point,
): readonly Panel[] {
  const series = (['frames', 'size', 'batch'] as const).flatMap((sweep): Series[] => {
    const points = result.sweeps[sweep];
    return points === undefined ? [] : [{ name: TITLES[sweep], points: points.map(place) }];
  });
  const base = basePoint(result);
  return series.length === 0 ? [] : [{ ...facts, series, ...(base && { base: place(base) }) }];
}

function threadPanel(result: CurvesResult): readonly Panel[] {
  const { threads } = result.sweeps;
  if (threads === undefined) return [];
  const places = threads.map(({ threads: count, step }): Point => [count, step.median]);
  return [
    {
      title: 'One guided step over threads',
      x: 'threads',
      y: 'seconds',
      slope: -1,
      base: places[0],
      series: [{ name: 'threads', points: places }],
    },
  ];
}

/** Seconds and memory over the count of operations, and seconds over threads. Dashed: in proportion to the work. */
export function curvesChart(result: CurvesResult): string {
  const panels = [
    ...overWork(
      result,
      { title: 'One guided step', x: '10¹² operations', y: 'seconds', slope: 1 },
      ({ stepOperations, step }) => [stepOperations / TERA, step.median],
    ),
    ...overWork(
      result,
      { title: 'VAE decode', x: '10¹² operations', y: 'seconds', slope: 1 },
      ({ decodeOperations, decode }) => [decodeOperations / TERA, decode.median],
    ),
    ...overWork(
      result,
      { title: 'Peak memory of the process', x: '10¹² operations of a step', y: 'GiB' },
      ({ stepOperations, hostPeak, devicePeak }) => [
        stepOperations / TERA,
        (devicePeak ?? hostPeak).median / GIBIBYTE,
      ],
    ),
    ...threadPanel(result),
  ];
  return drawLines({ title: `Cost against work, ${result.dtype}`, subtitle: subtitle(result), panels });
}

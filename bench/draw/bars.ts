/** Ratios as bars that begin at 1: to the right where this package is better, to the left where a peer is. */
import { formatTick, logScale } from './scale.ts';
import { colorOf, element, FAINT, GRID, INK, line, picture, text } from './svg.ts';

export interface BarGroup {
  readonly title: string;
  /** One per series, undefined where there is none. */
  readonly ratios: readonly (number | undefined)[];
}

export interface BarChart {
  readonly title: string;
  readonly subtitle: string;
  /** Names of the peers. */
  readonly series: readonly string[];
  readonly groups: readonly BarGroup[];
}

const WIDTH = 860;
const LEFT = 250;
const RIGHT = 70;
const TOP = 92;
const BAR = 13;
const GAP = 12;

function legend(series: readonly string[]): string {
  return series
    .map((name, index) => {
      const x = LEFT + index * 190;
      return (
        element('rect', { x, y: 58, width: 12, height: 12, fill: colorOf(index) }) + text(x + 18, 64, name)
      );
    })
    .join('');
}

/** The chart as SVG. */
export function drawBars({ title, subtitle, series, groups }: BarChart): string {
  const known = groups.flatMap(({ ratios }) => ratios.filter((each) => each !== undefined));
  const { at, ticks } = logScale([0.8, 2, ...known], [LEFT, WIDTH - RIGHT]);
  const heights = groups.map(({ ratios }) => ratios.filter((each) => each !== undefined).length * BAR + GAP);
  const bottom = TOP + heights.reduce((sum, height) => sum + height, 0);
  const parts: string[] = [
    text(16, 22, title, { size: 16, weight: 'bold' }),
    text(16, 42, subtitle, { color: FAINT }),
    legend(series),
    ...ticks.flatMap((tick) => [
      line(at(tick), TOP - 6, at(tick), bottom, { stroke: GRID }),
      text(at(tick), bottom + 12, `${formatTick(tick)}×`, { anchor: 'middle', size: 11, color: FAINT }),
    ]),
  ];
  let top = TOP;
  for (const [index, group] of groups.entries()) {
    const height = heights[index] ?? 0;
    parts.push(text(LEFT - 14, top + (height - GAP) / 2, group.title, { anchor: 'end' }));
    let y = top;
    for (const [which, ratio] of group.ratios.entries()) {
      if (ratio === undefined) continue;
      const [from, to] = [Math.min(at(1), at(ratio)), Math.max(at(1), at(ratio))];
      parts.push(
        element('rect', { x: from, y, width: Math.max(1, to - from), height: BAR - 2, fill: colorOf(which) }),
        text(to + 5, y + BAR / 2 - 1, `${ratio.toFixed(2)}×`, { size: 10 }),
      );
      y += BAR;
    }
    top += height;
  }
  parts.push(line(at(1), TOP - 6, at(1), bottom, { stroke: INK, 'stroke-width': 1.5 }));
  return picture(WIDTH, bottom + 28, title, ...parts);
}

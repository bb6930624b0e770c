/** Cost against work on logarithmic axes, several panels in a picture, each with the line of proportional growth. */
import { formatTick, logScale, type Scale } from './scale.ts';
import { colorOf, element, FAINT, GRID, line, picture, text } from './svg.ts';

export type Point = readonly [x: number, y: number];

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Panel {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** Cost that grows as the work does, 1, or falls as threads are added, -1; through {@link base}. */
  readonly slope?: 1 | -1;
  readonly base?: Point;
}

export interface LineChart {
  readonly title: string;
  readonly subtitle: string;
  readonly panels: readonly Panel[];
}

const WIDTH = 860;
const HEIGHT = 290;
const COLUMNS = 2;
const TOP = 64;
const INSET = { left: 62, right: 24, top: 34, bottom: 46 } as const;

interface Axes {
  readonly x: Scale;
  readonly y: Scale;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function axesOf({ series }: Panel, left: number, top: number): Axes {
  const points = series.flatMap(({ points: list }) => list);
  const box = {
    left: left + INSET.left,
    right: left + WIDTH / COLUMNS - INSET.right,
    top: top + INSET.top,
    bottom: top + HEIGHT - INSET.bottom,
  };
  return {
    ...box,
    x: logScale(
      points.map(([x]) => x),
      [box.left, box.right],
    ),
    y: logScale(
      points.map(([, y]) => y),
      [box.bottom, box.top],
    ),
  };
}

function grid({ x, y, left, right, top, bottom }: Axes, panel: Panel): readonly string[] {
  return [
    ...x.ticks.flatMap((tick) => [
      line(x.at(tick), top, x.at(tick), bottom),
      text(x.at(tick), bottom + 12, formatTick(tick), { anchor: 'middle', size: 11, color: FAINT }),
    ]),
    ...y.ticks.flatMap((tick) => [
      line(left, y.at(tick), right, y.at(tick)),
      text(left - 6, y.at(tick), formatTick(tick), { anchor: 'end', size: 11, color: FAINT }),
    ]),
    element('rect', {
      x: left,
      y: top,
      width: right - left,
      height: bottom - top,
      fill: 'none',
      stroke: GRID,
    }),
    text(left, top - 14, panel.title, { weight: 'bold' }),
    text(right, top - 14, panel.y, { anchor: 'end', size: 11, color: FAINT }),
    text((left + right) / 2, bottom + 30, panel.x, { anchor: 'middle', size: 11, color: FAINT }),
  ];
}

/** Equal slope on logarithmic axes is a straight line; what lies beyond the panel is cut off. */
function proportional(axes: Axes, { slope, base }: Panel, name: string): readonly string[] {
  if (slope === undefined || base === undefined) return [];
  const [x, y] = base;
  const ends = [x / 1e3, x * 1e3].map((end): Point => [end, y * (end / x) ** slope]);
  const [[x1, y1], [x2, y2]] = ends.map(([a, b]): Point => [axes.x.at(a), axes.y.at(b)]) as [Point, Point];
  const { left, top, right, bottom } = axes;
  const clip = element(
    'clipPath',
    { id: name },
    element('rect', { x: left, y: top, width: right - left, height: bottom - top }),
  );
  const dashes = { stroke: FAINT, 'stroke-dasharray': '4 4', 'clip-path': `url(#${name})` };
  return [clip, line(x1, y1, x2, y2, dashes)];
}

function curve({ x, y }: Axes, { points }: Series, color: string): readonly string[] {
  const places = points.map(([a, b]): Point => [x.at(a), y.at(b)]);
  const path = places.map(([a, b], index) => `${index === 0 ? 'M' : 'L'}${a.toFixed(1)} ${b.toFixed(1)}`);
  return [
    element('path', { d: path.join(''), fill: 'none', stroke: color, 'stroke-width': 2 }),
    ...places.map(([cx, cy]) => element('circle', { cx, cy, r: 3, fill: color })),
  ];
}

function legend(axes: Axes, names: readonly string[], colors: readonly string[]): readonly string[] {
  return names.flatMap((name, index) => {
    const y = axes.top + 14 + 16 * index;
    const color = colors[index] ?? FAINT;
    return [
      line(axes.left + 8, y, axes.left + 24, y, { stroke: color, 'stroke-width': 2 }),
      text(axes.left + 30, y, name, { size: 11 }),
    ];
  });
}

function drawPanel(panel: Panel, index: number, colorFor: (name: string) => string): string {
  const left = (index % COLUMNS) * (WIDTH / COLUMNS);
  const axes = axesOf(panel, left, TOP + Math.floor(index / COLUMNS) * HEIGHT);
  const names = panel.series.map(({ name }) => name);
  const colors = names.map(colorFor);
  return [
    ...grid(axes, panel),
    ...proportional(axes, panel, `panel-${index}`),
    ...panel.series.flatMap((series, which) => curve(axes, series, colors[which] ?? FAINT)),
    ...(names.length > 1 ? legend(axes, names, colors) : []),
  ].join('');
}

/** The chart as SVG. A name has the same colour in every panel. */
export function drawLines({ title, subtitle, panels }: LineChart): string {
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const colorFor = (name: string) => colorOf(names.indexOf(name));
  const height = TOP + HEIGHT * Math.ceil(panels.length / COLUMNS);
  return picture(
    WIDTH,
    height,
    title,
    text(16, 22, title, { size: 16, weight: 'bold' }),
    text(16, 42, subtitle, { color: FAINT }),
    ...panels.map((panel, index) => drawPanel(panel, index, colorFor)),
  );
}

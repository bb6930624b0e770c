/** Results as tables: numbers with units, and how many times better this package is. */
import { MEASURE_NAMES, MEASURES, type Unit } from './measures.ts';
import type { BenchResult, SideResult } from './results.ts';
import { sideTitle } from './sides.ts';
import { type Ratio, ratio } from './statistics.ts';

export type Row = readonly string[];

const FORMATS: Readonly<Record<Unit, (value: number) => string>> = {
  seconds: (value) => `${value < 1 ? value.toPrecision(2) : value.toFixed(value < 100 ? 2 : 0)} s`,
  milliseconds: (value) => `${value.toFixed(1)} ms`,
  bytes: (value) =>
    value < 2 ** 30 ? `${(value / 2 ** 20).toFixed(0)} MiB` : `${(value / 2 ** 30).toFixed(2)} GiB`,
};

export const formatValue = (value: number, unit: Unit): string => FORMATS[unit](value);

export const formatRatio = ({ median, min }: Ratio): string =>
  `${median.toFixed(2)}× (min ${min.toFixed(2)}×)`;

export const isOurs = ({ name }: Pick<SideResult, 'name'>): boolean => name.startsWith('ours');

const EMPTY = '–';

const gigaflops = (rate: number): string =>
  `${(rate / 1e9).toLocaleString('en', { maximumSignificantDigits: 3 })} GFLOP/s`;

/** Operations per second of a UNet call, to be held against what the machine reaches in large products. */
function rateRow({ sides, stepOperations }: Pick<BenchResult, 'sides' | 'stepOperations'>): readonly Row[] {
  if (!sides.some(({ summaries }) => summaries.unet)) return [];
  const rates = sides.map(({ summaries: { unet } }) =>
    unet === undefined ? EMPTY : gigaflops(stepOperations / unet.median),
  );
  return [['rate of a UNet call', ...rates]];
}

/** One line per measure: the median of every side. */
export function valueTable(result: Pick<BenchResult, 'sides' | 'stepOperations'>): readonly Row[] {
  const { sides } = result;
  const rows = MEASURE_NAMES.filter((name) => sides.some(({ summaries }) => summaries[name])).map((name) => [
    MEASURES[name].title,
    ...sides.map(({ summaries }) => {
      const summary = summaries[name];
      return summary === undefined ? EMPTY : formatValue(summary.median, MEASURES[name].unit);
    }),
  ]);
  return [['', ...sides.map(sideTitle)], ...rows, ...rateRow(result)];
}

/** One line per measure: each peer's value divided by ours. */
export function ratioTable({ sides }: Pick<BenchResult, 'sides'>, ours: SideResult): readonly Row[] {
  const peers = sides.filter((side) => !isOurs(side));
  const rows = MEASURE_NAMES.flatMap((name) => {
    const ratios = peers.map((peer) => ratio(ours.summaries[name], peer.summaries[name]));
    if (ratios.every((each) => each === undefined)) return [];
    return [
      [MEASURES[name].title, ...ratios.map((each) => (each === undefined ? EMPTY : formatRatio(each)))],
    ];
  });
  return peers.length === 0 ? [] : [['', ...peers.map(sideTitle)], ...rows];
}

/** A step without guidance has half of the work: 1 or more when it takes no longer than half of a guided one. */
export function unguidedRatio({ summaries: { step, unguidedStep } }: SideResult): Ratio | undefined {
  const half = step && { ...step, median: step.median / 2, min: step.min / 2 };
  return ratio(unguidedStep, half);
}

/** The most of the machine that others took during any value of a side. */
export function foreignShare({ summaries }: SideResult): number {
  return Math.max(0, ...Object.values(summaries).map(({ foreign = 0 }) => foreign));
}

/** Columns of equal width for a terminal. */
export function alignTable(rows: readonly Row[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}

/** GitHub's tables. */
export function markdownTable(rows: readonly Row[]): string {
  const [head = [], ...body] = rows;
  const line = (cells: Row) => `| ${cells.join(' | ')} |`;
  return [
    line(head),
    `|${head.map((_, column) => (column === 0 ? '---|' : '---:|')).join('')}`,
    ...body.map(line),
  ].join('\n');
}

/** Writes tables and plots of the newest results into `bench/README.md` and `bench/plots/`. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { curvesChart, ratioChart, subtitle } from './charts.ts';
import { TENSORS } from './job.ts';
import { PARTS } from './measures.ts';
import { type BenchResult, type CurvesResult, type Result, readResults } from './results.ts';
import { sideTitle } from './sides.ts';
import {
  foreignShare,
  formatRatio,
  isOurs,
  markdownTable,
  ratioTable,
  unguidedRatio,
  valueTable,
} from './tables.ts';
import { ROOT } from './turns.ts';

const README = path.join(ROOT, 'bench', 'README.md');
const PLOTS = path.join(ROOT, 'bench', 'plots');
const BEGIN = '<!-- results: written by npm run bench -- --report -->';
const END = '<!-- end of results -->';

/** What computed: ratios on one processor say little about another. */
function processor({ hardware }: Result): string {
  return (hardware.accelerator ?? hardware.cpu).replaceAll(/\((R|TM)\)/g, '');
}

/** The newest result of each processor. Those of other families are checks of the benchmark itself. */
export function newest<R extends Result>(results: readonly { readonly file: string; readonly result: R }[]) {
  const real = results.filter(({ result }) => result.settings.family === 'sd15');
  return [...new Map(real.map((each) => [processor(each.result), each])).values()];
}

function heading(result: Result): string {
  const { accelerator, flags } = result.hardware;
  return accelerator === undefined ? `${processor(result)} (${flags.join(', ')})` : processor(result);
}

function plotName(kind: string, result: Result, dtype: string): string {
  const words = [
    kind,
    ...processor(result)
      .toLowerCase()
      .split(/[^a-z0-9]+/),
    dtype,
  ];
  return `${words.filter((word) => word !== '').join('-')}.svg`;
}

/** A run of some parts answers a question of the moment, and stays out of the page. */
function isWhole({ parts }: BenchResult): boolean {
  return PARTS.every((part) => parts.includes(part));
}

interface Section {
  readonly text: readonly string[];
  /** File name and content. */
  readonly plots: ReadonlyMap<string, string>;
}

function versionsOf({ sides }: BenchResult): string {
  const versions = new Map(sides.flatMap((side) => Object.entries(side.versions)));
  return [...versions].map(([name, version]) => `${name} ${version}`).join(', ');
}

/** Errors of every side from the reference, a line each. */
function equality({ proofs }: BenchResult): readonly string[] {
  const [first] = proofs;
  if (first === undefined) return [];
  const sides = [...new Set(proofs.map(({ side }) => side))];
  const rows = sides.map((name) => [
    name,
    ...proofs
      .filter(({ side }) => side === name)
      .map(({ difference }) => difference.relative.toExponential(1)),
  ]);
  return [
    `Errors (root mean square) relative to ${first.reference}:`,
    markdownTable([['', ...TENSORS], ...rows]),
  ];
}

function benchSection(file: string, result: BenchResult): Section {
  const { steps, rounds } = result.settings;
  const plots = new Map<string, string>();
  const text = [
    `## ${heading(result)}`,
    `${subtitle(result)}; ${steps} ${steps === 1 ? 'step' : 'steps'}, medians of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}. ${versionsOf(result)}. [\`${file}\`](results/${file})`,
    markdownTable(valueTable(result)),
  ];
  for (const ours of result.sides.filter(isOurs)) {
    const ratios = ratioTable(result, ours);
    if (ratios.length === 0) continue;
    const plot = plotName('ratios', result, ours.dtype);
    plots.set(plot, ratioChart(result, ours));
    text.push(`### ${sideTitle(ours)} is better by`, markdownTable(ratios), `![Ratios](plots/${plot})`);
    const unguided = unguidedRatio(ours);
    if (unguided !== undefined)
      text.push(`Half of a guided step takes ${formatRatio(unguided)} as long as a step without guidance.`);
  }
  const disturbed = result.sides.map((side) => `${side.name} ${(100 * foreignShare(side)).toFixed(0)} %`);
  text.push(...equality(result), `CPU that other processes took, at most: ${disturbed.join(', ')}.`);
  return { text, plots };
}

function curvesSection(file: string, result: CurvesResult): Section {
  const plot = plotName('curves', result, result.dtype);
  const text = [
    `## Cost against work, ${heading(result)}`,
    `${subtitle(result)}, ${result.dtype}. One dimension is changed at a time; a dashed line is cost in proportion to the work. [\`${file}\`](results/${file})`,
    `![Cost against work](plots/${plot})`,
  ];
  return { text, plots: new Map([[plot, curvesChart(result)]]) };
}

/** Puts text between the markers of a page. */
export function replaceResults(page: string, text: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`Expected '${BEGIN}' and '${END}' in bench/README.md.`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${text}\n\n${page.slice(end)}`;
}

/** Returns the paths of the files that were written. */
export function writeReport(): readonly string[] {
  const sections = [
    ...newest(readResults('bench').filter(({ result }) => isWhole(result))).map(({ file, result }) =>
      benchSection(file, result),
    ),
    ...newest(readResults('curves')).map(({ file, result }) => curvesSection(file, result)),
  ];
  mkdirSync(PLOTS, { recursive: true });
  const plots = sections.flatMap((section) => [...section.plots]);
  for (const [name, svg] of plots) writeFileSync(path.join(PLOTS, name), svg);
  const text = sections.flatMap((section) => section.text).join('\n\n');
  writeFileSync(README, replaceResults(readFileSync(README, 'utf8'), text === '' ? 'None yet.' : text));
  return [README, ...plots.map(([name]) => path.join(PLOTS, name))];
}

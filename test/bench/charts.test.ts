/** The charts of the report: marks where the numbers are, and a page that keeps what people wrote. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawBars } from '../../bench/draw/bars.ts';
import { drawLines } from '../../bench/draw/lines.ts';
import { logScale } from '../../bench/draw/scale.ts';
import { newest, replaceResults } from '../../bench/report.ts';
import type { BenchResult } from '../../bench/results.ts';
import type { FamilyName } from '../support/family.ts';

const attributes = (svg: string, element: string, name: string) =>
  [...svg.matchAll(new RegExp(`<${element} [^>]*?\\b${name}="([^"]*)"`, 'g'))].map(([, value]) =>
    Number(value),
  );

describe('a logarithmic axis', () => {
  it('makes equal ratios equal lengths', () => {
    const { at } = logScale([1, 100], [0, 300]);
    assert.ok(Math.abs(at(10) - at(1) - (at(100) - at(10))) < 1e-9);
    assert.ok(at(1) > 0 && at(100) < 300, 'with room at both ends');
  });

  it('has round ticks within its range, however narrow or wide', () => {
    assert.deepEqual(logScale([1, 10], [0, 1]).ticks, [1, 2, 5, 10]);
    assert.deepEqual(logScale([1e-3, 1e3], [0, 1]).ticks, [1e-3, 1e-2, 0.1, 1, 10, 100, 1e3]);
    const narrow = logScale([0.27, 0.3], [0, 1]).ticks;
    assert.ok(narrow.length >= 2 && narrow.every((tick) => tick > 0.23 && tick < 0.35), String(narrow));
  });
});

describe('bars', () => {
  it('go right from 1 where this package is better, and left where a peer is', () => {
    const chart = { title: 'a < b', subtitle: '', series: ['x'], groups: [{ title: 'g', ratios: [2] }] };
    const better = drawBars(chart);
    const worse = drawBars({ ...chart, groups: [{ title: 'g', ratios: [0.5] }] });
    const [right = 0] = attributes(better, 'rect', 'x').slice(-1);
    const [left = 0] = attributes(worse, 'rect', 'x').slice(-1);
    const [width = 0] = attributes(worse, 'rect', 'width').slice(-1);
    const [origin] = attributes(worse, 'line', 'x1').slice(-1);
    assert.ok(left < right);
    assert.ok(Math.abs(left + width - (origin ?? 0)) < 0.02);
    assert.ok(better.includes('a &lt; b'));
  });
});

describe('curves', () => {
  it('put a mark at every point, and a line of proportional growth through the base', () => {
    const panel = { title: 'p', x: 'x', y: 'y', slope: 1, base: [2, 4] } as const;
    const points = [
      [1, 2],
      [2, 4],
      [4, 8],
    ] as const;
    const svg = drawLines({
      title: 't',
      subtitle: '',
      panels: [{ ...panel, series: [{ name: 's', points }] }],
    });
    const [xs, ys] = [attributes(svg, 'circle', 'cx'), attributes(svg, 'circle', 'cy')];
    assert.equal(xs.length, 3);
    // Cost in proportion to the work lies on the dashed line.
    const [, dashed] = /<line ([^>]*stroke-dasharray[^>]*)>/.exec(svg) ?? [];
    const [x1, y1, x2, y2] = ['x1', 'y1', 'x2', 'y2'].map((name) =>
      Number(new RegExp(`${name}="([^"]*)"`).exec(dashed ?? '')?.[1]),
    ) as [number, number, number, number];
    for (const [index, x] of xs.entries())
      assert.ok(Math.abs(y1 + ((x - x1) / (x2 - x1)) * (y2 - y1) - (ys[index] ?? 0)) < 0.1);
  });
});

describe('the page with results', () => {
  const [begin, end] = ['<!-- results: written by npm run bench -- --report -->', '<!-- end of results -->'];

  it('keeps everything outside of its markers', () => {
    const page = `before\n${begin}\nold\n${end}\nafter\n`;
    const replaced = replaceResults(page, 'new');
    assert.equal(replaced, `before\n${begin}\n\nnew\n\n${end}\nafter\n`);
    assert.equal(replaceResults(replaced, 'new'), replaced);
  });

  it('has the newest result of every processor, in the real sizes', () => {
    const result = (file: string, cpu: string, family: FamilyName = 'sd15') =>
      ({ file, result: { hardware: { cpu }, settings: { family } } }) as {
        file: string;
        result: BenchResult;
      };
    const results = [result('1', 'A'), result('2', 'B'), result('3', 'A'), result('4', 'B', 'tiny')];
    assert.deepEqual(
      newest(results).map(({ file }) => file),
      ['3', '2'],
    );
  });

  it('is left alone without them', () => {
    assert.throws(() => replaceResults('page', 'new'), /Expected/);
  });
});

/** Progress on stderr: the line on a terminal, the lines in a log. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createProgress, formatBytes, formatDuration, streamStyle } from '../../lib/cli/progress.ts';
import { Capture } from './fakes.ts';

function display(options: { interactive: boolean; color?: boolean; columns?: number }) {
  const stream = new Capture(options.interactive, options.columns ?? 80);
  const clock = { ms: 0 };
  const progress = createProgress({
    stream,
    interactive: options.interactive,
    color: options.color ?? false,
    now: () => clock.ms,
  });
  const sample = (done: number, total = 25) =>
    progress.update({ label: 'sample', done, total, unit: 'steps' });
  return { stream, clock, progress, sample };
}

describe('progress in a log', () => {
  it('is one line for every tenth, however many steps there are', () => {
    const { stream, clock, sample } = display({ interactive: false });
    for (let step = 0; step <= 1000; step++) {
      clock.ms = step * 500;
      sample(step, 1000);
    }
    const lines = stream.text.trimEnd().split('\n');
    assert.equal(lines.length, 10);
    assert.equal(lines[0], 'sample  100/1000  2.00 it/s  ETA 7:30');
    assert.equal(lines[9], 'sample  1000/1000  2.00 it/s');
    assert.ok(!stream.text.includes('\r'));
  });

  it('begins again with the next phase', () => {
    const { stream, progress, sample } = display({ interactive: false });
    sample(25);
    progress.update({ label: 'decode', done: 16, total: 16, unit: 'frames' });
    assert.deepEqual(stream.text.trimEnd().split('\n'), ['sample  25/25', 'decode  16/16']);
  });

  it('begins again when the same phase starts over', () => {
    const { stream, sample } = display({ interactive: false });
    sample(1, 1);
    sample(0, 1);
    sample(1, 1);
    assert.equal(stream.text.trimEnd().split('\n').length, 2);
  });
});

describe('progress on a terminal', () => {
  const lastLine = (text: string) => text.split('\r').at(-1) ?? '';

  it('draws bar, count, speed and time left over one line', () => {
    const { stream, clock, sample } = display({ interactive: true });
    sample(0);
    clock.ms = 5000;
    sample(10);
    assert.match(lastLine(stream.text), /^sample {2}\[=+ +\] {2}10\/25 {2}2\.00 it\/s {2}ETA 0:08 *$/);
    assert.ok(!stream.text.includes('\n'));
  });

  it('gives seconds per step when a step takes longer than one', () => {
    const { stream, clock, sample } = display({ interactive: true });
    sample(0);
    clock.ms = 60_000;
    sample(2);
    assert.match(stream.text, /30\.00 s\/it {2}ETA 11:30/);
  });

  it('fits into every width of terminal', () => {
    for (const columns of [20, 21, 30, 40, 60, 80, 200]) {
      const { stream, clock, progress } = display({ interactive: true, columns });
      for (const done of [0, 1e9, 2e9]) {
        clock.ms += 1000;
        progress.update({ label: 'download libtorch-shared.zip', done, total: 2e9, unit: 'bytes' });
      }
      for (const line of stream.text.split('\r'))
        assert.ok(line.length < Math.max(columns, 21), `${columns}: ${line}`);
    }
  });

  it('is not drawn more often than it can be read, but always at the end', () => {
    const { stream, clock, sample } = display({ interactive: true });
    for (let step = 0; step <= 1000; step++) {
      clock.ms = step;
      sample(step, 1000);
    }
    const draws = stream.text.split('\r').length - 1;
    assert.ok(draws > 8 && draws < 20, `${draws}`);
    assert.match(lastLine(stream.text), /1000\/1000/);
  });

  it('covers a longer line with blanks, and takes itself away', () => {
    const { stream, clock, progress } = display({ interactive: true });
    progress.update({ label: 'a long label', done: 1, total: 2, unit: 'steps' });
    const first = lastLine(stream.text).length;
    clock.ms = 1000;
    progress.update({ label: 'b', done: 1, total: 2, unit: 'steps' });
    assert.ok(lastLine(stream.text).length >= first);
    progress.clear();
    assert.match(stream.text, /\r +\r$/);
    const before = stream.text;
    progress.clear();
    assert.equal(stream.text, before);
  });

  it('has colour only where it is wanted', () => {
    const plain = display({ interactive: true });
    plain.sample(25);
    assert.ok(!plain.stream.text.includes('\x1b'));
    const colored = display({ interactive: true, color: true });
    colored.sample(25);
    assert.ok(colored.stream.text.includes('\x1b['));
  });
});

describe('the style of a stream', () => {
  const terminal = { isTTY: true, write: () => {}, hasColors: () => true };
  const cases: readonly (readonly [string, typeof terminal | object, boolean, boolean, object])[] = [
    ['a terminal', terminal, false, false, { interactive: true, color: true }],
    ['a terminal of a CI job', terminal, true, false, { interactive: false, color: true }],
    ['a terminal with NO_COLOR', terminal, false, true, { interactive: true, color: false }],
    [
      'a terminal without colours',
      { ...terminal, hasColors: () => false },
      false,
      false,
      { interactive: true, color: false },
    ],
    ['a file', { write: () => {} }, false, false, { interactive: false, color: false }],
  ];
  for (const [name, stream, ci, noColor, expected] of cases) {
    it(`is right for ${name}`, () => {
      assert.deepEqual(streamStyle(stream as typeof terminal, { ci, noColor }), expected);
    });
  }
});

describe('sizes and times', () => {
  it('are written with the unit that fits', () => {
    const sizes = [0, 999, 1000, 999_400, 126_385_248, 999_999_999, 2_540_000_000];
    assert.deepEqual(sizes.map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '999 kB',
      '126 MB',
      '1.0 GB',
      '2.5 GB',
    ]);
    assert.deepEqual([0.4, 59.6, 3599, 3600, 90061].map(formatDuration), [
      '0:00',
      '1:00',
      '59:59',
      '1:00:00',
      '25:01:01',
    ]);
  });
});

/** The command line of `npm run check:device`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readFlags } from '../../scripts/device-check/flags.ts';

describe('the device check', () => {
  it('has settings for each device that take minutes there', () => {
    const cuda = readFlags(['--device', 'cuda', '--out', 'results']);
    assert.deepEqual([cuda.family, cuda.size, cuda.frames, cuda.clips], ['sd15', 512, 16, 100]);
    assert.deepEqual(cuda.only, ['parity', 'memory', 'soak', 'bench']);
    const cpu = readFlags(['--device', 'cpu', '--out', 'results', '--only', 'soak', '--clips', '40']);
    assert.deepEqual([cpu.family, cpu.only, cpu.clips], ['demo', ['soak'], 40]);
  });

  const wrong: readonly [string, readonly string[], RegExp][] = [
    ['no device', ['--out', 'results'], /one of cpu, cuda for --device, got ''/],
    ['no folder', ['--device', 'cpu'], /folder for the result with --out/],
    [
      'an unknown part',
      ['--device', 'cpu', '--out', 'x', '--only', 'speed'],
      /parity.*for --only, got 'speed'/,
    ],
    ['no clips', ['--device', 'cpu', '--out', 'x', '--clips', '0'], /positive integer for --clips, got '0'/],
  ];
  for (const [what, args, message] of wrong) {
    it(`refuses ${what}`, () => assert.throws(() => readFlags(args), { message }));
  }
});

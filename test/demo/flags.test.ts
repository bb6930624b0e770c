/** The command line of the evaluation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UsageError } from '../../bench/usage.ts';
import { readFlags } from '../../scripts/eval-demo/flags.ts';
import { SETS } from '../../scripts/eval-demo/sets.ts';

describe('flags of the evaluation', () => {
  it('are all sets with their own settings unless others are asked for', () => {
    assert.deepEqual(readFlags([]).sets, SETS);
    assert.deepEqual(readFlags([]).overrides, {});
    const asked = readFlags(['--set', 'neon', '--set', 'base', '--steps', '10', '--clips', '26']);
    assert.deepEqual(
      asked.sets.map(({ name }) => name),
      ['base', 'neon'],
    );
    assert.deepEqual(asked.overrides, { steps: 10 });
    assert.equal(asked.clips, 26);
  });

  it('name what is wrong, and what there is', () => {
    for (const [args, message] of [
      [['--sets', 'neon'], /--sets[\s\S]*Flags: --set --clips/],
      [['--set', 'chalk'], /base, neon, crayon, zoom-in, pan-left for --set, got 'chalk'/],
      [['--clips', '0'], /whole number for --clips, got '0'/],
      [['--guidance-scale', 'much'], /number for --guidance-scale, got 'much'/],
    ] as const) {
      assert.throws(() => readFlags(args), { constructor: UsageError, message });
    }
  });
});

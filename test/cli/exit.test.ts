/** Ctrl-C and exit codes. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { exitCodeOf, Interruption, type SignalSource, watchSignals } from '../../lib/cli/exit.ts';
import { AnimateDiffError } from '../../lib/errors.ts';

class FakeProcess extends EventEmitter {
  readonly pid = 4711;
  readonly kills: unknown[] = [];
  kill(...args: unknown[]): void {
    this.kills.push(args);
  }
}

function watch() {
  const source = new FakeProcess();
  let interrupts = 0;
  const watched = watchSignals(source as SignalSource, () => {
    interrupts++;
  });
  return { source, ...watched, interrupts: () => interrupts };
}

describe('Ctrl-C', () => {
  it('aborts the first time and ends the process the second time', () => {
    const { source, signal, interrupts } = watch();
    source.emit('SIGINT', 'SIGINT');
    assert.ok(signal.aborted);
    assert.equal(exitCodeOf(signal.reason), 130);
    assert.deepEqual([interrupts(), source.kills], [1, []]);
    source.emit('SIGINT', 'SIGINT');
    assert.deepEqual([interrupts(), source.kills], [1, [[4711, 'SIGINT']]]);
    assert.equal(source.listenerCount('SIGINT'), 0, 'the signal would come back to the listener');
  });

  it('is told apart from a request to terminate', () => {
    const { source, signal } = watch();
    source.emit('SIGTERM', 'SIGTERM');
    assert.equal(exitCodeOf(signal.reason), 143);
  });

  it('is nobody’s business once the command has ended', () => {
    const { source, signal, stop } = watch();
    stop();
    assert.deepEqual([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM')], [0, 0]);
    assert.equal(signal.aborted, false);
  });

  it('has an AbortError as its reason, as the platform’s own aborts', () => {
    assert.equal(new Interruption('SIGINT').name, 'AbortError');
  });
});

describe('the exit code', () => {
  const cases: readonly (readonly [string, unknown, number])[] = [
    ['a wrong argument', new AnimateDiffError('ERR_INVALID_ARGUMENT', 'x'), 2],
    ['a wrong configuration', new AnimateDiffError('ERR_CONFIG', 'x'), 2],
    ['a missing file', new AnimateDiffError('ERR_FILE_NOT_FOUND', 'x'), 1],
    ['a defect', new TypeError('x'), 1],
    ['something that is no error', 'x', 1],
  ];
  for (const [name, error, code] of cases)
    it(`is ${code} for ${name}`, () => assert.equal(exitCodeOf(error), code));
});

/**
 * How a run ends: exit codes, and what Ctrl-C does. 0 is success, 1 a failure, 2 a wrong use, 130 and 143
 * an interruption by SIGINT and SIGTERM.
 */
import { AnimateDiffError, type ErrorCode } from '../errors.ts';

export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

const USAGE_CODES: readonly ErrorCode[] = ['ERR_INVALID_ARGUMENT', 'ERR_CONFIG'];

/** 128 plus the number of the signal, as shells report it. */
const SIGNAL_EXIT = { SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof SIGNAL_EXIT;

/** The parts of `process` that interruption needs. */
export interface SignalSource {
  readonly pid: number;
  on(event: StopSignal, listener: (signal: StopSignal) => void): unknown;
  off(event: StopSignal, listener: (signal: StopSignal) => void): unknown;
  kill(pid: number, signal: StopSignal): unknown;
}

/** Reason of an abort that the user asked for. */
export class Interruption extends DOMException {
  readonly exitCode: number;

  constructor(signal: StopSignal) {
    super(`Interrupted by ${signal}.`, 'AbortError');
    this.exitCode = SIGNAL_EXIT[signal];
  }
}

/**
 * Turns the first SIGINT or SIGTERM into an abort with an {@link Interruption} as reason, and lets the
 * second one end the process at once, as if nobody listened.
 */
export function watchSignals(
  source: SignalSource,
  onInterrupt: () => void,
): { readonly signal: AbortSignal; readonly stop: () => void } {
  const controller = new AbortController();
  const names = Object.keys(SIGNAL_EXIT) as StopSignal[];
  const stop = () => {
    for (const name of names) source.off(name, listener);
  };
  const listener = (name: StopSignal) => {
    if (controller.signal.aborted) {
      stop();
      // A native computation may hold up an orderly exit; the default action of the signal does not wait.
      source.kill(source.pid, name);
      return;
    }
    controller.abort(new Interruption(name));
    onInterrupt();
  };
  for (const name of names) source.on(name, listener);
  return { signal: controller.signal, stop };
}

/** The exit code for whatever a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Interruption) return error.exitCode;
  if (error instanceof AnimateDiffError && USAGE_CODES.includes(error.code)) return EXIT.usage;
  return EXIT.failure;
}

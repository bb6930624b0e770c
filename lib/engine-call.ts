/**
 * One call on the engine together with what can end it early: an `AbortSignal`, or a callback of the user
 * that throws. Exceptions must not travel through native code, so they are caught here and thrown again by
 * the call itself.
 */
import { NativeAbort, type NativeEngine } from './native.ts';

/** Wraps a user's callback so that it never throws; the first exception ends the call. */
export type Guard = <Arguments extends unknown[]>(
  callback: (...values: Arguments) => void,
) => (...values: Arguments) => void;

/**
 * Runs `work`. Rejects with the signal's reason when it aborts, and with what a guarded callback threw.
 */
export async function engineCall<T>(
  engine: Pick<NativeEngine, 'cancel'>,
  signal: AbortSignal | undefined,
  work: (guard: Guard) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  let failure: { readonly error: unknown } | undefined;
  const cancel = () => engine.cancel();
  const guard: Guard =
    (callback) =>
    (...values) => {
      if (failure !== undefined || signal?.aborted) return;
      try {
        callback(...values);
      } catch (error) {
        failure = { error };
        cancel();
      }
    };
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const result = await work(guard);
    if (failure !== undefined) throw failure.error;
    return result;
  } catch (error) {
    if (failure !== undefined) throw failure.error;
    if (error instanceof NativeAbort && signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

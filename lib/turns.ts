/** Lets asynchronous work happen one after the other, in the order it was asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Calls that wait or run. */
  get size(): number {
    return this.#waiting;
  }

  /** Runs `work` when everything before it has settled; rejects at once when `signal` aborts while waiting. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#waiting += 1;
    const before = this.#last;
    const turn = this.#wait(before, signal).then(work);
    const done = turn.finally(() => {
      this.#waiting -= 1;
    });
    // A call that gave up waiting does not let the next one overtake those before it. The results are dropped: they
    // would hold those of all calls before.
    this.#last = Promise.allSettled([before, done]).then(() => undefined);
    return done;
  }

  #wait(before: Promise<unknown>, signal?: AbortSignal): Promise<void> {
    if (signal === undefined) return before.then(() => undefined);
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      before.then(() => {
        signal.removeEventListener('abort', abort);
        if (signal.aborted) abort();
        else resolve();
      });
    });
  }
}

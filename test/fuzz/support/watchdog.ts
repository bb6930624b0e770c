/**
 * Ends the process when an input keeps it busy for too long: no timer of its own thread would run then. The
 * input is in the scratch file, which stays.
 */
import { Worker } from 'node:worker_threads';

const WATCH = `
  const { workerData: { beats, limit, scratch } } = require('node:worker_threads');
  const counter = new Int32Array(beats);
  let last = -1;
  setInterval(() => {
    const now = Atomics.load(counter, 0);
    if (now === last) {
      require('node:fs').writeSync(2, 'The input in ' + scratch + ' took over ' + limit / 1000 + ' s.\\n');
      process.kill(process.pid, 'SIGKILL');
    }
    last = now;
  }, limit);
`;

export class Watchdog {
  readonly #counter: Int32Array;
  readonly #worker: Worker;

  /** `limit` in milliseconds. */
  constructor(limit: number, scratch: string) {
    const beats = new SharedArrayBuffer(4);
    this.#counter = new Int32Array(beats);
    this.#worker = new Worker(WATCH, { eval: true, workerData: { beats, limit, scratch } });
    this.#worker.unref();
  }

  /** One more input is done. */
  beat(): void {
    Atomics.add(this.#counter, 0, 1);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

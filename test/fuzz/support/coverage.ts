/**
 * What code ran, from V8's own block coverage. Fuzzers of npm packages need native parts: @jazzer.js/fuzzer 4
 * asks for glibc 2.38, and its older releases fetch theirs from GitHub while they are installed.
 */
import { type Profiler, Session } from 'node:inspector';

/** How much of the code ran so far. */
export interface CoverageSummary {
  readonly functions: { readonly ran: number; readonly total: number };
  /** Characters of the functions, as they were compiled. */
  readonly characters: { readonly ran: number; readonly total: number };
}

interface Reach {
  /** A one for each character that ran. */
  readonly ran: Uint8Array;
  called: boolean;
}

/** Counts of a block are told apart up to their order of magnitude, as AFL does. */
const bucket = (count: number): number => Math.min(Math.ceil(Math.log2(count + 1)), 8);

function throwError(error: Error | null): void {
  if (error !== null) throw error;
}

/** Coverage of the modules whose address matches. One at a time per process. */
export class Coverage {
  readonly #session = new Session();
  readonly #modules: RegExp;
  readonly #reach = new Map<string, Reach>();

  constructor(modules: RegExp) {
    this.#modules = modules;
    this.#session.connect();
    this.#session.post('Profiler.enable', throwError);
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true }, throwError);
  }

  /**
   * What ran since the last call: blocks, and how often. Blocks that did not run count too: V8 joins what ran
   * as often as the code around it, so that they alone tell two ways through a function apart.
   */
  take(): ReadonlySet<string> {
    const features = new Set<string>();
    this.#session.post('Profiler.takePreciseCoverage', (error, found) => {
      if (error !== null) throw error;
      for (const { url, functions } of found.result)
        if (this.#modules.test(url)) for (const one of functions) this.#note(url, one, features);
    });
    return features;
  }

  summary(): CoverageSummary {
    const all = [...this.#reach.values()];
    const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0);
    return {
      functions: { ran: all.filter(({ called }) => called).length, total: all.length },
      characters: {
        ran: sum(all.map(({ ran }) => sum([...ran]))),
        total: sum(all.map(({ ran }) => ran.length)),
      },
    };
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage', throwError);
    this.#session.disconnect();
  }

  #note(url: string, { functionName, ranges }: Profiler.FunctionCoverage, features: Set<string>): void {
    const [whole] = ranges;
    // The function around a whole module contains all others.
    if (whole === undefined || whole.startOffset === 0) return;
    const key = `${url}:${functionName}:${whole.startOffset}`;
    const reach = this.#reach.get(key) ?? {
      ran: new Uint8Array(whole.endOffset - whole.startOffset),
      called: false,
    };
    this.#reach.set(key, reach);
    if (whole.count === 0) return;
    reach.called = true;
    const now = new Uint8Array(reach.ran.length);
    for (const { startOffset, endOffset, count } of ranges) {
      features.add(`${key}/${startOffset}-${endOffset}*${bucket(count)}`);
      now.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
    }
    for (const [at, ran] of now.entries()) if (ran === 1) reach.ran[at] = 1;
  }
}

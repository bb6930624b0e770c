/**
 * A coverage-guided fuzzer: inputs that run new code are kept and changed further. Inputs run in batches, since
 * reading the coverage costs more than a small input does; a batch that ran new code is run again one by one.
 */
import { Coverage, type CoverageSummary } from './coverage.ts';
import { MAX_INPUT_BYTES } from './mutate-bytes.ts';
import { Random } from './random.ts';
import type { Target } from './targets.ts';
import { Watchdog } from './watchdog.ts';

export interface FuzzOptions {
  readonly targets: readonly Target[];
  /** Modules whose coverage counts. */
  readonly modules: RegExp;
  readonly seed: number;
  readonly seconds: number;
  /** Most inputs. Default: as many as the time allows. */
  readonly executions?: number;
  /** File that file readers get their input in. */
  readonly scratch: string;
  readonly onProgress?: (report: FuzzReport) => void;
}

/** An input that broke the contract. */
export interface Finding {
  readonly target: string;
  readonly input: Buffer;
  readonly reason: string;
}

export interface FuzzReport {
  readonly executions: number;
  /** Inputs of each target that ran code which those before them did not. */
  readonly corpus: Readonly<Record<string, number>>;
  readonly coverage: CoverageSummary;
  /** The slowest input, in milliseconds of the processor. */
  readonly slowest: number;
  readonly findings: readonly Finding[];
}

const BATCH = 16;
const MOST_CHANGES = 5;
const MOST_FINDINGS = 20;

/** Most time of the processor for one input, in ms: that of the clock tells how busy the machine is. */
export const TIME_LIMIT = 3000;
/** Time of the clock in ms after which an input that does not end ends the process. */
const HANG_LIMIT = 60_000;
/** Most growth of the peak of memory over one input, in bytes. */
export const MEMORY_LIMIT = 256 << 20;

const PROGRESS_SECONDS = 30;

class Fuzzer {
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #coverage: Coverage;
  readonly #watchdog: Watchdog;
  readonly #corpus = new Map<Target, Buffer[]>();
  readonly #findings: Finding[] = [];
  /** What whole batches ran, and what single inputs ran: counts of the two cannot be compared. */
  readonly #batchFeatures = new Set<string>();
  readonly #features = new Set<string>();
  #executions = 0;
  #slowest = 0;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#coverage = new Coverage(options.modules);
    this.#watchdog = new Watchdog(HANG_LIMIT, options.scratch);
  }

  async run(): Promise<FuzzReport> {
    const { targets, seconds, executions = Number.POSITIVE_INFINITY, onProgress } = this.#options;
    const started = performance.now();
    const elapsed = () => (performance.now() - started) / 1000;
    await this.#runSeeds();
    let reported = 0;
    for (let round = 0; elapsed() < seconds && this.#executions < executions; round++) {
      const target = targets[round % targets.length];
      if (target === undefined || this.#findings.length >= MOST_FINDINGS) break;
      await this.#runBatch(target);
      if (elapsed() - reported < PROGRESS_SECONDS) continue;
      reported = elapsed();
      onProgress?.(this.report());
    }
    this.#coverage.stop();
    await this.#watchdog.stop();
    return this.report();
  }

  report(): FuzzReport {
    return {
      executions: this.#executions,
      corpus: Object.fromEntries(Array.from(this.#corpus, ([{ name }, inputs]) => [name, inputs.length])),
      coverage: this.#coverage.summary(),
      slowest: this.#slowest,
      findings: this.#findings,
    };
  }

  /** Seeds stay in the corpus whatever they run, and must be sound. */
  async #runSeeds(): Promise<void> {
    for (const target of this.#options.targets) {
      this.#corpus.set(target, [...target.seeds]);
      for (const input of target.seeds) await this.#isNew(target, input);
    }
  }

  async #runBatch(target: Target): Promise<void> {
    const inputs = Array.from({ length: BATCH }, () => this.#mutated(target));
    for (const input of inputs) await this.#execute(target, input);
    if (!learn(this.#batchFeatures, this.#coverage.take())) return;
    const kept = this.#corpus.get(target);
    for (const input of inputs) if (await this.#isNew(target, input)) kept?.push(input);
  }

  /** Whether an input runs code that no single input ran before. */
  async #isNew(target: Target, input: Buffer): Promise<boolean> {
    await this.#execute(target, input);
    return learn(this.#features, this.#coverage.take());
  }

  #mutated(target: Target): Buffer {
    const corpus = this.#corpus.get(target) ?? target.seeds;
    // The last ones of a corpus got furthest.
    const recent = corpus.slice(-16);
    let input = this.#random.pick(this.#random.below(2) === 0 ? recent : corpus);
    for (let changes = 1 + this.#random.below(MOST_CHANGES); changes > 0 && input.length > 0; changes--)
      input = this.#random.pick(target.mutations)(input, this.#random, this.#random.pick(corpus));
    return input.length > MAX_INPUT_BYTES ? input.subarray(0, MAX_INPUT_BYTES) : input;
  }

  #isKnown({ name }: Target, reason: string): boolean {
    return this.#findings.some((known) => known.target === name && place(known.reason) === place(reason));
  }

  async #execute(target: Target, input: Buffer): Promise<void> {
    const [started, peak] = [process.cpuUsage(), process.resourceUsage().maxRSS];
    let reason: string | undefined;
    try {
      await target.run(input, this.#options.scratch);
    } catch (error) {
      reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    const grown = (process.resourceUsage().maxRSS - peak) * 1024;
    const { user, system } = process.cpuUsage(started);
    const elapsed = (user + system) / 1000;
    if (grown > MEMORY_LIMIT) reason ??= `it took ${grown >> 20} MiB`;
    if (elapsed > TIME_LIMIT) reason ??= `it took ${Math.round(elapsed)} ms`;
    if (reason !== undefined && !this.#isKnown(target, reason))
      this.#findings.push({ target: target.name, input, reason });
    this.#executions += 1;
    this.#slowest = Math.max(this.#slowest, elapsed);
    this.#watchdog.beat();
  }
}

/** The first two lines of a stack: one fault is told once. */
const place = (reason: string): string => reason.split('\n').slice(0, 2).join('\n');

/** Adds features to those that are known. True when one was not. */
function learn(known: Set<string>, features: ReadonlySet<string>): boolean {
  const before = known.size;
  for (const feature of features) known.add(feature);
  return known.size > before;
}

/** Fuzzes until the time is over, and says what was found. The same seed makes the same first inputs. */
export function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  return new Fuzzer(options).run();
}

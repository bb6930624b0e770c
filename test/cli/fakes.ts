/** A process and a package for commands to run in: streams that remember, a model that draws at once. */

import type { Context } from '../../lib/cli/context.ts';
import { run } from '../../lib/cli/program.ts';
import type { TextStream } from '../../lib/cli/progress.ts';
import { type Pipeline, type Services, services } from '../../lib/cli/services.ts';
import { Clip } from '../../lib/clip.ts';
import type { Notice } from '../../lib/events.ts';
import type { BakeLayout, GenerateOptions, LoadOptions, Prompt } from '../../lib/options.ts';

/** A stream that keeps what was written. */
export class Capture implements TextStream {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(isTTY = false, columns = 80) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
  }
}

export interface FakeModel {
  /** What `load` and `generate` were called with. */
  readonly loads: LoadOptions[];
  readonly requests: (GenerateOptions & { readonly prompt: Prompt })[];
  readonly baked: string[];
  readonly layouts: (BakeLayout | undefined)[];
  closed: number;
}

export interface FakeModelOptions {
  readonly motion?: boolean;
  readonly notices?: readonly Notice[];
  /** Bytes; default 0, as on the CPU. */
  readonly devicePeak?: number;
  /** Runs in the place of sampling, before the clip is made. */
  readonly during?: (index: number, options: GenerateOptions) => Promise<void> | void;
}

/** The seed that the fake model draws for -1. */
export const DRAWN_SEED = 18446744073709551615n;

function draw(options: GenerateOptions & { readonly prompt: Prompt }, motion: boolean): Clip {
  const { frames = motion ? 2 : 1, width = 8, height = 8, steps = 25, guidanceScale = 7.5 } = options;
  const data = Uint8Array.from({ length: frames * width * height * 3 }, (_, i) => (i * 37) % 256);
  const seed = BigInt(options.seed as string | number | bigint);
  return new Clip(
    data,
    { frames, width, height },
    {
      prompt: String(options.prompt),
      negativePrompt: String(options.negativePrompt),
      seed: String(seed === -1n ? DRAWN_SEED : seed),
      steps,
      guidanceScale,
      scheduler: 'ddim',
      width,
      height,
      frames,
      compat: 'original',
      dtype: 'float32',
      device: 'cpu',
      software: 'animatediff-native 0.0.0',
    },
  );
}

/** A model that draws at once, and a record of how it was used. */
export function fakeModel({ motion = true, notices = [], devicePeak = 0, during }: FakeModelOptions = {}) {
  const model: FakeModel = { loads: [], requests: [], baked: [], layouts: [], closed: 0 };
  const pipeline: Pipeline = {
    info: {
      device: 'cpu',
      dtype: 'float32',
      compat: 'original',
      motion: motion ? { maxFrames: 32 } : undefined,
    },
    generate: async (options) => {
      const index = model.requests.push(options) - 1;
      options.onProgress?.({ phase: 'text', step: 1, steps: 1 });
      await during?.(index, options);
      options.onProgress?.({ phase: 'sample', step: 25, steps: 25 });
      return draw(options, motion);
    },
    memory: async () => ({ weights: 2.8e9, hostPeak: 3.9e9, devicePeak, hostHeld: 2.8e9, deviceHeld: 0 }),
    bake: async (file, { layout }) => {
      model.baked.push(file);
      model.layouts.push(layout);
    },
    close: async () => {
      model.closed++;
    },
  };
  const load = async (options: LoadOptions) => {
    model.loads.push(options);
    options.onProgress?.({ phase: 'weights', role: 'unet', done: 5e8, total: 1e9 });
    for (const notice of notices) options.onNotice?.(notice);
    return pipeline;
  };
  return { model, load };
}

/** Services of which only the given ones work. */
export function fakeServices(given: Partial<Services>): Services {
  const refuse = (name: string) => () => Promise.reject(new Error(`${name} was not expected to be called`));
  return {
    load: refuse('load'),
    demoConfig: refuse('demoConfig'),
    inspect: refuse('inspect'),
    resolveSource: refuse('resolveSource'),
    listModels: refuse('listModels'),
    removeModel: refuse('removeModel'),
    removeAllModels: refuse('removeAllModels'),
    install: refuse('install'),
    diagnose: refuse('diagnose'),
    formatDiagnosis: refuse('formatDiagnosis'),
    saveGrid: services.saveGrid,
    ...given,
  };
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line in a fake process. */
export async function runCli(
  argv: readonly string[],
  given: Partial<Services> = {},
  overrides: Partial<Omit<Context, 'stdout' | 'stderr' | 'services'>> & { readonly terminal?: boolean } = {},
): Promise<RunResult> {
  const { terminal = false, ...rest } = overrides;
  const stdout = new Capture();
  const stderr = new Capture(terminal);
  const code = await run(argv, {
    stdout,
    stderr,
    environment: { ci: false, noColor: true, debug: false },
    folder: process.cwd(),
    signal: new AbortController().signal,
    services: fakeServices(given),
    now: () => new Date(2026, 0, 31, 9, 5, 7),
    exitCode: 0,
    ...rest,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** The class that users hold: load a model, generate clips, close. */
import process from 'node:process';
import { Adapters } from './adapters.ts';
import { type ArchiveMetadata, writeArchiveMetadata } from './archive.ts';
import { bakeLayout, writeBaked } from './bake.ts';
import { Clip } from './clip.ts';
import { engineCall } from './engine-call.ts';
import { AnimateDiffError, invalidArgument } from './errors.ts';
import type { Notice } from './events.ts';
import { resolveLoadSources } from './hub/load-sources.ts';
import { bindRole, type EngineDtype, type LoadedModel, loadModel, refill } from './load.ts';
import { readLoras } from './load-options.ts';
import { type MotionFacts, type SamplingDefaults, samplingDefaults } from './motion-sampling.ts';
import type { NativeClips, NativeMemory, NativeProgress } from './native.ts';
import {
  type AppliedLora,
  type BakeLayout,
  type BakeOptions,
  type ClipParameters,
  type Compat,
  ENGINE_DTYPES,
  type GenerateOptions,
  type LoadOptions,
  type LoraOptions,
  type Prompt,
  type SourceInput,
} from './options.ts';
import { requireWritable } from './output/write.ts';
import { software } from './package-info.ts';
import { reporter } from './reports.ts';
import { type BuiltRequest, buildRequest, type RequestParameters } from './request.ts';
import { Turns } from './turns.ts';
import {
  requireChoice,
  requireFunction,
  requireKnownKeys,
  requireObject,
  requirePath,
  requireSignal,
} from './validate.ts';

/** Facts about a loaded pipeline, as plain data. */
export interface PipelineInfo {
  /** Set of widths, `sd15` for Stable Diffusion 1.5. */
  readonly family: string;
  /** Device and element type that `auto` was resolved to. */
  readonly device: 'cpu' | `cuda:${number}`;
  readonly dtype: EngineDtype;
  readonly compat: Compat;
  readonly libtorch: { readonly version: string; readonly root: string };
  /** Absent without a motion module. `scale` is absent when it is 1, `steps` for all but AnimateDiff-Lightning. */
  readonly motion?: MotionFacts & { readonly maxFrames: number; readonly scale?: number };
  /** What a call takes that gives no scheduler, steps or guidance scale: it depends on the motion module. */
  readonly sampling: SamplingDefaults;
  /** File names, without folders. */
  readonly sources: ArchiveMetadata['sources'];
  /** Adapters that are merged into the weights, in the order in which they were given. */
  readonly loras: readonly AppliedLora[];
}

/** What records keep of a motion module. */
function motionRecord({ version, maxFrames, steps, scale = 1 }: NonNullable<LoadedModel['motion']>) {
  return {
    version,
    maxFrames,
    ...(steps !== undefined && { steps }),
    ...(scale !== 1 && { scale }),
  };
}

/** Bytes that a pipeline holds. */
export interface PipelineMemory {
  /** Parameters of all networks on the device, with those that other pipelines of the process hold too. */
  readonly weights: number;
  /** Most that the device's allocator has held in this process; 0 on the CPU. */
  readonly devicePeak: number;
  /** Most that large tensors on the host have taken in this process, weights on the CPU included. */
  readonly hostPeak: number;
  /** What tensors take now: on the device (0 on the CPU), and large ones on the host, of the whole process. */
  readonly deviceHeld: number;
  readonly hostHeld: number;
  /** How the last clips were made; absent before. */
  readonly plan?: MemoryPlan;
}

/** In which pieces clips were made, after what `memory` asked for, what was free and what ran out. */
export interface MemoryPlan {
  /** Rows of the UNet's batch: clips, twice as many with guidance. */
  readonly rows: number;
  /** Rows that were computed at once: half of them where guidance was split. */
  readonly rowsAtOnce: number;
  /** Frames that the VAE decoded at once. */
  readonly framesDecoded: number;
  /**
   * Networks that waited on the host: `idle` text encoder and VAE; `sequential` all, with parameters copied to the
   * device one by one as they were used.
   */
  readonly offload: (typeof OFFLOADS)[number];
}

/** Order of `ad_offload`. */
const OFFLOADS = ['none', 'idle', 'sequential'] as const;

function describeMemory({
  rows,
  rowsAtOnce,
  framesDecoded,
  offload,
  ...bytes
}: NativeMemory): PipelineMemory {
  const plan = { rows, rowsAtOnce, framesDecoded, offload: OFFLOADS[offload] ?? 'none' };
  return { ...bytes, ...(rows > 0 && { plan }) };
}

/**
 * Stable Diffusion 1.5 with a motion module, ready to animate.
 *
 * Calls on one pipeline run one after the other on the engine's own thread; the event loop keeps turning.
 *
 * @example
 * await using pipe = await AnimateDiff.load({ base: 'toonyou.safetensors', motionModule: 'mm_sd_v15_v2.ckpt' });
 * const clip = await pipe.generate({ prompt: 'a girl in the wind', seed: 42 });
 * await clip.save('girl.gif');
 */
export class AnimateDiff implements AsyncDisposable {
  readonly #model: LoadedModel;
  readonly #adapters: Adapters;
  readonly #turns = new Turns();
  readonly #notify: (notice: Notice) => void;
  readonly #notices: readonly Notice[];
  #closing: Promise<void> | undefined;

  private constructor(model: LoadedModel, notices: readonly Notice[], notify: (notice: Notice) => void) {
    this.#model = model;
    this.#adapters = new Adapters(model);
    this.#notices = notices;
    this.#notify = notify;
  }

  /**
   * Reads the headers of all files, checks that they fit together, and fills the networks.
   *
   * @throws AnimateDiffError with the code of the first thing that is wrong; `options.signal.reason` on abort.
   */
  static async load(options: LoadOptions): Promise<AnimateDiff> {
    const notices: Notice[] = [];
    const notify = (notice: Notice) => {
      notices.push(notice);
      options.onNotice?.(notice);
    };
    return new AnimateDiff(await loadModel(options, notify), notices, notify);
  }

  /** Facts about what was loaded and where it runs. */
  get info(): PipelineInfo {
    const { family, device, dtype, compat, libtorch, motion, sources } = this.#model;
    return {
      family: family.name,
      device,
      dtype,
      compat,
      libtorch: { version: libtorch.version, root: libtorch.root },
      motion: motion && motionRecord(motion),
      sampling: samplingDefaults(motion),
      sources,
      loras: this.#adapters.applied,
    };
  }

  /** Everything that was reported so far, in order. */
  get notices(): readonly Notice[] {
    return this.#notices;
  }

  /** Calls of {@link generate}, {@link setLoras} and {@link bake} that wait or run. */
  get queueSize(): number {
    return this.#turns.size;
  }

  /** True once {@link close} was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Bytes held by the engine, and how the last clips were made to fit; answers after the calls before it. */
  memory(): Promise<PipelineMemory> {
    return this.#whileOpen(async () => describeMemory(await this.#model.engine.memory()));
  }

  /**
   * Makes one clip per prompt; several prompts are computed together as a batch.
   *
   * @throws AnimateDiffError `ERR_INVALID_ARGUMENT`, `ERR_TOO_MANY_FRAMES`, `ERR_OUT_OF_MEMORY`,
   *   `ERR_NOT_FINITE`, `ERR_DISPOSED`; `options.signal.reason` on abort, within one sampling step.
   */
  generate(options: GenerateOptions & { readonly prompt: readonly Prompt[] }): Promise<Clip[]>;
  generate(options: GenerateOptions & { readonly prompt: Prompt }): Promise<Clip>;
  generate(options: GenerateOptions): Promise<Clip | Clip[]>;
  async generate(options: GenerateOptions): Promise<Clip | Clip[]> {
    this.#requireOpen();
    const request = buildRequest(options, this.#model);
    const report = reporter(
      requireFunction('onProgress', options.onProgress),
      requireFunction('onFrame', options.onFrame),
      request.native.frames,
    );
    for (const notice of request.notices) this.#notify(notice);
    const signal = requireSignal(options.signal);
    const clips = await this.#turns.run(
      () => this.#whileOpen(() => this.#run(request, signal, report)),
      signal,
    );
    return Array.isArray(options.prompt) ? clips : (clips[0] as Clip);
  }

  /**
   * Replaces all adapters of the LoRA kind, after the calls before it; `[]` takes them away. Parameters that
   * change are read again from the base's files, so that any number of changes ends in the exact weights that
   * loading with the last list gives. When it fails, everything stays as it was.
   *
   * @throws AnimateDiffError the codes of {@link load}, for the files of the adapters; `ERR_DISPOSED`
   */
  async setLoras(loras: readonly (SourceInput | LoraOptions)[]): Promise<void> {
    this.#requireOpen();
    readLoras(loras);
    await this.#turns.run(() =>
      this.#whileOpen(async () => {
        const local = await resolveLoadSources({ loras });
        await this.#adapters.replace(readLoras(local.loras), this.#notify);
      }),
    );
  }

  /**
   * Writes all networks with their weights, LoRAs and VAE merged, as one file, which `load` takes as `base`: with the
   * same `dtype`, `device` and `compat` it gives the same frames, bit by bit. The weights have the element type of
   * this pipeline unless `dtype` says another. Needs room for two such files while a `.safetensors` file is written.
   *
   * @throws AnimateDiffError `ERR_INVALID_ARGUMENT` when file name and layout do not go together, or textual inversions
   *   are loaded and the layout is not `torchscript`; `ERR_OUTPUT` when the file cannot be written; nothing is left
   *   behind then.
   */
  async bake(file: string, options: BakeOptions = {}): Promise<void> {
    this.#requireOpen();
    const target = requirePath('file', file);
    requireKnownKeys('options', requireObject('options', options), ['layout', 'dtype']);
    const { dtype = this.#model.dtype } = options;
    requireChoice('dtype', dtype, ENGINE_DTYPES);
    const layout = bakeLayout(target, options.layout);
    if (layout !== 'torchscript') this.#requireNoEmbeddings(target);
    await requireWritable(target, 'file');
    await this.#turns.run(() => this.#whileOpen(() => this.#bake(target, layout, dtype)));
  }

  /** Ends the running call, drops the waiting ones, frees all memory. Can be called any number of times. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #shutDown(): Promise<void> {
    this.#model.engine.cancel();
    await this.#model.engine.close();
  }

  #requireOpen(): void {
    if (!this.closed) return;
    throw new AnimateDiffError('ERR_DISPOSED', 'This pipeline was closed. Load it again.');
  }

  /** Work on the engine that was queued; when the pipeline was closed meanwhile, that is what the caller hears. */
  async #whileOpen<T>(work: () => Promise<T>): Promise<T> {
    this.#requireOpen();
    try {
      return await work();
    } catch (error) {
      this.#requireOpen();
      throw error;
    }
  }

  /** Other programs expect a token table of the usual size in a checkpoint. */
  #requireNoEmbeddings(target: string): void {
    const names = this.#model.sources.embeddings?.map(({ file }) => file) ?? [];
    if (names.length === 0) return;
    const expected = `the name of an archive (.pt), since a checkpoint has no place for ${names.join(', ')}; or load without \`embeddings\`, and give them again beside the baked file`;
    throw invalidArgument('file', expected, target);
  }

  async #bake(target: string, layout: BakeLayout, dtype: EngineDtype): Promise<void> {
    this.#adapters.requireWhole();
    const { plans, family, motion, predictionType, sources } = this.#model;
    const own = dtype === this.#model.dtype;
    if (own) await bindRole(this.#model.engine, plans, 'vae_encoder');
    this.#requireOpen();
    const metadata: ArchiveMetadata = {
      format: 1,
      family: family.name,
      dtype,
      motion: motion && motionRecord(motion),
      predictionType,
      sources: { ...sources, loras: this.#loras },
      software: software(),
    };
    const engine = own ? this.#model.engine : await refill(this.#model, this.#adapters.plan, dtype);
    try {
      await writeBaked(engine, family, writeArchiveMetadata(metadata), target, layout);
    } finally {
      if (!own) await engine.close();
    }
  }

  /** For records: absent without any. */
  get #loras(): readonly AppliedLora[] | undefined {
    const { applied } = this.#adapters;
    return applied.length === 0 ? undefined : applied;
  }

  async #run(
    request: BuiltRequest,
    signal: AbortSignal | undefined,
    report: NativeProgress | undefined,
  ): Promise<Clip[]> {
    this.#adapters.requireWhole();
    const { engine } = this.#model;
    const result = await engineCall(engine, signal, (guard) => {
      return engine.generate(
        { ...request.native, hostFree: process.availableMemory() },
        report &&
          guard((...values) => {
            if (!this.closed) report(...values);
          }),
        guard((code, message) => this.#notify({ code, message })),
      );
    });
    return this.#clips(result, request);
  }

  #clips(result: NativeClips, request: BuiltRequest): Clip[] {
    const { frames, width, height } = request.native;
    const bytes = frames * width * height * 3;
    return request.clips.map((parameters, index) => {
      const data = result.frames.data.subarray(index * bytes, (index + 1) * bytes);
      return new Clip(data, { frames, width, height }, this.#parameters(parameters));
    });
  }

  #parameters(request: RequestParameters): ClipParameters {
    const { sources, compat, dtype, device, motion } = this.#model;
    const loras = this.#loras;
    const motionScale = motion && motionRecord(motion).scale;
    return {
      ...request,
      ...sources,
      ...(motionScale !== undefined && { motionScale }),
      ...(loras && { loras }),
      compat,
      dtype,
      device,
      software: software(),
    };
  }
}

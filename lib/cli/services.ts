/**
 * The parts of the package that commands call, behind one object, so that tests can give others and so
 * that `--help` and a wrong flag never load the engine. Each is imported when it is first called.
 */
import type { PipelineMemory } from '../animatediff.ts';
import type { Clip } from '../clip.ts';
import type { Config } from '../config/schema.ts';
import type { DemoChoice } from '../demo/choices.ts';
import type { CachedModel } from '../hub/list.ts';
import type { RemovedModel } from '../hub/remove.ts';
import type { ResolveOptions } from '../hub/resolve.ts';
import type { SourceInput } from '../hub/source.ts';
import type { DiagnoseOptions, DoctorReport } from '../libtorch/doctor.ts';
import type { InstallOptions, InstallResult } from '../libtorch/install.ts';
import type { BakeOptions, Compat, Dtype, GenerateOptions, LoadOptions, Prompt } from '../options.ts';
import type { SavedFile } from '../output/encode.ts';
import type { GridClip, GridOptions } from '../output/grid.ts';
import type { InspectReport } from '../weights/identify.ts';

/** A clip, as far as commands use it. */
export type SavableClip = GridClip & Pick<Clip, 'save'>;

/** Facts about a loaded model, as plain data. */
export interface PipelineInfo {
  readonly device: string;
  readonly dtype: Exclude<Dtype, 'auto'>;
  readonly compat: Compat;
  readonly motion?: { readonly maxFrames: number };
}

/** A loaded model, as far as commands use it. */
export interface Pipeline {
  readonly info: PipelineInfo;
  generate(options: GenerateOptions & { readonly prompt: Prompt }): Promise<SavableClip>;
  memory(): Promise<PipelineMemory>;
  bake(file: string, options: BakeOptions): Promise<void>;
  close(): Promise<void>;
}

export interface Services {
  load(options: LoadOptions): Promise<Pipeline>;
  demoConfig(choice: DemoChoice): Promise<Config>;
  saveGrid(clips: readonly SavableClip[], file: string, options: GridOptions): Promise<SavedFile>;
  inspect(file: string): Promise<InspectReport>;
  resolveSource(source: SourceInput, options: ResolveOptions): Promise<string>;
  listModels(): Promise<CachedModel[]>;
  removeModel(source: SourceInput): Promise<RemovedModel>;
  removeAllModels(): Promise<RemovedModel[]>;
  install(options: InstallOptions): Promise<InstallResult>;
  diagnose(options: DiagnoseOptions): Promise<DoctorReport>;
  formatDiagnosis(report: DoctorReport): Promise<string>;
}

export const services: Services = {
  load: async (options) => (await import('../animatediff.ts')).AnimateDiff.load(options),
  demoConfig: async (choice) => (await import('../demo/config.ts')).readDemoConfig(choice),
  saveGrid: async (...args) => (await import('../output/grid.ts')).saveGrid(...args),
  inspect: async (file) => (await import('../weights/identify.ts')).inspectPath(file),
  resolveSource: async (...args) => (await import('../hub/resolve.ts')).resolveSource(...args),
  listModels: async () => (await import('../hub/list.ts')).listModels(),
  removeModel: async (source) => (await import('../hub/remove.ts')).removeModel(source),
  removeAllModels: async () => (await import('../hub/remove.ts')).removeAllModels(),
  install: async (options) => (await import('../libtorch/install.ts')).install(options),
  diagnose: async (options) => (await import('../libtorch/doctor.ts')).diagnose(options),
  formatDiagnosis: async (report) => (await import('../libtorch/doctor.ts')).formatReport(report),
};

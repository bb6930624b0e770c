/** The public surface of animatediff-native, and nothing else. */
export { AnimateDiff, type MemoryPlan, type PipelineInfo, type PipelineMemory } from './animatediff.ts';
export { Clip, type Frame } from './clip.ts';
export { AnimateDiffError, ERROR_CODES, type ErrorCode, type ErrorDetails } from './errors.ts';
export type * from './events.ts';
export { type DoctorReport, diagnose } from './libtorch/doctor.ts';
export type * from './options.ts';
export type { SavedFile, SaveOptions } from './output/encode.ts';
export { saveGrid } from './output/grid.ts';
export { readAllMetadata, readMetadata } from './output/read-metadata.ts';
export { type InspectReport, inspectPath } from './weights/identify.ts';

/** The JSON document inside a file that `bake` writes: what is needed to run it without its sources. */
import { z } from 'zod';
import { AnimateDiffError } from './errors.ts';
import { graphFamilies } from './graphs.ts';
import type { MotionFacts } from './motion-sampling.ts';
import type { AppliedEmbedding, AppliedLora } from './options.ts';

/** Name of the document: a file in a TorchScript archive, a key in the metadata of a safetensors file. */
export const ARCHIVE_DOCUMENT = 'animatediff.json';

const schema = z.object({
  format: z.literal(1),
  family: z.string(),
  dtype: z.enum(['float32', 'float16', 'bfloat16']),
  motion: z
    .object({
      version: z.enum(['v1', 'v2', 'v3', 'animatelcm', 'lightning']),
      maxFrames: z.int().positive(),
      steps: z.int().positive().optional(),
      scale: z.number().optional(),
    })
    .optional(),
  predictionType: z.enum(['epsilon', 'v_prediction', 'sample']).optional(),
  sources: z.object({
    base: z.string(),
    checkpoint: z.string().optional(),
    vae: z.string().optional(),
    motionModule: z.string().optional(),
    loras: z
      .array(z.object({ file: z.string(), scale: z.number(), ignoreAlpha: z.boolean().optional() }))
      .optional(),
    embeddings: z
      .array(z.object({ file: z.string(), triggers: z.array(z.string()), vectors: z.int().positive() }))
      .optional(),
  }),
  software: z.string(),
});

/** Contents of the document. `sources` are file names without folders. */
export interface ArchiveMetadata {
  readonly format: 1;
  readonly family: string;
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  /** `scale` is merged into the weights; absent when it is 1. */
  readonly motion?: MotionFacts & { readonly maxFrames: number; readonly scale?: number };
  readonly predictionType?: 'epsilon' | 'v_prediction' | 'sample';
  readonly sources: {
    readonly base: string;
    readonly checkpoint?: string;
    readonly vae?: string;
    readonly motionModule?: string;
    /** Those that are merged into the weights. */
    readonly loras?: readonly AppliedLora[];
    /** Those whose rows follow the vocabulary in the table of the text encoder, in this order. */
    readonly embeddings?: readonly AppliedEmbedding[];
  };
  readonly software: string;
}

export function writeArchiveMetadata(metadata: ArchiveMetadata): string {
  return JSON.stringify(metadata);
}

/** Throws `ERR_FILE_CORRUPT` for anything that `bake` of this version does not write. */
export function readArchiveMetadata(text: string, file: string): ArchiveMetadata {
  try {
    const metadata = schema.parse(JSON.parse(text));
    if (graphFamilies().some((family) => family.name === metadata.family)) return metadata;
    throw new Error(`family '${metadata.family}' is not known`);
  } catch (cause) {
    throw new AnimateDiffError(
      'ERR_FILE_CORRUPT',
      `${file} is a baked archive, but not one that this version of animatediff-native wrote. Bake it again.`,
      { cause },
    );
  }
}

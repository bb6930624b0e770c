/** What `load` is to fill an engine with, from files or from a baked archive. Reads headers only. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { ArchiveMetadata } from './archive.ts';
import { AnimateDiffError } from './errors.ts';
import { type GraphFamily, graphFamilies } from './graphs.ts';
import type { LoadRequest } from './load-options.ts';
import type { MotionFacts } from './motion-sampling.ts';
import type { Notice, PredictionType } from './options.ts';
import { planArchive } from './weights/archive-plan.ts';
import { type PlannedEmbedding, planEmbeddings } from './weights/embeddings.ts';
import { type LoraPlan, planLoras } from './weights/loras.ts';
import { planModel } from './weights/plan.ts';
import { detectFormat } from './weights/tensor-file.ts';
import type { Role, WeightPlan } from './weights/types.ts';

/** Plans of all networks, and what is known about them. */
export interface PlannedModel {
  readonly family: GraphFamily;
  /** Without adapters. */
  readonly plans: Readonly<Partial<Record<Role, WeightPlan>>>;
  readonly motion?: MotionFacts & { readonly maxFrames: number; readonly scale?: number };
  /** What the UNet predicts, where the files say so. */
  readonly predictionType?: PredictionType;
  /** File names, without folders. */
  readonly sources: ArchiveMetadata['sources'];
  readonly notices: readonly Notice[];
  /** Textual inversions, whose rows are part of the text encoder's plan. */
  readonly embeddings: readonly PlannedEmbedding[];
  /** Adapters to apply while the plans are carried out. */
  readonly loras: LoraPlan;
}

/** Everything but the adapters and the textual inversions. */
type PlannedBase = Omit<PlannedModel, 'loras' | 'embeddings'>;

async function isArchive(base: string): Promise<boolean> {
  const found = await stat(base).catch(() => undefined);
  return found?.isFile() === true && (await detectFormat(base)) === 'torchscript';
}

async function planBaked({ base, checkpoint, vae, motionModule }: LoadRequest): Promise<PlannedBase> {
  if ([checkpoint, vae, motionModule].some((option) => option !== undefined)) {
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `${base} is a baked archive, which holds everything already: leave out \`checkpoint\`, \`vae\` and \`motionModule\`.`,
    );
  }
  const { metadata, family, plans } = await planArchive(base);
  const { motion, predictionType, sources } = metadata;
  return { family, plans, motion, predictionType, sources, notices: [] };
}

/** Name of a file or folder; of a folder in the hub's cache, which is named after a commit, the repository. */
function shortName(file: string): string {
  const repository = /[\\/]models--([^\\/]+)[\\/]snapshots[\\/][^\\/]+$/.exec(file)?.[1];
  return repository?.replace('--', '/') ?? path.basename(file);
}

async function planFiles({ base, checkpoint, vae, motionModule }: LoadRequest): Promise<PlannedBase> {
  const {
    family: name,
    plans,
    motion,
    prediction,
    notices,
  } = await planModel({ base, checkpoint, vae, motionModule });
  const family = graphFamilies().find((candidate) => candidate.name === name);
  if (family === undefined) {
    throw new AnimateDiffError(
      'ERR_NATIVE_NOT_FOUND',
      `There are no graphs for '${name}'. Reinstall animatediff-native.`,
    );
  }
  const sources = {
    base: shortName(base),
    checkpoint: checkpoint && shortName(checkpoint),
    vae: vae && shortName(vae),
    motionModule: motionModule && shortName(motionModule.path),
  };
  return { family, plans, motion, predictionType: prediction?.type, sources, notices };
}

/** The base with the rows of textual inversions behind those that it has. */
async function withEmbeddings({ embeddings }: LoadRequest, base: PlannedBase) {
  const before = base.sources.embeddings ?? [];
  const { vocabSize } = base.family.config;
  const planned = await planEmbeddings(embeddings, base.plans.text_encoder, before, vocabSize);
  const applied = planned.embeddings.map(({ file, triggers, ids }) => ({
    file,
    triggers,
    vectors: ids.length,
  }));
  return {
    ...base,
    plans: { ...base.plans, text_encoder: planned.plan },
    sources: applied.length === 0 ? base.sources : { ...base.sources, embeddings: applied },
    embeddings: planned.embeddings,
  };
}

/**
 * Plans the files of a request; see `planModel`, `planArchive`, `planLoras` and `planEmbeddings` for the errors.
 */
export async function planRequest(request: LoadRequest): Promise<PlannedModel> {
  const files = (await isArchive(request.base)) ? await planBaked(request) : await planFiles(request);
  const base = await withEmbeddings(request, files);
  const loras = await planLoras(request.loras, base.plans);
  return { ...base, loras, notices: [...base.notices, ...loras.notices] };
}

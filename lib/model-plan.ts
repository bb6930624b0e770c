/** What `load` is to fill an engine with, from files or from a baked archive. Reads headers only. */
import { stat } from 'node:fs/promises';
import { ARCHIVE_DOCUMENT, type ArchiveMetadata, readArchiveMetadata } from './archive.ts';
import { AnimateDiffError } from './errors.ts';
import type { Notice } from './events.ts';
import { type GraphFamily, graphFamilies } from './graphs.ts';
import type { LoadRequest } from './load-options.ts';
import type { MotionFacts } from './motion-sampling.ts';
import type { PredictionType } from './options.ts';
import { planArchive } from './weights/archive-plan.ts';
import { type PlannedEmbedding, planEmbeddings } from './weights/embeddings.ts';
import { type LoraPlan, planLoras } from './weights/loras.ts';
import { modelName } from './weights/model-name.ts';
import { planModel } from './weights/plan.ts';
import { readSafetensors } from './weights/safetensors.ts';
import { detectFormat, type WeightFormat } from './weights/tensor-file.ts';
import type { Recipe, Role, WeightPlan } from './weights/types.ts';

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

/** `undefined` for a folder, and for what the readers will refuse. */
async function fileFormat(base: string): Promise<WeightFormat | undefined> {
  const found = await stat(base).catch(() => undefined);
  return found?.isFile() === true ? await detectFormat(base) : undefined;
}

/** The document of a safetensors file that `bake` wrote. */
async function bakedDocument(base: string): Promise<ArchiveMetadata | undefined> {
  const text = (await readSafetensors(base)).metadata[ARCHIVE_DOCUMENT];
  return text === undefined ? undefined : readArchiveMetadata(text, base);
}

/** A baked position table is what the pipeline ran with: it is not computed anew. */
function copyTables(plan: WeightPlan): WeightPlan {
  const recipes = plan.recipes.map(
    (recipe): Recipe =>
      recipe.kind === 'position_encoding' && recipe.source !== undefined
        ? { kind: 'copy', target: recipe.target, shape: recipe.shape, source: recipe.source }
        : recipe,
  );
  return { ...plan, recipes };
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

/** `baked` is the document of the base: its motion modules are used unless others are given. */
async function planFiles(request: LoadRequest, baked?: ArchiveMetadata): Promise<PlannedBase> {
  const { base, checkpoint, vae } = request;
  const own = request.motionModule === undefined && baked?.motion !== undefined;
  const motionModule = own
    ? { path: base, version: baked.motion?.version, steps: baked.motion?.steps }
    : request.motionModule;
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
  const { motionModule: module } = request;
  // Under a checkpoint nothing is left of the UNet that the document describes.
  const described = checkpoint === undefined ? baked : undefined;
  return {
    family,
    plans: own ? { ...plans, unet: copyTables(plans.unet) } : plans,
    // The scale is in the weights already: it is told, and not applied again.
    motion: own && motion ? { ...motion, ...baked.motion } : motion,
    predictionType: prediction?.type ?? described?.predictionType,
    sources: {
      base: modelName(base),
      ...described?.sources,
      ...(checkpoint && { checkpoint: modelName(checkpoint) }),
      ...(vae && { vae: modelName(vae) }),
      ...(module && { motionModule: modelName(module.path) }),
    },
    notices,
  };
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
  const format = await fileFormat(request.base);
  const document = format === 'safetensors' ? await bakedDocument(request.base) : undefined;
  const files = format === 'torchscript' ? await planBaked(request) : await planFiles(request, document);
  const base = await withEmbeddings(request, files);
  const loras = await planLoras(request.loras, base.plans);
  return { ...base, loras, notices: [...base.notices, ...loras.notices] };
}

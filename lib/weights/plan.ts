/**
 * From the files that a user gives to a plan that the engine executes: which bytes of which file fill which
 * parameter of which graph. Nothing but headers is read. Whatever does not fit is an error that says what
 * the file is and what was expected.
 */
import { AnimateDiffError, invalidArgument } from '../errors.ts';
import type { Notice } from '../events.ts';
import { type GraphFamily, graphFamilies, type UNetTopology } from '../graphs.ts';
import type { MotionModuleOptions, MotionVersion } from '../options.ts';
import { requireUse } from './fit.ts';
import { type OpenedModel, openModel } from './identify.ts';
import { hasMiddleMotion, motionTopology } from './match.ts';
import { DEFAULT_POSITIONS, isSupportedMotion } from './motion-version.ts';
import { planNotices } from './notices.ts';
import { type PredictionHint, predictionHint } from './prediction.ts';
import { planGraph, type Supply } from './recipes.ts';
import { recipeBytes } from './shapes.ts';
import type { Role, WeightPlan } from './types.ts';

/** A motion module that lies on this machine. */
export interface MotionModuleRequest extends Omit<MotionModuleOptions, 'path'> {
  readonly path: string;
}

export interface PlanOptions {
  /** Stable Diffusion 1.5: LDM file or diffusers folder. */
  readonly base: string;
  /** Laid over the base: its UNet, and its VAE and text encoder where it has them. */
  readonly checkpoint?: string;
  /** A VAE file or folder, laid over those of base and checkpoint. */
  readonly vae?: string;
  readonly motionModule?: MotionModuleRequest;
}

export interface PlannedMotion {
  readonly version: MotionVersion;
  /** Most frames of one clip: the length of the position tables. */
  readonly maxFrames: number;
  /** Steps that a Lightning module was distilled for, where it or the options say so. */
  readonly steps?: number;
  /** Factor of the residual branch; absent when it is 1. */
  readonly scale?: number;
  /** Absolute path. */
  readonly file: string;
}

export interface ModelPlan {
  /** Name of the graph family, such as `sd15`. */
  readonly family: string;
  readonly plans: Readonly<Record<Role, WeightPlan>>;
  readonly topology: UNetTopology;
  /** Absent without a motion module. */
  readonly motion?: PlannedMotion;
  /** What the files say about the quantity that the UNet predicts; absent when they say nothing. */
  readonly prediction?: PredictionHint;
  readonly notices: readonly Notice[];
  /** Bytes that all plans together read from the files. */
  readonly bytes: number;
}

/** The files of a plan. `checkpoint` may be the same as `base`. */
export interface PlanSources {
  readonly base: OpenedModel;
  readonly checkpoint?: OpenedModel;
  readonly vae?: OpenedModel;
  readonly motion?: OpenedModel;
}

/**
 * Plans the weights of a pipeline. `families` are the graphs to choose from.
 *
 * Throws ERR_FILE_NOT_FOUND, ERR_FILE_CORRUPT, ERR_FILE_FORMAT, ERR_PICKLE when a file cannot be read;
 * ERR_WRONG_KIND when a file is of another kind than its option; ERR_UNSUPPORTED_MODEL for another
 * architecture; ERR_WEIGHTS_MISSING, ERR_WEIGHTS_SHAPE when parameters are missing or of another shape;
 * ERR_INVALID_ARGUMENT when `motionModule.version` contradicts the file.
 */
export async function planModel(
  options: PlanOptions,
  families: readonly GraphFamily[] = graphFamilies(),
): Promise<ModelPlan> {
  const sources = await openSources(options, families);
  const { base, checkpoint, motion } = sources;
  const family = chooseFamily(sources, families);
  const topology = motion === undefined ? 'unet' : motionTopology(motion.weights.parts.motion);
  const planned = motion && planMotion(motion, options.motionModule);
  const plans = planRoles(sources, family, topology, planned);
  return {
    family: family.name,
    plans,
    topology,
    ...(planned === undefined ? {} : { motion: planned }),
    prediction: predictionHint(checkpoint ?? base),
    notices: planNotices(sources, options.motionModule?.version),
    bytes: sourceBytes(Object.values(plans)),
  };
}

async function openSources(
  { base, checkpoint, vae, motionModule }: PlanOptions,
  families: readonly GraphFamily[],
): Promise<PlanSources> {
  const opened = {
    base: await openModel(base, families),
    checkpoint: checkpoint === undefined ? undefined : await openModel(checkpoint, families),
  };
  const { architecture } = (opened.checkpoint ?? opened.base).identity;
  // Families with UNets of equal widths have equal motion modules; of several that fit, the first is taken.
  const ordered = [...families].sort(
    (a, b) => Number(b.name === architecture) - Number(a.name === architecture),
  );
  const sources = {
    ...opened,
    vae: vae === undefined ? undefined : await openModel(vae, ordered),
    motion: motionModule === undefined ? undefined : await openModel(motionModule.path, ordered),
  };
  requireUse(sources.base, 'base', families);
  if (sources.checkpoint !== undefined) requireUse(sources.checkpoint, 'checkpoint', families);
  if (sources.vae !== undefined) requireUse(sources.vae, 'vae', families);
  if (sources.motion !== undefined) requireUse(sources.motion, 'motionModule', families);
  return sources;
}

/** The family of the UNet. All files must be of the same. */
function chooseFamily(
  { base, checkpoint, vae, motion }: PlanSources,
  families: readonly GraphFamily[],
): GraphFamily {
  const unet = checkpoint ?? base;
  for (const other of [base, vae, motion]) {
    const [wanted, found] = [unet.identity.architecture, other?.identity.architecture];
    if (other === undefined || found === wanted) continue;
    throw new AnimateDiffError(
      'ERR_UNSUPPORTED_MODEL',
      `${other.path} is ${other.identity.description} (architecture ${found}), but ${unet.path} is of the ` +
        `architecture ${wanted}. Give files of one architecture.`,
      { details: { file: other.path, architecture: found, expected: wanted } },
    );
  }
  const family = families.find(({ name }) => name === unet.identity.architecture);
  if (family !== undefined) return family;
  throw new AnimateDiffError(
    'ERR_UNSUPPORTED_MODEL',
    `${unet.path} is ${unet.identity.description}, for which there are no graphs. Give a Stable Diffusion 1.5 model.`,
    { details: { file: unet.path, architecture: unet.identity.architecture } },
  );
}

function planMotion(
  { path, weights, identity }: OpenedModel,
  { version: wanted, steps, scale = 1 }: Partial<MotionModuleRequest> = {},
): PlannedMotion {
  const found = identity.motion;
  if (found === null || !isSupportedMotion(found.version)) {
    throw new AnimateDiffError(
      'ERR_UNSUPPORTED_MODEL',
      `${path} is ${identity.description}, which is not supported.`,
    );
  }
  const allowed = hasMiddleMotion(weights.parts.motion)
    ? (['v2', 'animatelcm', 'lightning'] as const)
    : (['v1', 'v3'] as const);
  if (wanted !== undefined && !allowed.some((version) => version === wanted)) {
    const expected = `'${allowed.join("' or '")}', which have the ${allowed[0] === 'v2' ? 21 : 20} modules of ${path},`;
    throw invalidArgument('motionModule.version', expected, wanted);
  }
  const version = wanted ?? found.version;
  if (steps !== undefined && version !== 'lightning') {
    throw invalidArgument('motionModule.steps', `no value with a ${version} module, which has none,`, steps);
  }
  const distilled = steps ?? (version === 'lightning' ? found.steps : undefined);
  return {
    version,
    maxFrames: found.stated ? found.maxFrames : DEFAULT_POSITIONS[version],
    ...(distilled !== undefined && { steps: distilled }),
    ...(scale !== 1 && { scale }),
    file: path,
  };
}

function planRoles(
  { base, checkpoint, vae: separate, motion }: PlanSources,
  family: GraphFamily,
  topology: UNetTopology,
  planned?: PlannedMotion,
): Record<Role, WeightPlan> {
  if (checkpoint !== undefined && !checkpoint.identity.holds.unet) throw checkpointWithoutUnet(checkpoint);
  const owner = (part: 'unet' | 'vae' | 'textEncoder') => {
    if (part === 'vae' && separate !== undefined) return separate;
    return checkpoint?.identity.holds[part] ? checkpoint : base;
  };
  const supply = (part: 'unet' | 'vae' | 'textEncoder'): Supply => {
    const model = owner(part);
    if (!model.identity.holds[part]) throw missingNetwork(part, base, checkpoint);
    return { file: model.path, tensors: model.weights.parts[part] };
  };
  const [unet, vae, text] = [supply('unet'), supply('vae'), supply('textEncoder')];
  const modules: Supply | undefined = motion && { file: motion.path, tensors: motion.weights.parts.motion };
  const { graphs } = family;
  return {
    text_encoder: planGraph('text_encoder', graphs.text_encoder, () => text),
    unet: scaleMotion(
      planGraph(
        'unet',
        graphs[topology],
        (name) => (modules !== undefined && !Object.hasOwn(graphs.unet.parameters, name) ? modules : unet),
        planned?.maxFrames,
      ),
      planned?.scale ?? 1,
    ),
    vae_decoder: planGraph('vae_decoder', graphs.vae_decoder, () => vae),
    vae_encoder: planGraph('vae_encoder', graphs.vae_encoder, () => vae),
  };
}

/** x + scale * (W h + b): weight and bias of the last layer of each module's residual branch, times scale. */
function scaleMotion(plan: WeightPlan, scale: number): WeightPlan {
  if (scale === 1) return plan;
  const recipes = plan.recipes.map((recipe) =>
    recipe.kind === 'copy' && /\.temporal_transformer\.proj_out\.(weight|bias)$/.test(recipe.target)
      ? { ...recipe, factor: scale }
      : recipe,
  );
  return { ...plan, recipes };
}

function checkpointWithoutUnet({ path, identity }: OpenedModel): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_WEIGHTS_MISSING',
    `${path} is ${identity.description} and has no UNet, which \`checkpoint\` is for. Leave it out or give another.`,
    { details: { part: 'unet', checkpoint: path } },
  );
}

const NETWORK_TITLES = { unet: 'UNet', vae: 'VAE', textEncoder: 'text encoder' } as const;

function missingNetwork(part: keyof typeof NETWORK_TITLES, base: OpenedModel, checkpoint?: OpenedModel) {
  const files = checkpoint === undefined ? base.path : `Neither ${checkpoint.path} nor ${base.path}`;
  const verb = checkpoint === undefined ? 'has no' : 'has a';
  return new AnimateDiffError(
    'ERR_WEIGHTS_MISSING',
    `${files} ${verb} ${NETWORK_TITLES[part]}. Give a complete Stable Diffusion 1.5 file or folder as \`base\`, ` +
      `and this one as \`checkpoint\`${part === 'vae' ? ', or a VAE as `vae`' : ''}.`,
    { details: { part, base: base.path, checkpoint: checkpoint?.path } },
  );
}

function sourceBytes(plans: readonly WeightPlan[]): number {
  return plans.flatMap(({ recipes }) => recipes).reduce((sum, recipe) => sum + recipeBytes(recipe), 0);
}

/** Fills the parameters of one graph from the tensors of the files: one recipe for each parameter. */
import { AnimateDiffError } from '../errors.ts';
import type { GraphInfo } from '../graphs.ts';
import { unreadableFormat } from './file-errors.ts';
import { listing, listingText } from './identity.ts';
import { isPositionTable, sameShape } from './match.ts';
import { shapeText } from './shapes.ts';
import type { DType, Recipe, Role, TensorSource, WeightPlan } from './types.ts';

/** Where parameters are looked up, with the file that is to blame when one is missing. */
export interface Supply {
  /** Path of the file or folder, for messages. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorSource>;
}

const ROLE_TITLES: Readonly<Record<Role, string>> = {
  text_encoder: 'text encoder',
  unet: 'UNet',
  vae_decoder: 'VAE decoder',
  vae_encoder: 'VAE encoder',
};

const FLOATING: readonly DType[] = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'];

/**
 * A recipe for every parameter of a graph, in the graph's order. `supplyOf` says where a parameter is to be
 * found; `maxFrames` is the length of position tables.
 * Throws ERR_WEIGHTS_MISSING, ERR_WEIGHTS_SHAPE, or ERR_FILE_FORMAT for integer weights.
 */
export function planGraph(
  role: Role,
  graph: GraphInfo,
  supplyOf: (parameter: string) => Supply,
  maxFrames = 0,
): WeightPlan {
  const parameters = Object.entries(graph.parameters);
  const missing = new Map<Supply, string[]>();
  const recipes: Recipe[] = [];
  for (const [target, shape] of parameters) {
    const supply = supplyOf(target);
    const source = supply.tensors.get(target);
    if (source !== undefined) checkSource(target, shape, source);
    if (isPositionTable(target)) recipes.push(positionRecipe(target, shape, maxFrames, source));
    else if (source !== undefined) recipes.push({ kind: 'copy', target, shape, source });
    else missing.set(supply, [...(missing.get(supply) ?? []), target]);
  }
  for (const [supply, names] of missing) throw missingParameters(role, supply, names);
  return { role, graph: graph.name, recipes };
}

function checkSource(target: string, shape: readonly number[], source: TensorSource): void {
  if (!sameShape(target, shape, source.shape)) {
    throw new AnimateDiffError(
      'ERR_WEIGHTS_SHAPE',
      `Tensor '${target}' of ${source.file} has the shape ${shapeText(source.shape)}, ` +
        `but the network needs ${shapeText(shape)}. Give a file of the same architecture as the others.`,
      { details: { tensor: target, file: source.file, shape: source.shape, expected: shape } },
    );
  }
  if (!FLOATING.includes(source.dtype)) {
    throw unreadableFormat(
      source.file,
      `stores the weights '${target}' as ${source.dtype}, which is a quantised form that is not supported`,
      'Use a version of this model in F16, BF16 or F32.',
      { tensor: target, dtype: source.dtype },
    );
  }
}

function positionRecipe(
  target: string,
  shape: readonly number[],
  maxFrames: number,
  source: TensorSource | undefined,
): Recipe {
  if (source !== undefined && source.shape[1] !== maxFrames) {
    throw new AnimateDiffError(
      'ERR_WEIGHTS_SHAPE',
      `Position table '${target}' of ${source.file} has ${source.shape[1]} positions, ` +
        `but the first of this motion module has ${maxFrames}. Give an unmodified motion module.`,
      { details: { tensor: target, file: source.file, shape: source.shape } },
    );
  }
  const channels = shape[2] ?? 0;
  const recipe = { kind: 'position_encoding', target, shape: [1, maxFrames, channels] } as const;
  return source === undefined ? recipe : { ...recipe, source };
}

/** The error for parameters of a network that are not in the file that should hold them. */
export function missingParameters(role: Role, { file }: Supply, names: readonly string[]): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_WEIGHTS_MISSING',
    `${file} lacks parameters of the ${ROLE_TITLES[role]}: ${listingText(listing(names))}. ` +
      'Give a complete file; `animatediff-native inspect` lists what a file holds.',
    { details: { file, role, count: names.length, first: names.slice(0, 5) } },
  );
}

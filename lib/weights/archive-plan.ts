/**
 * Plans the weights of an archive that `bake` wrote: the same recipes as for the files it was made from, but
 * all plain copies, since an archive holds every parameter under the graph's own name.
 */
import { type ArchiveMetadata, readArchiveMetadata } from '../archive.ts';
import { AnimateDiffError } from '../errors.ts';
import { type GraphFamily, type GraphInfo, graphFamilies, type UNetTopology } from '../graphs.ts';
import { TOKEN_TABLE } from './embeddings.ts';
import { listing, listingText } from './identity.ts';
import { motionTopology } from './match.ts';
import { missingParameters, planGraph, type Supply } from './recipes.ts';
import { readTorchScript, type TorchScriptFile } from './torchscript.ts';
import type { Recipe, Role, TensorSource, WeightPlan } from './types.ts';

/** What is in an archive and how it is bound. */
export interface ArchivePlan {
  readonly metadata: ArchiveMetadata;
  readonly family: GraphFamily;
  /** By role. `vae_encoder` is left out when the archive has none; the others are always there. */
  readonly plans: Readonly<Record<Exclude<Role, 'vae_encoder'>, WeightPlan> & { vae_encoder?: WeightPlan }>;
  readonly topology: UNetTopology;
}

/**
 * Reads and plans a baked archive. `families` are the graphs to choose from. Every recipe is a copy; that of
 * a position table has the shape [1, maxFrames, channels].
 *
 * Throws ERR_FILE_NOT_FOUND, ERR_FILE_CORRUPT, ERR_FILE_FORMAT, ERR_PICKLE when the file cannot be read or
 * was not written by `bake`; ERR_UNSUPPORTED_MODEL when there are no graphs for it; ERR_WEIGHTS_MISSING,
 * ERR_WEIGHTS_SHAPE when parameters are missing or of another shape.
 */
export async function planArchive(
  file: string,
  families: readonly GraphFamily[] = graphFamilies(),
): Promise<ArchivePlan> {
  const archive = await readTorchScript(file);
  const metadata = archiveMetadata(archive);
  const family = familyOf(archive, metadata, families);
  const parts = splitByRole(archive);
  const topology = topologyOf(archive, metadata, parts.unet);
  const plan = (role: Role, graph: GraphInfo): WeightPlan =>
    planCopies(role, graph, { file: archive.path, tensors: parts[role] }, metadata.motion?.maxFrames);
  const rows = metadata.sources.embeddings?.reduce((sum, { vectors }) => sum + vectors, 0) ?? 0;
  const { graphs } = family;
  return {
    metadata,
    family,
    topology,
    plans: {
      text_encoder: plan('text_encoder', withTokenRows(graphs.text_encoder, rows)),
      unet: plan('unet', graphs[topology]),
      vae_decoder: plan('vae_decoder', graphs.vae_decoder),
      ...(parts.vae_encoder.size > 0 && { vae_encoder: plan('vae_encoder', graphs.vae_encoder) }),
    },
  };
}

/** The document that `bake` adds. Throws ERR_FILE_CORRUPT when it is missing or not of this version. */
export function archiveMetadata({ path, extra }: TorchScriptFile): ArchiveMetadata {
  if (extra !== undefined) return readArchiveMetadata(extra, path);
  throw new AnimateDiffError(
    'ERR_FILE_CORRUPT',
    `${path} is a TorchScript archive, but not one that \`bake\` wrote: it has no animatediff.json. ` +
      'Make one with `animatediff-native bake`.',
    { details: { file: path } },
  );
}

function familyOf(
  { path }: TorchScriptFile,
  { family: name }: ArchiveMetadata,
  families: readonly GraphFamily[],
): GraphFamily {
  const family = families.find((candidate) => candidate.name === name);
  if (family !== undefined) return family;
  throw new AnimateDiffError(
    'ERR_UNSUPPORTED_MODEL',
    `${path} is a baked archive of the architecture '${name}', for which there are no graphs. ` +
      'Bake it again with this version.',
    { details: { file: path, architecture: name } },
  );
}

/** The tensors of each network under the names that its graph has. */
function splitByRole(archive: TorchScriptFile): Record<Role, Map<string, TensorSource>> {
  const parts: Record<Role, Map<string, TensorSource>> = {
    text_encoder: new Map(),
    unet: new Map(),
    vae_decoder: new Map(),
    vae_encoder: new Map(),
  };
  const foreign: string[] = [];
  for (const [name, source] of archive.tensors) {
    const dot = name.indexOf('.');
    const role = name.slice(0, Math.max(dot, 0));
    if (Object.hasOwn(parts, role)) parts[role as Role].set(name.slice(dot + 1), source);
    else foreign.push(name);
  }
  if (foreign.length > 0) throw surplusTensors(archive.path, foreign);
  return parts;
}

function topologyOf(
  { path }: TorchScriptFile,
  { motion }: ArchiveMetadata,
  unet: ReadonlyMap<string, TensorSource>,
): UNetTopology {
  const modules = new Map([...unet].filter(([name]) => name.includes('.motion_modules.')));
  if (modules.size > 0 === (motion !== undefined)) return motionTopology(modules);
  const [has, says] = motion === undefined ? ['has', 'none'] : ['has no', motion.version];
  throw new AnimateDiffError(
    'ERR_FILE_CORRUPT',
    `${path} ${has} motion modules, but its description says ${says}. Bake it again.`,
    { details: { file: path, motion: motion?.version } },
  );
}

/** A text encoder whose table has rows for textual inversions behind the vocabulary. */
function withTokenRows(graph: GraphInfo, rows: number): GraphInfo {
  const [vocabulary, width] = graph.parameters[TOKEN_TABLE] ?? [];
  if (rows === 0 || vocabulary === undefined || width === undefined) return graph;
  return { ...graph, parameters: { ...graph.parameters, [TOKEN_TABLE]: [vocabulary + rows, width] } };
}

function planCopies(role: Role, graph: GraphInfo, supply: Supply, maxFrames?: number): WeightPlan {
  const plan = planGraph(role, graph, () => supply, maxFrames);
  const absent = plan.recipes.filter(({ source }) => source === undefined).map(({ target }) => target);
  if (absent.length > 0) throw missingParameters(role, supply, absent);
  const surplus = [...supply.tensors.keys()].filter((name) => !Object.hasOwn(graph.parameters, name));
  if (surplus.length > 0) {
    throw surplusTensors(
      supply.file,
      surplus.map((name) => `${role}.${name}`),
    );
  }
  return { ...plan, recipes: plan.recipes.flatMap(toCopy) };
}

/** A baked position table is what the pipeline ran with, exact or the file's own: it is not computed anew. */
function toCopy({ target, shape, source }: Recipe): Recipe[] {
  return source === undefined ? [] : [{ kind: 'copy', target, shape, source }];
}

function surplusTensors(file: string, names: readonly string[]): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_FILE_CORRUPT',
    `${file} has tensors that no network has a parameter for: ${listingText(listing(names))}. Bake it again.`,
    { details: { file, count: names.length, first: names.slice(0, 5) } },
  );
}

/**
 * Says what a weight file is, from its header alone: kind, architecture, version, what it holds, what is
 * missing or unknown, and which option of this package it fits. `animatediff-native inspect` prints this.
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type GraphFamily, graphFamilies } from '../graphs.ts';
import { architectureTitle } from './architecture.ts';
import { archiveFacts } from './archive-identity.ts';
import { cannotRead } from './byte-source.ts';
import { type CanonicalWeights, canonicalWeights } from './canonical.ts';
import { describe } from './description.ts';
import { embeddingArchitecture } from './embedding-architecture.ts';
import { type ModelFolder, readFolder } from './folder.ts';
import { type Identity, listing } from './identity.ts';
import { type FileKind, KIND_USES, markedKind } from './kinds.ts';
import { loraArchitecture } from './lora-architecture.ts';
import { modelName } from './model-name.ts';
import { identifyNetworks } from './networks.ts';
import { tensorBytes } from './shapes.ts';
import { detectFormat, readTensorFile } from './tensor-file.ts';
import { readTorchScript } from './torchscript.ts';
import type { TensorFile, TensorSource } from './types.ts';

export type { Identity, Listing } from './identity.ts';

/** What `animatediff-native inspect` reports. Plain data. */
export interface InspectReport extends Identity {
  /** Absolute path. */
  readonly path: string;
  readonly format: TensorFile['format'] | 'torchscript' | 'folder';
  /** Size of the file, or of all weight files of a folder, in bytes. */
  readonly size: number;
  readonly tensors: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** Number of tensors of each element type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface IdentifyContext {
  /** Default: the families that ship with the package. */
  readonly families?: readonly GraphFamily[];
  /** The folder that the tensors come from. */
  readonly folder?: ModelFolder;
}

/** A file or folder after its headers were read and understood. */
export interface OpenedModel {
  /** Absolute path. */
  readonly path: string;
  readonly file: TensorFile;
  readonly folder?: ModelFolder;
  readonly weights: CanonicalWeights;
  readonly identity: Identity;
}

/** Says what a weight file is. Never throws: what is not known is of kind `unknown`. */
export function identify(file: TensorFile, context: IdentifyContext = {}): Identity {
  return identifyWeights(file, canonicalWeights(file.tensors), context);
}

/**
 * Reads a weight file or a diffusers folder and says what it is. Throws ERR_FILE_NOT_FOUND,
 * ERR_FILE_CORRUPT, ERR_FILE_FORMAT or ERR_PICKLE when it cannot be read.
 */
export async function openModel(
  file: string,
  families: readonly GraphFamily[] = graphFamilies(),
): Promise<OpenedModel> {
  const absolute = path.resolve(file);
  const folder = (await isFolder(absolute)) ? await readFolder(absolute) : undefined;
  const tensors = folder?.file ?? (await readTensorFile(absolute));
  const weights = canonicalWeights(tensors.tensors);
  const identity = identifyWeights(tensors, weights, { families, folder });
  return { path: absolute, file: tensors, folder, weights, identity };
}

/** Everything that the headers of a file or folder tell. Throws what {@link openModel} throws. */
export async function inspectPath(
  file: string,
  families: readonly GraphFamily[] = graphFamilies(),
): Promise<InspectReport> {
  const absolute = path.resolve(file);
  const single = !(await isFolder(absolute));
  if (single && (await detectFormat(absolute)) === 'torchscript') return torchScriptReport(absolute);
  const { identity, file: tensors, folder } = await openModel(absolute, families);
  return {
    path: absolute,
    format: folder === undefined ? tensors.format : 'folder',
    size: tensors.size,
    ...inventory(tensors.tensors),
    metadata: tensors.metadata,
    ...identity,
  };
}

function inventory(
  tensors: ReadonlyMap<string, TensorSource>,
): Pick<InspectReport, 'tensors' | 'bytes' | 'dtypes'> {
  const sources = [...tensors.values()];
  const dtypes = new Map<string, number>();
  for (const { dtype } of sources) dtypes.set(dtype, (dtypes.get(dtype) ?? 0) + 1);
  return {
    tensors: sources.length,
    bytes: sources.reduce((sum, source) => sum + tensorBytes(source), 0),
    dtypes: Object.fromEntries(dtypes),
  };
}

async function isFolder(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isDirectory();
  } catch (error) {
    throw cannotRead(file, error);
  }
}

function identifyWeights(file: TensorFile, weights: CanonicalWeights, context: IdentifyContext): Identity {
  const marked = markedKind(file);
  if (marked !== undefined) {
    return addOnIdentity(marked.kind, marked.variant ?? null, addOnArchitecture(marked.kind, file));
  }
  return identifyNetworks(weights, context.families ?? graphFamilies(), {
    folder: context.folder,
    name: modelName(file.path),
    metadata: file.metadata,
  });
}

function addOnArchitecture(kind: FileKind, file: TensorFile): string | undefined {
  if (KIND_USES[kind].includes('loras')) return loraArchitecture(file.tensors);
  return kind === 'textual-inversion' ? embeddingArchitecture(file) : undefined;
}

/** Add-ons are only named: which of their tensors fit is a question for the network that they go on. */
function addOnIdentity(kind: FileKind, variant: string | null, architecture?: string): Identity {
  const foreign = kind === 'unknown';
  const subject = {
    kind,
    architecture: foreign ? variant : (architecture ?? null),
    layout: foreign ? null : variant,
    holds: { unet: false, motion: false, vae: false, textEncoder: false },
    motion: null,
  };
  const other = architecture !== undefined && architecture !== 'sd15';
  const usableAs = other ? [] : KIND_USES[kind];
  const unusable = other
    ? `${kind === 'textual-inversion' ? 'textual inversions' : 'LoRAs'} for ${architectureTitle(architecture)} are not supported`
    : 'no option takes files of this kind';
  return {
    ...subject,
    description: describe(subject),
    emaTensors: 0,
    missing: listing([]),
    mismatched: listing([]),
    unknown: listing([]),
    usableAs,
    reason: usableAs.length > 0 ? null : unusable,
  };
}

async function torchScriptReport(file: string): Promise<InspectReport> {
  const archive = await readTorchScript(file);
  return {
    path: file,
    format: archive.format,
    size: archive.size,
    ...inventory(archive.tensors),
    metadata: archive.metadata,
    ...addOnIdentity('torchscript', null),
    ...archiveFacts(archive),
  };
}

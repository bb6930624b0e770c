/**
 * From adapters of the LoRA kind to terms of the parameters that they change. One list takes every kind: LoRAs of
 * UNet and text encoder, MotionLoRAs, domain adapters; each file says by its names what it is. Only headers are
 * read.
 */
import path from 'node:path';
import { AnimateDiffError } from '../errors.ts';
import type { Notice } from '../events.ts';
import { type GraphFamily, graphFamilies } from '../graphs.ts';
import type { AppliedLora } from '../options.ts';
import { architectureTitle } from './architecture.ts';
import { unreadableFormat } from './file-errors.ts';
import { requireUse } from './fit.ts';
import { type OpenedModel, openModel } from './identify.ts';
import { listing, listingText } from './identity.ts';
import { type LoraPart, loraName, otherForm } from './keys/lora.ts';
import { textLayerNames, unetLayerNames } from './keys/lora-layers.ts';
import { loraArchitecture } from './lora-architecture.ts';
import { statedRatio } from './lora-metadata.ts';
import { loraTerm, type NamedSource } from './lora-terms.ts';
import type { AdapterTerm, Role, WeightPlan } from './types.ts';

/** An adapter to apply. */
export interface LoraRequest {
  /** Absolute path. */
  readonly path: string;
  readonly scale: number;
  readonly ignoreAlpha: boolean;
}

/** Networks that adapters change. */
export type LoraRole = Extract<Role, 'unet' | 'text_encoder'>;

/** Terms by parameter. */
export type LoraTerms = ReadonlyMap<string, readonly AdapterTerm[]>;

export interface LoraPlan {
  readonly loras: readonly AppliedLora[];
  readonly terms: Readonly<Record<LoraRole, LoraTerms>>;
  readonly notices: readonly Notice[];
}

type Plans = Readonly<Partial<Record<Role, WeightPlan>>>;

/** A parameter that an adapter can change. */
interface Parameter {
  readonly role: LoraRole;
  readonly target: string;
  readonly shape: readonly number[];
}

/** Weight and bias of the layers of all networks, by `role:name` for every name that a layer has. */
type Layers = ReadonlyMap<string, readonly Parameter[]>;

export const NO_LORAS: LoraPlan = {
  loras: [],
  terms: { unet: new Map(), text_encoder: new Map() },
  notices: [],
};

const ROLES: readonly LoraRole[] = ['unet', 'text_encoder'];

const LAYER_NAMES: Readonly<Record<LoraRole, (path: string) => readonly string[]>> = {
  unet: unetLayerNames,
  text_encoder: textLayerNames,
};

/**
 * Plans adapters on top of the plans of a model. Each one's terms are independent of the others' and of their
 * order.
 *
 * Throws what reading a file throws; ERR_WRONG_KIND for a file that is no adapter; ERR_UNSUPPORTED_MODEL when none
 * of its layers is in this model, which is named where its names tell; ERR_WEIGHTS_SHAPE, ERR_WEIGHTS_MISSING,
 * ERR_FILE_FORMAT when its tensors do not fit together or to the model; ERR_INVALID_ARGUMENT for a MotionLoRA
 * without a motion module.
 */
export async function planLoras(
  requests: readonly LoraRequest[],
  plans: Plans,
  families: readonly GraphFamily[] = graphFamilies(),
): Promise<LoraPlan> {
  if (requests.length === 0) return NO_LORAS;
  const layers = modelLayers(plans);
  const terms: Record<LoraRole, Map<string, AdapterTerm[]>> = { unet: new Map(), text_encoder: new Map() };
  const notices: Notice[] = [];
  for (const request of requests) {
    const model = await openModel(request.path, families);
    requireUse(model, 'loras', families);
    requireMotion(model, plans);
    notices.push(...addTerms(model, request, layers, terms));
  }
  return { loras: requests.map(appliedLora), terms, notices };
}

/** The same plan with the terms of its parameters. */
export function withTerms(plan: WeightPlan, terms: LoraTerms | undefined): WeightPlan {
  if (terms === undefined || terms.size === 0) return plan;
  const recipes = plan.recipes.map((recipe) => {
    const added = terms.get(recipe.target);
    return added === undefined || recipe.kind !== 'copy' ? recipe : { ...recipe, terms: added };
  });
  return { ...plan, recipes };
}

/** Whether adapters can change a network. */
export function isLoraRole(role: Role): role is LoraRole {
  return ROLES.some((known) => known === role);
}

function appliedLora({ path: file, scale, ignoreAlpha }: LoraRequest): AppliedLora {
  return { file: path.basename(file), scale, ...(ignoreAlpha ? { ignoreAlpha } : {}) };
}

function modelLayers(plans: Plans): Layers {
  const layers = new Map<string, Parameter[]>();
  for (const role of ROLES) {
    for (const { kind, target, shape } of plans[role]?.recipes ?? []) {
      const layer = /^(.+)\.(?:weight|bias)$/.exec(target)?.[1];
      if (kind !== 'copy' || layer === undefined) continue;
      const parameter = { role, target, shape };
      for (const name of new Set(LAYER_NAMES[role](layer))) {
        const key = `${role}:${name}`;
        layers.set(key, [...(layers.get(key) ?? []), parameter]);
      }
    }
  }
  return layers;
}

function requireMotion({ path: file, identity }: OpenedModel, { unet }: Plans): void {
  const moving = unet?.recipes.some(({ target }) => target.includes('.motion_modules.')) ?? false;
  if (identity.kind !== 'motion-lora' || moving) return;
  throw new AnimateDiffError(
    'ERR_INVALID_ARGUMENT',
    `${file} is ${identity.description}, which changes a motion module, and none is loaded. Give \`motionModule\` too.`,
    { details: { file, option: 'loras' } },
  );
}

/** A layer of an adapter. */
interface AdapterLayer {
  readonly name: string;
  /** Networks in which it is looked for. */
  readonly roles: readonly LoraRole[];
  readonly parts: Map<LoraPart, NamedSource>;
}

/** The layers of an adapter, and its tensors that are in no layout that is known. */
function adapterLayers({ path: file, file: { tensors } }: OpenedModel) {
  const layers = new Map<string, AdapterLayer>();
  const unknown: string[] = [];
  for (const [name, source] of tensors) {
    const found = loraName(name);
    if (found === undefined) {
      unknown.push(name);
      continue;
    }
    const { role, layer: layerName, part } = found;
    const key = `${role ?? ''}:${layerName}`;
    const layer = layers.get(key) ?? { name: layerName, roles: role ? [role] : ROLES, parts: new Map() };
    if (layer.parts.has(part)) throw twice(file, name);
    layer.parts.set(part, { name, source });
    layers.set(key, layer);
  }
  const form = unknown.map(otherForm).find((found) => found !== undefined);
  if (form !== undefined) throw unsupportedForm(file, form);
  return { layers: [...layers.values()], unknown };
}

function twice(file: string, name: string): AnimateDiffError {
  return unreadableFormat(
    file,
    `changes a layer twice, the second time with '${name}'`,
    'Give a file with one adapter.',
    { tensor: name },
  );
}

function unsupportedForm(file: string, form: string): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_UNSUPPORTED_MODEL',
    `${file} is an adapter of the kind ${form}, which is not supported. LoRA, LoCon, LoHa, LoKr and DoRA are.`,
    { details: { file, form } },
  );
}

function addTerms(
  model: OpenedModel,
  request: LoraRequest,
  known: Layers,
  terms: Readonly<Record<LoraRole, Map<string, AdapterTerm[]>>>,
): Notice[] {
  const { layers, unknown } = adapterLayers(model);
  const stated = statedRatio(model.file.metadata);
  const lost: string[] = [];
  const changed = new Set<Parameter>();
  for (const { name, roles, parts } of layers) {
    const parameters = roles.map((role) => known.get(`${role}:${name}`)).find((found) => found !== undefined);
    if (parameters === undefined) lost.push(name);
    for (const parameter of parameters ?? []) {
      const { role, target, shape } = parameter;
      const strength = { ...request, statedRatio: (rank: number) => stated(role, name, rank) };
      const term = fittingTerm(model, () => loraTerm(parts, target, shape, strength));
      if (term === undefined) continue;
      if (changed.has(parameter)) throw twice(model.path, name);
      changed.add(parameter);
      // Zero times anything: the exact bytes of the base.
      if (request.scale !== 0) terms[role].set(target, [...(terms[role].get(target) ?? []), term]);
    }
  }
  requireFit(model, lost, layers.length);
  return [...unusedLayers(model, lost, layers.length), ...unusedTensors(model, unknown)];
}

/** An adapter for Stable Diffusion 1.5 may change more than this model has; one for another model is refused. */
function requireFit(model: OpenedModel, lost: readonly string[], count: number): void {
  if (count > 0 && lost.length === 0) return;
  const architecture = foreignArchitecture(model);
  if (count > lost.length && architecture === undefined) return;
  const what = architecture ? `a LoRA for ${architectureTitle(architecture)}` : model.identity.description;
  const missing = `${lost.length} of its ${count} layers are not in this model`;
  throw new AnimateDiffError(
    'ERR_UNSUPPORTED_MODEL',
    `${model.path} is ${what}, and does not fit the model that is loaded: ${missing}` +
      `${lost.length > 0 ? `, such as ${lost[0]}` : ''}. Give one for the same architecture.`,
    { details: { file: model.path, architecture, missing: lost.length, layers: count } },
  );
}

/** Another architecture than Stable Diffusion 1.5, where the adapter tells one. */
function foreignArchitecture({ file }: OpenedModel): string | undefined {
  const architecture = loraArchitecture(file.tensors);
  return architecture === 'sd15' ? undefined : architecture;
}

/** A wrong shape of an adapter for a known other model is told as that. */
function fittingTerm(model: OpenedModel, read: () => AdapterTerm | undefined): AdapterTerm | undefined {
  try {
    return read();
  } catch (error) {
    const architecture = foreignArchitecture(model);
    const misfit = error instanceof AnimateDiffError && error.code === 'ERR_WEIGHTS_SHAPE';
    if (architecture === undefined || !misfit) throw error;
    throw new AnimateDiffError(
      'ERR_UNSUPPORTED_MODEL',
      `${model.path} is a LoRA for ${architectureTitle(architecture)}, and does not fit the model that is loaded. ` +
        'Give one for the same architecture.',
      { cause: error, details: { ...error.details, architecture } },
    );
  }
}

function unusedLayers({ path: file }: OpenedModel, lost: readonly string[], count: number): Notice[] {
  if (lost.length === 0) return [];
  const message =
    `${lost.length} of the ${count} layers of ${file} are not in this model and are not used: ` +
    `${listingText(listing(lost))}.`;
  return [{ code: 'unused-lora-layers', message }];
}

function unusedTensors({ path: file }: OpenedModel, unknown: readonly string[]): Notice[] {
  if (unknown.length === 0) return [];
  const message = `${file} has tensors that are not part of a LoRA and are not used: ${listingText(listing(unknown))}.`;
  return [{ code: 'unused-tensors', message }];
}

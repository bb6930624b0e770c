/**
 * Finds the state dict in what a checkpoint's pickle holds. Trainers wrap it (`state_dict`, `module`, …) and
 * put optimizers, counters and configurations beside it; nested dicts become dotted names.
 */
import { unsafePickle } from './file-errors.ts';
import { type PyDict, PyObject } from './pickle-values.ts';
import { MAX_NAME } from './tensor-name.ts';
import { TensorRef } from './torch-objects.ts';

export interface StateDict {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Text, numbers and booleans beside the tensors, as text. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Names of dicts that hold the weights, the best first: averaged copies (EMA) only when nothing else is there. */
const WRAPPERS = [
  'state_dict',
  'model_state_dict',
  'module',
  'model',
  'net',
  'params',
  'controlnet',
  'ema_state_dict',
  'state_dict_ema',
  'model_ema',
  'params_ema',
  'ema',
];

/** What trainers store beside the weights and no network needs. */
const TRAINING_STATE = /^(optimizer|optim|lr_scheduler|scheduler|callbacks|loops|scaler|grad_scaler|rng)/;

/** Attributes of a pickled `nn.Module` that are not part of its parameter names. */
const MODULE_INTERNALS = ['_modules', '_parameters', '_buffers'];

const MAX_DEPTH = 16;
const MAX_WRAPPERS = 4;
const MAX_METADATA = 1000;
const MAX_METADATA_LENGTH = 4000;

/**
 * The tensors of a checkpoint by name, in file order. Each container is visited once, so that cycles end and
 * time is bounded by the size of the pickle. Throws ERR_PICKLE for names that are too long.
 */
export function findStateDict(file: string, root: unknown): StateDict {
  const metadata = new Map<string, string>();
  const hasTensors = tensorSearch();
  let dict = asDict(root);
  for (let level = 0; dict !== undefined && level < MAX_WRAPPERS; level++) {
    collectScalars(dict, metadata);
    const inner = wrappedDict(dict, hasTensors);
    if (inner === undefined) break;
    dict = inner;
  }
  const tensors = new Map<string, TensorRef>();
  if (dict !== undefined) flatten(file, dict, '', 0, tensors, new Set());
  return { tensors, metadata: Object.fromEntries(metadata) };
}

/** A dict, or the items or attributes of an object. */
function asDict(value: unknown): PyDict | undefined {
  if (value instanceof Map) return value;
  if (!(value instanceof PyObject)) return undefined;
  if (value.hasEntries) return value.entries;
  return value.state instanceof Map ? value.state : undefined;
}

type HasTensors = (dict: PyDict | undefined) => boolean;

function wrappedDict(dict: PyDict, hasTensors: HasTensors): PyDict | undefined {
  const names = hasTensors(dict) ? WRAPPERS.slice(0, 1) : WRAPPERS;
  for (const name of names) {
    const inner = asDict(dict.get(name));
    if (inner === undefined) continue;
    if (hasTensors(inner) || [...inner.values()].some((value) => hasTensors(asDict(value)))) return inner;
  }
  return undefined;
}

/** Whether a dict has tensors among its values. Each is searched once: a pickle may refer to one many times. */
function tensorSearch(): HasTensors {
  const known = new Map<PyDict, boolean>();
  return (dict) => {
    if (dict === undefined) return false;
    const answer = known.get(dict) ?? [...dict.values()].some((value) => value instanceof TensorRef);
    known.set(dict, answer);
    return answer;
  };
}

function collectScalars(dict: PyDict, metadata: Map<string, string>): void {
  for (const [key, value] of dict) {
    if (metadata.size >= MAX_METADATA) return;
    if (typeof key !== 'string' || key.length > MAX_NAME) continue;
    if (['string', 'number', 'bigint', 'boolean'].includes(typeof value)) {
      metadata.set(key, String(value).slice(0, MAX_METADATA_LENGTH));
    }
  }
}

function flatten(
  file: string,
  dict: PyDict,
  prefix: string,
  depth: number,
  tensors: Map<string, TensorRef>,
  visited: Set<PyDict>,
): void {
  if (depth > MAX_DEPTH || visited.has(dict)) return;
  visited.add(dict);
  for (const [key, value] of dict) {
    if (typeof key !== 'string' && typeof key !== 'number') continue;
    if (depth === 0 && TRAINING_STATE.test(String(key))) continue;
    const name = prefix === '' ? String(key) : `${prefix}.${key}`;
    if (value instanceof TensorRef) {
      if (name.length > MAX_NAME)
        throw unsafePickle(file, `the name of a tensor has over ${MAX_NAME} characters`);
      if (!tensors.has(name)) tensors.set(name, value);
      continue;
    }
    const inner = asDict(value);
    if (inner === undefined) continue;
    const path = MODULE_INTERNALS.includes(String(key)) ? prefix : name;
    flatten(file, inner, path, depth + 1, tensors, visited);
  }
}

/**
 * The few names that torch writes into the pickles of its checkpoints (torch/serialization.py and
 * torch/_utils.py): storages, tensor rebuilders, ordered dicts. Everything else stays inert.
 */
import { seen } from '../errors.ts';
import { unreadableFormat, unsafePickle } from './file-errors.ts';
import { type PickleHost, type PyDict, PyGlobal, PyTuple } from './pickle-values.ts';
import { MAX_AXES } from './shapes.ts';
import type { DType } from './types.ts';

/** Elements of a storage or a tensor. `dtype` is missing for types that no network of this package uses. */
export interface ElementType {
  readonly name: string;
  readonly bytes: number;
  readonly dtype?: DType;
}

/** A block of memory that tensors are views of. */
export class StorageRef {
  readonly key: string;
  readonly type: ElementType;
  /** Elements. */
  readonly length: number;
  /** Legacy files only: this storage is a part of another one. Offset in elements. */
  readonly view?: { readonly key: string; readonly offset: number };

  constructor(key: string, type: ElementType, length: number, view?: { key: string; offset: number }) {
    this.key = key;
    this.type = type;
    this.length = length;
    this.view = view;
  }
}

/** A tensor as a view of a storage; offset and strides in elements. Not yet checked against the storage. */
export class TensorRef {
  readonly storage: StorageRef;
  readonly type: ElementType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: StorageRef,
    type: ElementType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.type = type;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** Name of the typed storage and of the dtype, bytes per element, our name. */
const ELEMENT_TYPES: readonly (readonly [storage: string, dtype: string, bytes: number, ours?: DType])[] = [
  ['DoubleStorage', 'float64', 8, 'F64'],
  ['FloatStorage', 'float32', 4, 'F32'],
  ['HalfStorage', 'float16', 2, 'F16'],
  ['BFloat16Storage', 'bfloat16', 2, 'BF16'],
  ['LongStorage', 'int64', 8, 'I64'],
  ['IntStorage', 'int32', 4, 'I32'],
  ['ShortStorage', 'int16', 2, 'I16'],
  ['CharStorage', 'int8', 1, 'I8'],
  ['ByteStorage', 'uint8', 1, 'U8'],
  ['BoolStorage', 'bool', 1, 'BOOL'],
  ['UntypedStorage', 'uint8', 1, 'U8'],
  ['Float8_e4m3fnStorage', 'float8_e4m3fn', 1, 'F8_E4M3'],
  ['Float8_e5m2Storage', 'float8_e5m2', 1, 'F8_E5M2'],
  ['ComplexFloatStorage', 'complex64', 8],
  ['ComplexDoubleStorage', 'complex128', 16],
  ['QInt8Storage', 'qint8', 1],
  ['QUInt8Storage', 'quint8', 1],
  ['QInt32Storage', 'qint32', 4],
  ['', 'uint16', 2],
  ['', 'uint32', 4],
  ['', 'uint64', 8],
  ['', 'float8_e4m3fnuz', 1],
  ['', 'float8_e5m2fnuz', 1],
  ['', 'float8_e8m0fnu', 1],
];

const toElementType = ([, name, bytes, dtype]: (typeof ELEMENT_TYPES)[number]): ElementType => ({
  name,
  bytes,
  dtype,
});
const STORAGE_TYPES = new Map(ELEMENT_TYPES.map((row) => [row[0], toElementType(row)]));
const TENSOR_TYPES = new Map(ELEMENT_TYPES.map((row) => [row[1], toElementType(row)]));

/** Longest name of a class that a storage may have. */
const MAX_TYPE_PATH = 100;

type Call = (file: string, args: readonly unknown[]) => unknown;

const REBUILDERS: Readonly<Record<string, Call>> = {
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_tensor_v3': (file, args) => rebuildTensor(file, args, args[6]),
  'torch._utils._rebuild_parameter': onlyTensor,
  'torch._utils._rebuild_parameter_with_state': onlyTensor,
};

const CALLS = new Map<string, Call>([
  ...Object.entries(REBUILDERS),
  ['torch._tensor._rebuild_from_type_v2', rebuildSubclass],
  ['torch.Size', (_file, args) => (args[0] instanceof PyTuple ? args[0] : undefined)],
  ['collections.OrderedDict', (_file, args) => toDict(args[0])],
  ['collections.defaultdict', (_file, args) => toDict(args[1])],
  ['builtins.dict', (_file, args) => toDict(args[0])],
  ['__builtin__.dict', (_file, args) => toDict(args[0])],
]);

/** Host for {@link unpickle}. Storages that the pickle refers to are added to `storages`. */
export function torchHost(file: string, storages: Map<string, StorageRef>): PickleHost {
  return {
    persistentLoad: (id) => {
      const moduleClass = pickledClass(id);
      if (moduleClass !== undefined) return moduleClass;
      const storage = toStorage(file, id);
      storages.set(storage.key, storages.get(storage.key) ?? storage);
      return storage;
    },
    call: (callable, args) => CALLS.get(callable.path)?.(file, args),
  };
}

/** Integer of any kind that the checks below accept, else NaN. */
function integer(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN;
}

/** `('module', class, source file, source)`: legacy files wrap the classes of pickled modules so. */
function pickledClass(id: unknown): PyGlobal | undefined {
  const [tag, moduleClass] = id instanceof PyTuple ? id.items : [];
  return tag === 'module' && moduleClass instanceof PyGlobal ? moduleClass : undefined;
}

/** `('storage', type, key, location, length)`, and in legacy files `(view key, offset, length)` or None. */
function toStorage(file: string, id: unknown): StorageRef {
  const [tag, type, key, location, length, view] = id instanceof PyTuple ? id.items : [];
  const elementType = type instanceof PyGlobal ? storageType(type.path) : undefined;
  if (tag !== 'storage' || typeof key !== 'string') {
    throw unsafePickle(file, 'it refers to something outside of it that is no storage');
  }
  if (elementType === undefined || Number.isNaN(integer(length))) {
    throw unsafePickle(file, `storage ${seen(key)} has an unknown type or length`);
  }
  if (location === 'meta') {
    throw unreadableFormat(
      file,
      'holds a network without its weights (its tensors are on the device meta)',
      'Give a file that was saved with its weights.',
    );
  }
  if (!(view instanceof PyTuple)) return new StorageRef(key, elementType, integer(length));
  const [root, offset, viewLength] = view.items;
  if (typeof root !== 'string' || Number.isNaN(integer(offset)) || Number.isNaN(integer(viewLength))) {
    throw unsafePickle(file, `storage ${seen(key)} is a malformed view`);
  }
  return new StorageRef(key, elementType, integer(viewLength), { key: root, offset: integer(offset) });
}

/** `torch.FloatStorage`, `torch.storage.UntypedStorage`. Looked up once per tensor, so that a long path must not cost. */
function storageType(path: string): ElementType | undefined {
  return path.length > MAX_TYPE_PATH ? undefined : STORAGE_TYPES.get(path.replace(/^torch\.(\w+\.)*/, ''));
}

/** `(storage, offset, size, stride, …)`. Arguments of another form leave an inert object. */
function rebuildTensor(file: string, args: readonly unknown[], dtype?: unknown): TensorRef | undefined {
  const [storage, offset, size, stride] = args;
  if (!(storage instanceof StorageRef && size instanceof PyTuple && stride instanceof PyTuple))
    return undefined;
  const type =
    dtype instanceof PyGlobal ? TENSOR_TYPES.get(dtype.path.replace(/^torch\./, '')) : storage.type;
  const impossible = () =>
    unsafePickle(file, `a tensor of storage ${seen(storage.key)} has an impossible dtype, shape or stride`);
  if (type === undefined || size.items.length !== stride.items.length || size.items.length > MAX_AXES) {
    throw impossible();
  }
  const [shape, strides] = [size.items.map(integer), stride.items.map(integer)];
  if ([integer(offset), ...shape, ...strides].some(Number.isNaN)) throw impossible();
  return new TensorRef(storage, type, integer(offset), shape, strides);
}

function onlyTensor(_file: string, args: readonly unknown[]): TensorRef | undefined {
  return args[0] instanceof TensorRef ? args[0] : undefined;
}

/** `(rebuilder, type, arguments, state)`: a tensor of a subclass or with attributes of its own. */
function rebuildSubclass(file: string, args: readonly unknown[]): unknown {
  const [rebuilder, , inner] = args;
  if (!(rebuilder instanceof PyGlobal && inner instanceof PyTuple)) return undefined;
  if (!Object.hasOwn(REBUILDERS, rebuilder.path)) return undefined;
  return REBUILDERS[rebuilder.path]?.(file, inner.items);
}

/** A dict from nothing, another dict, or a list of pairs. */
function toDict(source: unknown): PyDict | undefined {
  if (source === undefined || source instanceof Map) return new Map(source ?? []);
  if (!Array.isArray(source)) return undefined;
  const dict: PyDict = new Map();
  for (const pair of source) {
    const items = pair instanceof PyTuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (items.length === 2) dict.set(items[0], items[1]);
  }
  return dict;
}

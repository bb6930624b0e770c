/** Pickles a state dict as torch does (protocol 2), with storages as persistent ids that count from '0'. */
import { AnimateDiffError } from '../../lib/errors.ts';
import type { DType } from '../../lib/weights/types.ts';
import { elementCount } from './seeded-weights.ts';
import type { Tensor } from './tensor.ts';

/** A value beside the tensors. */
export type Scalar = string | number | boolean | null;

const STORAGES: Readonly<Partial<Record<DType, string>>> = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  I32: 'IntStorage',
  I16: 'ShortStorage',
  I8: 'CharStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
};

const EMPTY_TUPLE = Buffer.from(')');
const MARK = Buffer.from('(');

const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
const call = (callable: Buffer, argument: Buffer) => Buffer.concat([callable, argument, Buffer.from('R')]);
const tuple = (...items: readonly Buffer[]) => Buffer.concat([MARK, ...items, Buffer.from('t')]);

/** An ordered dict with no entries yet. */
const ORDERED_DICT = call(global('collections', 'OrderedDict'), EMPTY_TUPLE);

function integer(value: number): Buffer {
  if (value < 0 || value >= 2 ** 31) {
    const wide = Buffer.from([0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    wide.writeBigInt64LE(BigInt(value), 2);
    return wide;
  }
  const [opcode, bytes] = value < 0x100 ? ['K', 1] : value < 0x10000 ? ['M', 2] : ['J', 4];
  const buffer = Buffer.from([String(opcode).charCodeAt(0), 0, 0, 0, 0]).subarray(0, 1 + Number(bytes));
  buffer.writeUIntLE(value, 1, Number(bytes));
  return buffer;
}

function float(value: number): Buffer {
  const buffer = Buffer.from('G\0\0\0\0\0\0\0\0');
  buffer.writeDoubleBE(value, 1);
  return buffer;
}

function string(value: string): Buffer {
  const text = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([Buffer.from('X'), length, text]);
}

function scalar(value: Scalar): Buffer {
  if (value === null) return Buffer.from('N');
  if (typeof value === 'boolean') return Buffer.from([value ? 0x88 : 0x89]);
  if (typeof value === 'string') return string(value);
  return Number.isInteger(value) ? integer(value) : float(value);
}

/** Row-major strides in elements. */
function strides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

function tensor({ name, dtype, shape }: Tensor, key: number): Buffer {
  const storage = STORAGES[dtype];
  if (storage === undefined) {
    throw new AnimateDiffError('ERR_INVALID_ARGUMENT', `'${name}': torch has no storage class for ${dtype}.`);
  }
  const location = tuple(
    string('storage'),
    global('torch', storage),
    string(String(key)),
    string('cpu'),
    integer(elementCount(shape)),
  );
  return call(
    global('torch._utils', '_rebuild_tensor_v2'),
    tuple(
      Buffer.concat([location, Buffer.from('Q')]),
      integer(0),
      tuple(...shape.map(integer)),
      tuple(...strides(shape).map(integer)),
      scalar(false),
      ORDERED_DICT,
    ),
  );
}

/** Adds entries to the dict that is on the stack. */
function setItems(dict: Buffer, items: readonly (readonly [key: string, value: Buffer])[]): Buffer {
  const pairs = items.flatMap(([key, value]) => [string(key), value]);
  return Buffer.concat([dict, MARK, ...pairs, Buffer.from('u')]);
}

/** `[{name: tensor, …}]`, whose storages are numbered from `first`. */
function listOfDict(tensors: readonly Tensor[], first: number): Buffer {
  const items = tensors.map((item, index) => [item.name, tensor(item, first + index)] as const);
  return Buffer.concat([Buffer.from(']('), setItems(Buffer.from('}'), items), Buffer.from('e')]);
}

/**
 * The pickle of `{name: tensor, …}`, under the key `wrapper` if there is one, with scalars beside, and
 * `optimizer` as `optimizer_states`.
 */
export function pickleStateDict(
  tensors: readonly Tensor[],
  wrapper: string | null,
  scalars: Readonly<Record<string, Scalar>>,
  optimizer: readonly Tensor[] = [],
): Buffer {
  const items = tensors.map((item, index) => [item.name, tensor(item, index)] as const);
  const beside = Object.entries(scalars).map(([key, value]) => [key, scalar(value)] as const);
  if (optimizer.length > 0) beside.push(['optimizer_states', listOfDict(optimizer, tensors.length)]);
  const object =
    wrapper === null
      ? setItems(ORDERED_DICT, [...items, ...beside])
      : setItems(Buffer.from('}'), [[wrapper, setItems(ORDERED_DICT, items)], ...beside]);
  return Buffer.concat([Buffer.from([0x80, 2]), object, Buffer.from('.')]);
}

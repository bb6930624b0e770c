/**
 * What each opcode of a pickle does, as a table (CPython, Lib/pickletools.py). Extension registry and
 * out-of-band buffers are refused: no checkpoint uses them.
 */
import type { PickleMachine } from './pickle.ts';
import { PyGlobal, PyObject, PyTuple } from './pickle-values.ts';

type Operation = (machine: PickleMachine) => void;

/** Longest integer in bytes and in digits; the magic number of old checkpoints has 10 bytes. */
const MAX_INTEGER_BYTES = 256;
const MAX_INTEGER_DIGITS = 640;

const HIGHEST_PROTOCOL = 5;

const table: Readonly<Record<string, Operation>> = {
  '\x80': (m) => {
    const version = m.input.u8();
    if (version > HIGHEST_PROTOCOL) m.fail(`protocol ${version} is newer than ${HIGHEST_PROTOCOL}`);
  },
  '\x95': (m) => void m.input.u64(),
  '.': (m) => {
    m.stopped = true;
  },

  '(': (m) => m.mark(),
  '0': (m) => m.discard(),
  '1': (m) => void m.popToMark(),
  '2': (m) => m.push(m.top()),

  N: (m) => m.push(null),
  '\x88': (m) => m.push(true),
  '\x89': (m) => m.push(false),
  I: (m) => m.push(textInteger(m, m.input.line())),
  L: (m) => m.push(decimal(m, m.input.line().replace(/L$/, ''))),
  J: (m) => m.push(m.input.i32()),
  K: (m) => m.push(m.input.u8()),
  M: (m) => m.push(m.input.u16()),
  '\x8a': (m) => m.push(littleEndian(m, m.input.u8())),
  '\x8b': (m) => m.push(littleEndian(m, m.input.i32())),
  F: (m) => m.push(Number(m.input.line())),
  G: (m) => m.push(m.input.f64()),

  S: (m) => m.pushNew(quoted(m, m.input.line())),
  T: (m) => m.pushNew(text(m, m.input.i32())),
  U: (m) => m.pushNew(text(m, m.input.u8())),
  V: (m) => m.pushNew(rawUnicode(m.input.line())),
  X: (m) => m.pushNew(text(m, m.input.u32())),
  '\x8c': (m) => m.pushNew(text(m, m.input.u8())),
  '\x8d': (m) => m.pushNew(text(m, m.input.u64())),
  B: (m) => m.pushNew(m.input.take(m.input.u32())),
  C: (m) => m.pushNew(m.input.take(m.input.u8())),
  '\x8e': (m) => m.pushNew(m.input.take(m.input.u64())),
  '\x96': (m) => m.pushNew(m.input.take(m.input.u64())),

  ')': (m) => m.pushNew(new PyTuple([])),
  t: (m) => m.pushNew(new PyTuple(m.popToMark())),
  '\x85': (m) => m.pushNew(new PyTuple(popReversed(m, 1))),
  '\x86': (m) => m.pushNew(new PyTuple(popReversed(m, 2))),
  '\x87': (m) => m.pushNew(new PyTuple(popReversed(m, 3))),
  ']': (m) => m.pushNew([]),
  l: (m) => m.pushNew(m.popToMark()),
  a: (m) => append(m, [m.pop()]),
  e: (m) => append(m, m.popToMark()),
  '}': (m) => m.pushNew(new Map()),
  d: (m) => {
    const items = m.popToMark();
    m.pushNew(new Map());
    setItems(m, items);
  },
  s: (m) => setItems(m, popReversed(m, 2)),
  u: (m) => setItems(m, m.popToMark()),
  '\x8f': (m) => m.pushNew([]),
  '\x90': (m) => append(m, m.popToMark()),
  '\x91': (m) => m.pushNew(m.popToMark()),

  p: (m) => m.memoize(memoIndex(m)),
  q: (m) => m.memoize(m.input.u8()),
  r: (m) => m.memoize(m.input.u32()),
  '\x94': (m) => m.memoize(),
  g: (m) => m.recall(memoIndex(m)),
  h: (m) => m.recall(m.input.u8()),
  j: (m) => m.recall(m.input.u32()),

  c: (m) => m.pushNew(new PyGlobal(m.input.line(), m.input.line())),
  '\x93': stackGlobal,
  R: (m) => {
    const args = m.popTuple();
    m.call(m.pop(), args);
  },
  i: (m) => {
    const callable = new PyGlobal(m.input.line(), m.input.line());
    m.call(callable, m.popToMark());
  },
  o: (m) => {
    const [callable, ...args] = m.popToMark();
    m.call(callable, args);
  },
  '\x81': (m) => {
    const args = m.popTuple();
    m.call(m.pop(), args);
  },
  '\x92': (m) => {
    m.pop();
    const args = m.popTuple();
    m.call(m.pop(), args);
  },
  b: (m) => {
    const state = m.pop();
    const target = m.top();
    if (target instanceof PyObject) target.state = state;
  },

  P: (m) => m.push(m.host.persistentLoad(m.input.line())),
  Q: (m) => m.push(m.host.persistentLoad(m.pop())),

  '\x82': (m) => m.fail('it uses the extension registry'),
  '\x83': (m) => m.fail('it uses the extension registry'),
  '\x84': (m) => m.fail('it uses the extension registry'),
  '\x97': (m) => m.fail('it refers to a buffer outside of the file'),
  '\x98': (m) => m.fail('it refers to a buffer outside of the file'),
};

/** Operation of each byte value, where there is one. */
export const OPCODES: readonly (Operation | undefined)[] = Array.from(
  { length: 256 },
  (_, code) => table[String.fromCharCode(code)],
);

/** The last `count` values in the order in which they were pushed. */
function popReversed(m: PickleMachine, count: number): unknown[] {
  return Array.from({ length: count }, () => m.pop()).reverse();
}

function stackGlobal(m: PickleMachine): void {
  const [module, name] = popReversed(m, 2);
  if (typeof module !== 'string' || typeof name !== 'string') m.fail('a class name in it is not text');
  m.pushNew(new PyGlobal(module, name));
}

function append(m: PickleMachine, values: readonly unknown[]): void {
  const target = m.top();
  if (target instanceof PyObject) {
    for (const value of values) target.entries.set(target.entries.size, value);
  } else if (Array.isArray(target)) {
    for (const value of values) target.push(value);
  } else {
    m.fail('it appends to something that is no list');
  }
}

function setItems(m: PickleMachine, items: readonly unknown[]): void {
  const target = m.top();
  const dict = target instanceof PyObject ? target.entries : target;
  if (!(dict instanceof Map)) m.fail('it sets an item of something that is no dict');
  if (items.length % 2 !== 0) m.fail('it sets a key without a value');
  for (let at = 0; at < items.length; at += 2) dict.set(items[at], items[at + 1]);
}

function memoIndex(m: PickleMachine): number {
  const index = Number(m.input.line());
  if (!Number.isSafeInteger(index) || index < 0) m.fail('a memo index of it is no number');
  return index;
}

/** `I01` and `I00` are the booleans of protocol 0. */
function textInteger(m: PickleMachine, line: string): unknown {
  if (line === '01') return true;
  return line === '00' ? false : decimal(m, line);
}

function decimal(m: PickleMachine, digits: string): number | bigint {
  if (digits.length > MAX_INTEGER_DIGITS) m.fail(`an integer in it has ${digits.length} digits`);
  if (!/^-?\d+$/.test(digits)) m.fail('an integer in it is no number');
  return narrowed(BigInt(digits));
}

function littleEndian(m: PickleMachine, length: number): number | bigint {
  if (length > MAX_INTEGER_BYTES) m.fail(`an integer in it has ${length} bytes`);
  const bytes = Buffer.from(m.input.take(length)).reverse();
  return length === 0 ? 0 : narrowed(BigInt.asIntN(length * 8, BigInt(`0x${bytes.toString('hex')}`)));
}

function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Text is UTF-8; pickles of Python 2 may hold other bytes, which become replacement characters. */
function text(m: PickleMachine, length: number): string {
  return m.input.take(length).toString('utf8');
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

/** Protocol 0 string: a Python literal in quotes. */
function quoted(m: PickleMachine, line: string): string {
  const body = /^(['"])(.*)\1$/.exec(line)?.[2];
  if (body === undefined) m.fail('a string in it has no quotes');
  return body.replace(/\\(?:x([0-9a-fA-F]{2})|(.))/g, (whole, hex: string | undefined, char: string) =>
    hex === undefined ? (ESCAPES[char] ?? whole) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Protocol 0 Unicode: Python's raw-unicode-escape. */
function rawUnicode(line: string): string {
  return line.replace(
    /\\u([0-9a-fA-F]{4})|\\U00([01][0-9a-fA-F]{5})/g,
    (whole, short?: string, long?: string) => {
      const code = Number.parseInt(short ?? long ?? '', 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

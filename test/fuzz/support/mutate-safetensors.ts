/** Mutations of the header of a safetensors file that keep its length and its JSON right. */
import { safetensorsBytes } from '../../weights/support/files.ts';
import type { Mutation } from './mutate-bytes.ts';
import type { Random } from './random.ts';

type Header = Record<string, unknown>;

const NAMES = [
  '__metadata__',
  '__proto__',
  'constructor',
  'emb_params',
  'conv_in.weight',
  '\ud800',
  '\u0000',
  'n'.repeat(1001),
];
const DTYPES: readonly unknown[] = [
  'F64',
  'F32',
  'F16',
  'BF16',
  'F8_E4M3',
  'I64',
  'U8',
  'BOOL',
  'F4',
  'C64',
  'toString',
  null,
  {},
  { toString: 1 },
];
const NUMBERS: readonly unknown[] = [
  0,
  1,
  2,
  -1,
  0.5,
  2 ** 31,
  2 ** 53 - 1,
  2 ** 53,
  1e300,
  '1',
  null,
  [],
  {},
];

const list = (random: Random, longest: number) =>
  Array.from({ length: random.below(longest + 1) }, () => random.pick(NUMBERS));

/** The header and the bytes after it, where they can be told. */
function parts(input: Buffer): { header: Header; data: Buffer } | undefined {
  try {
    const end = 8 + Number(input.readBigUInt64LE());
    const header: unknown = JSON.parse(input.toString('utf8', 8, end));
    if (typeof header !== 'object' || header === null) return undefined;
    return { header: header as Header, data: input.subarray(end) };
  } catch {
    return undefined;
  }
}

type HeaderChange = (header: Header, name: string, random: Random) => void;

const setField = (header: Header, name: string, field: string, value: unknown) => {
  const entry = header[name];
  if (typeof entry === 'object' && entry !== null) header[name] = { ...entry, [field]: value };
};

const CHANGES: readonly HeaderChange[] = [
  (header, name, random) => setField(header, name, 'dtype', random.pick(DTYPES)),
  (header, name, random) => setField(header, name, 'shape', list(random, 4)),
  (header, name, random) => setField(header, name, 'data_offsets', list(random, 3)),
  (header, name, random) => {
    header[random.pick(NAMES)] = header[name];
  },
  (header, name) => {
    delete header[name];
  },
  (header, name, random) => {
    header[name] = random.pick(NUMBERS);
  },
  (header, _name, random) => {
    header.__metadata__ = {
      [random.pick(NAMES)]: random.pick([...NUMBERS, 'text', '{"unet.alpha_pattern":{"a":1}}']),
    };
  },
];

const changeHeader: Mutation = (input, random) => {
  const found = parts(input);
  const names = Object.keys(found?.header ?? {});
  if (found === undefined || names.length === 0) return input;
  random.pick(CHANGES)(found.header, random.pick(names), random);
  return safetensorsBytes(found.header, found.data);
};

/** A data section of another length than the header says. */
const changeData: Mutation = (input, random) => {
  const found = parts(input);
  return found === undefined ? input : safetensorsBytes(found.header, random.below(64));
};

export const SAFETENSORS_MUTATIONS: readonly Mutation[] = [
  changeHeader,
  changeHeader,
  changeHeader,
  changeData,
];

/** Mutations of a pickle that keep its opcodes whole (CPython, Lib/pickletools.py), so that they get far. */
import { call, dict, int, storage, tensor, text } from '../../weights/support/pickle-bytes.ts';
import type { Mutation } from './mutate-bytes.ts';

/** How long the argument of an opcode is: a number of bytes, lines, or bytes after a length of 1, 4 or 8 bytes. */
type Argument = 1 | 2 | 4 | 8 | 'line' | 'lines' | 'length1' | 'length4' | 'length8';

const ARGUMENTS: Readonly<Record<string, Argument>> = {
  ...Object.fromEntries([...'Khq\x80\x82'].map((code) => [code, 1])),
  ...Object.fromEntries([...'M\x83'].map((code) => [code, 2])),
  ...Object.fromEntries([...'Jjr\x84'].map((code) => [code, 4])),
  ...Object.fromEntries([...'G\x95'].map((code) => [code, 8])),
  ...Object.fromEntries([...'ILFSVgpP'].map((code) => [code, 'line'])),
  ...Object.fromEntries([...'ci'].map((code) => [code, 'lines'])),
  ...Object.fromEntries([...'UC\x8c\x8a'].map((code) => [code, 'length1'])),
  ...Object.fromEntries([...'TBX\x8b'].map((code) => [code, 'length4'])),
  ...Object.fromEntries([...'\x8d\x8e\x96'].map((code) => [code, 'length8'])),
};

function argumentBytes(bytes: Buffer, at: number): number {
  const kind = ARGUMENTS[String.fromCharCode(bytes[at] ?? 0)];
  const line = (from: number) => (bytes.indexOf(10, from) + 1 || bytes.length) - from;
  const first = at + 1;
  switch (kind) {
    case undefined:
      return 0;
    case 'line':
      return line(first);
    case 'lines':
      return line(first) + line(first + line(first));
    case 'length1':
      return 1 + (bytes[first] ?? 0);
    case 'length4':
      return first + 4 > bytes.length ? 4 : 4 + bytes.readUInt32LE(first);
    case 'length8':
      return first + 8 > bytes.length ? 8 : 8 + Number(bytes.readBigUInt64LE(first));
    default:
      return kind;
  }
}

/** The instructions of a pickle, each with its argument; the last may be cut. */
export function splitPickle(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(at + 1 + argumentBytes(bytes, at), bytes.length);
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

/** Instructions and whole values that checkpoints and attackers write. */
const VALUES: readonly Buffer[] = [
  ...[...'NMJ]})(tluesabR.021oQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94'].map((code) =>
    Buffer.from(code, 'latin1'),
  ),
  ...['h\x00', 'h\x01', 'q\x00', 'q\x01', 'K\x00', 'K\x01', 'p0\n', 'g0\n', '\x8a\x00'].map((code) =>
    Buffer.from(code, 'latin1'),
  ),
  text('state_dict'),
  text('__proto__'),
  text('0'),
  text('storage'),
  int(-1),
  int(0x7fffffff),
  storage('0', 1),
  storage('1', 4, 'HalfStorage'),
  tensor('0', [1]),
  tensor('0', [2, 2], { strides: [0, 1] }),
  dict(['w', tensor('0', [1])]),
  call('collections', 'OrderedDict'),
  call('os', 'system', text('true')),
  Buffer.from('ctorch._utils\n_rebuild_tensor_v2\n'),
  Buffer.from('ctorch._utils\n_rebuild_tensor_v3\n'),
  Buffer.from('ctorch._tensor\n_rebuild_from_type_v2\n'),
  Buffer.from('ctorch._utils\n_rebuild_parameter\n'),
  Buffer.from('ctorch\nSize\n'),
  Buffer.from('ccollections\ndefaultdict\n'),
];

const inPlaces =
  (
    change: (parts: Buffer[], at: number, random: Parameters<Mutation>[1], others: Buffer[]) => void,
  ): Mutation =>
  (input, random, other) => {
    const parts = splitPickle(input);
    change(parts, random.below(parts.length), random, splitPickle(other));
    return Buffer.concat(parts);
  };

export const PICKLE_MUTATIONS: readonly Mutation[] = [
  inPlaces((parts, at, random) => parts.splice(at, 0, random.pick(VALUES))),
  inPlaces((parts, at, random) => parts.splice(at, 1, random.pick(VALUES))),
  inPlaces((parts, at, random) => parts.splice(at, 1 + random.below(4))),
  inPlaces((parts, at, random) =>
    parts.splice(random.below(parts.length), 0, ...parts.slice(at, at + 1 + random.below(12))),
  ),
  inPlaces((parts, at, random, others) => {
    const from = random.below(others.length);
    parts.splice(at, random.below(4), ...others.slice(from, from + 1 + random.below(12)));
  }),
];

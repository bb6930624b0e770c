/** Assembles pickles opcode by opcode, as Python and as an attacker would write them. */

export type Piece = Buffer | string;

/** Pieces in a row; strings are Latin-1, so that opcodes can be written as characters. */
export const pickle = (...pieces: readonly Piece[]): Buffer =>
  Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)));

const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};

/** BINUNICODE */
export const text = (value: string): Buffer => pickle('X', u32(Buffer.byteLength(value)), Buffer.from(value));

/** BININT */
export const int = (value: number): Buffer => pickle('J', u32(value >>> 0));

/** MARK, items, TUPLE */
export const tuple = (...items: readonly Piece[]): Buffer => pickle('(', ...items, 't');

/** GLOBAL */
export const global = (module: string, name: string): Buffer => pickle(`c${module}\n${name}\n`);

/** GLOBAL, arguments, REDUCE */
export const call = (module: string, name: string, ...args: readonly Piece[]): Buffer =>
  pickle(global(module, name), tuple(...args), 'R');

/** EMPTY_DICT, MARK, keys and values, SETITEMS */
export const dict = (...entries: readonly (readonly [string, Piece])[]): Buffer =>
  Buffer.concat([
    pickle('}('),
    ...entries.flatMap(([key, value]) => [text(key), pickle(value)]),
    pickle('u'),
  ]);

/** A float storage of a torch checkpoint as a persistent id. */
export const storage = (key: string, length: number, type = 'FloatStorage'): Buffer =>
  pickle(tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(length)), 'Q');

/** A contiguous float tensor that is the whole of a storage, or another view of it. */
export function tensor(
  key: string,
  shape: readonly number[],
  { length, offset = 0, strides }: { length?: number; offset?: number; strides?: readonly number[] } = {},
): Buffer {
  const count = shape.reduce((product, size) => product * size, 1);
  const rowMajor = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  return call(
    'torch._utils',
    '_rebuild_tensor_v2',
    storage(key, length ?? count),
    int(offset),
    tuple(...shape.map(int)),
    tuple(...(strides ?? rowMajor).map(int)),
    '\x89',
    call('collections', 'OrderedDict'),
  );
}

/** PROTO 2, value, STOP */
export const program = (...pieces: readonly Piece[]): Buffer => pickle('\x80\x02', ...pieces, '.');

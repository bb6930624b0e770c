/** The pickle interpreter: every opcode that Python writes, nothing executed, time and memory bounded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import { unpickle } from '../../lib/weights/pickle.ts';
import { PyGlobal, PyObject, PyTuple } from '../../lib/weights/pickle-values.ts';
import { torchHost } from '../../lib/weights/torch-objects.ts';
import { call, dict, global, int, type Piece, pickle, program, text, tuple } from './support/pickle-bytes.ts';

const host = torchHost('test.pt', new Map());
const load = (...pieces: readonly Piece[]) => unpickle('test.pt', pickle(...pieces), 0, host).value;

function fails(bytes: Buffer, pattern: RegExp, code = 'ERR_PICKLE'): void {
  assert.throws(
    () => unpickle('test.pt', bytes, 0, host),
    (error: unknown) => {
      assert.ok(error instanceof AnimateDiffError, `not an AnimateDiffError: ${error}`);
      assert.equal(error.code, code);
      assert.match(error.message, pattern);
      return true;
    },
  );
}

const le = (bytes: number, value: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntLE(value, 0, Math.min(bytes, 6));
  return buffer;
};

describe('unpickle', () => {
  const values: readonly (readonly [what: string, bytes: Buffer, value: unknown])[] = [
    ['None', pickle('N.'), null],
    ['booleans', pickle('\x88\x89\x86.'), new PyTuple([true, false])],
    ['booleans of protocol 0', pickle('(I01\nI00\nl.'), [true, false]],
    ['integers of protocol 0', pickle('(I-7\nL12345678901234567890L\nl.'), [-7, 12345678901234567890n]],
    ['binary integers', pickle('(K\xffM\xff\xffJ\xff\xff\xff\xffl.'), [255, 65535, -1]],
    ['long integers', pickle('(\x8a\x00\x8a\x01\xff\x8b', le(4, 2), '\x00\x01l.'), [0, -1, 256]],
    [
      'the magic number of torch',
      pickle('\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.'),
      0x1950a86a20f9469cfc6cn,
    ],
    ['floats', pickle('(F-1.5\nG\x3f\xf8', le(6, 0), 'l.'), [-1.5, 1.5]],
    ['strings of protocol 0', pickle("S'it\\'s \\x41\\n'\n."), "it's A\n"],
    ['Unicode of protocol 0', pickle('Vsn\\u00f6 \\U0001f600\n.'), 'snö 😀'],
    ['binary strings', pickle('(T', le(4, 2), 'abU\x01cl.'), ['ab', 'c']],
    [
      'Unicode of every length',
      pickle('(\x8c\x02', Buffer.from('ö'), 'X', le(4, 1), 'a\x8d', le(8, 1), 'bl.'),
      ['ö', 'a', 'b'],
    ],
    [
      'bytes',
      pickle('(C\x01aB', le(4, 1), 'b\x8e', le(8, 1), 'c\x96', le(8, 1), 'dl.'),
      ['a', 'b', 'c', 'd'].map((c) => Buffer.from(c)),
    ],
    [
      'tuples',
      pickle('()K\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87t.'),
      new PyTuple([[], [1], [1, 2], [1, 2, 3]].map((items) => new PyTuple(items))),
    ],
    ['lists', pickle(']K\x01a(K\x02K\x03e.'), [1, 2, 3]],
    [
      'dicts',
      pickle('}U\x01aK\x01s(U\x01bK\x02u.'),
      new Map([
        ['a', 1],
        ['b', 2],
      ]),
    ],
    ['dicts of protocol 0', pickle("(S'a'\nI1\nd."), new Map([['a', 1]])],
    ['sets', pickle('\x8f(K\x01K\x02\x90(K\x03\x91\x86.'), new PyTuple([[1, 2], [3]])],
    ['discarded values', pickle('K\x01K\x020(K\x03K\x041.'), 1],
    ['discarded marks', pickle('K\x01(0.'), 1],
    ['doubled values', pickle('K\x072\x86.'), new PyTuple([7, 7])],
    [
      'the memo in every form',
      pickle('U\x01ap5\nq\x06r', le(4, 7), '\x94(g5\nh\x06j', le(4, 7), 'h\x03l.'),
      ['a', 'a', 'a', 'a'],
    ],
    ['frames', pickle('\x80\x04\x95', le(8, 3), 'K\x01.'), 1],
    [
      'ordered dicts',
      program(call('collections', 'OrderedDict', pickle(']', tuple(text('a'), int(1)), 'a'))),
      new Map([['a', 1]]),
    ],
    ['sizes', program(call('torch', 'Size', tuple(int(2), int(3)))), new PyTuple([2, 3])],
  ];
  for (const [what, bytes, value] of values) {
    it(`reads ${what}`, () => {
      const { value: found, end } = unpickle('test.pt', bytes, 0, host);
      assert.deepEqual(found, value);
      assert.equal(end, bytes.length);
    });
  }

  it('starts anywhere and says where the pickle ends', () => {
    assert.deepEqual(unpickle('test.pt', pickle('junkK\x01.rest'), 4, host), { value: 1, end: 7 });
  });

  it('keeps calls of unknown names as inert objects, in every form of a call', () => {
    const forms = [
      pickle(global('os', 'system'), tuple(text('true')), 'R'),
      pickle(text('os'), text('system'), '\x93', tuple(text('true')), 'R'),
      pickle(global('os', 'system'), tuple(text('true')), '\x81'),
      pickle(global('os', 'system'), tuple(text('true')), '}\x92'),
      pickle('(', text('true'), 'ios\nsystem\n'),
      pickle('(', global('os', 'system'), text('true'), 'o'),
    ];
    for (const form of forms) {
      const value = load(form, '.');
      assert.ok(value instanceof PyObject && value.callable instanceof PyGlobal);
      assert.equal(value.callable.path, 'os.system');
      assert.deepEqual(value.args, ['true']);
    }
  });

  it('executes nothing', () => {
    const globals = Object.keys(globalThis).length;
    const attacks = [
      call('builtins', 'eval', text('globalThis.pwned = 1')),
      call('builtins', 'getattr', call('builtins', '__import__', text('os')), text('system')),
      call('subprocess', 'Popen', text('true')),
      pickle(call('builtins', 'eval', text('1')), tuple(text('2')), 'R'),
      pickle(call('torch.jit', 'CompilationUnit'), dict(['__proto__', dict(['pwned', '\x88'])]), 'b'),
      pickle(call('Object', 'constructor'), dict(['__proto__', text('x')]), 'b'),
      call('torch._tensor', '_rebuild_from_type_v2', global('os', 'system'), 'N', tuple(text('true')), 'N'),
      call('collections', 'defaultdict', global('os', 'system')),
    ];
    for (const attack of attacks) load(attack, '.');
    assert.equal(Object.keys(globalThis).length, globals);
    assert.equal((Object.prototype as unknown as Record<string, unknown>).pwned, undefined);
    assert.equal(({} as Record<string, unknown>).x, undefined);
  });

  it('keeps keys such as __proto__ as plain keys', () => {
    const value = load(dict(['__proto__', dict(['polluted', '\x88'])], ['constructor', 'N']), '.');
    assert.ok(value instanceof Map);
    assert.deepEqual([...value.keys()], ['__proto__', 'constructor']);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  it('sets attributes only on inert objects', () => {
    const ordered = load(call('collections', 'OrderedDict'), dict(['_metadata', int(1)]), 'b.');
    assert.deepEqual(ordered, new Map());
    const object = load(call('omegaconf', 'DictConfig'), dict(['_content', int(1)]), 'b.');
    assert.deepEqual((object as PyObject).state, new Map([['_content', 1]]));
  });

  it('builds structures that contain themselves', () => {
    const list = load(']q\x00h\x00a.') as unknown[];
    assert.equal(list[0], list);
    const map = load('}q\x00U\x01ah\x00s.') as Map<unknown, unknown>;
    assert.equal(map.get('a'), map);
  });

  it('builds nesting of any depth without recursion', () => {
    let value = load('N', '\x85'.repeat(500_000), '.');
    let depth = 0;
    for (; value instanceof PyTuple; depth++) value = value.items[0];
    assert.equal(depth, 500_000);
  });

  it('reports a pickle that ends too early as truncated, at any byte', () => {
    const whole = program(dict(['a', tuple(int(1), text('x'))], ['b', global('os', 'system')]));
    for (let length = 0; length < whole.length; length++) {
      assert.throws(
        () => unpickle('test.pt', whole.subarray(0, length), 0, host),
        (error: unknown) => error instanceof AnimateDiffError && error.details.reason === 'truncated',
        `at ${length}`,
      );
    }
  });

  const malformed: readonly (readonly [what: string, bytes: Buffer, message: RegExp])[] = [
    ['an opcode that does not exist', pickle('\xff.'), /0xff is no opcode \(byte 1\)/],
    ['a newer protocol', pickle('\x80\x06N.'), /protocol 6 is newer/],
    ['an empty stack', pickle('.'), /takes more values/],
    ['a value below a mark', pickle('K\x01(\x85.'), /takes more values/],
    ['a mark that was never opened', pickle('t.'), /never opened/],
    ['a memo entry that was never written', pickle('h\x05.'), /asks for value 5/],
    ['a memo index that is no number', pickle('Np-1\n.'), /memo index/],
    ['appending to a dict', pickle('}K\x01a.'), /no list/],
    ['items of a list', pickle(']K\x01K\x02s.'), /no dict/],
    ['a key without a value', pickle('}(K\x01u.'), /key without a value/],
    ['a call without a tuple', pickle(global('os', 'system'), 'NR.'), /no tuple/],
    ['a class name that is no text', pickle('NN\x93.'), /not text/],
    ['an integer that is no number', pickle('I1e3\n.'), /no number/],
    ['an integer of a million digits', pickle('I', '9'.repeat(1_000_000), '\n.'), /has 1000000 digits/],
    ['an integer of 2 GiB', pickle('\x8b\xff\xff\xff\x7f.'), /has 2147483647 bytes/],
    ['a line of 2 MiB', pickle('c', 'a'.repeat(2 << 20), '\n\n.'), /line of it is over 1 MiB/],
    ['the extension registry', pickle('\x82\x01.'), /extension registry/],
    ['buffers outside of the file', pickle('\x97.'), /outside of the file/],
    ['a foreign persistent id', pickle('U\x01xQ.'), /no storage/],
    ['a foreign persistent id of protocol 0', pickle('Px\n.'), /no storage/],
  ];
  for (const [what, bytes, message] of malformed) {
    it(`refuses ${what}`, () => fails(bytes, message));
  }

  it('refuses lengths beyond the end before it allocates them', () => {
    const giant = Buffer.alloc(8, 0xff);
    for (const opcode of ['X', 'B', 'T'])
      fails(pickle(opcode, giant.subarray(0, 4), 'x.'), /ends after/, 'ERR_FILE_CORRUPT');
    for (const opcode of ['\x8d', '\x8e', '\x96'])
      fails(pickle(opcode, giant, 'x.'), /ends after/, 'ERR_FILE_CORRUPT');
  });

  it('bounds the number of objects, memo entries, marks, values and opcodes', () => {
    fails(pickle('}0'.repeat(2_000_001)), /more than 2000000 objects/);
    fails(pickle('N', '\x94'.repeat(2_000_001)), /remembers more than 2000000 values/);
    fails(pickle('('.repeat(1_000_001)), /more than 1000000 marks/);
    fails(pickle('N'.repeat(1_000_001)), /over 1000000 values high/);
    fails(pickle('N0'.repeat(5_000_001)), /more than 10000000 opcodes/);
  });

  it('takes bombs of shared references without unfolding them', () => {
    const level = (index: number) =>
      pickle(`]q${String.fromCharCode(index)}(`, `h${String.fromCharCode(index - 1)}`.repeat(10), 'e');
    const levels = Array.from({ length: 60 }, (_, index) => level(index + 1));
    const value = load(']q\x00', ...levels, '.');
    assert.ok(Array.isArray(value) && value.length === 10);
  });
});

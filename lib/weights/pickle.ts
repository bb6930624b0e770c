/**
 * Interpreter for Python pickles, protocols 0 to 5 (CPython, Lib/pickletools.py). It builds plain values and
 * executes nothing: names are kept as names, calls that the host does not know become inert objects. Time
 * and memory are bounded by the limits below, whatever the bytes say.
 */
import { unsafePickle } from './file-errors.ts';
import { PickleInput } from './pickle-input.ts';
import { OPCODES } from './pickle-opcodes.ts';
import { type PickleHost, PyGlobal, PyObject, PyTuple } from './pickle-values.ts';

/**
 * Real checkpoints stay far below: about 30 opcodes, 15 objects, 10 memo entries and 12 arguments per tensor.
 * `arguments` counts what the host looks at: one dict of a million items may be an argument a million times.
 */
const LIMITS = {
  opcodes: 10_000_000,
  objects: 2_000_000,
  memo: 2_000_000,
  stack: 1_000_000,
  arguments: 5_000_000,
};

/** State of one run, as the opcodes see it. */
export class PickleMachine {
  readonly input: PickleInput;
  readonly host: PickleHost;
  stopped = false;
  readonly #stack: unknown[] = [];
  /** Stack heights at the open MARKs. Nothing below the last one may be popped. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();
  #objects = 0;
  #arguments = 0;

  constructor(input: PickleInput, host: PickleHost) {
    this.input = input;
    this.host = host;
  }

  fail(what: string): never {
    throw unsafePickle(this.input.file, `${what} (byte ${this.input.position})`);
  }

  push(value: unknown): void {
    if (this.#stack.length >= LIMITS.stack) this.fail(`its stack is over ${LIMITS.stack} values high`);
    this.#stack.push(value);
  }

  /** Like {@link push}, for a value that takes memory of its own. */
  pushNew(value: unknown): void {
    this.#objects += 1;
    if (this.#objects > LIMITS.objects) this.fail(`it makes more than ${LIMITS.objects} objects`);
    this.push(value);
  }

  pop(): unknown {
    if (this.#stack.length <= this.#fence()) this.fail('it takes more values than it has');
    return this.#stack.pop();
  }

  top(): unknown {
    if (this.#stack.length <= this.#fence()) this.fail('it takes more values than it has');
    return this.#stack.at(-1);
  }

  mark(): void {
    if (this.#marks.length >= LIMITS.stack) this.fail(`it opens more than ${LIMITS.stack} marks`);
    this.#marks.push(this.#stack.length);
  }

  /** The values above the last MARK, which is closed. */
  popToMark(): unknown[] {
    const height = this.#marks.pop();
    if (height === undefined) this.fail('it closes a mark that was never opened');
    return this.#stack.splice(height);
  }

  /** POP: the last value, or the MARK when nothing is above it. */
  discard(): void {
    if (this.#marks.length > 0 && this.#stack.length === this.#fence()) this.#marks.pop();
    else this.pop();
  }

  memoize(index = this.#memo.size): void {
    const value = this.top();
    this.#memo.set(index, value);
    if (this.#memo.size > LIMITS.memo) this.fail(`it remembers more than ${LIMITS.memo} values`);
  }

  recall(index: number): void {
    if (!this.#memo.has(index)) this.fail(`it asks for value ${index}, which it never remembered`);
    this.push(this.#memo.get(index));
  }

  /** Result of a call: from the host when it knows the callable, else an inert object. */
  call(callable: unknown, args: readonly unknown[]): void {
    const known = callable instanceof PyGlobal ? this.#hostCall(callable, args) : undefined;
    this.pushNew(known ?? new PyObject(callable, args));
  }

  #hostCall(callable: PyGlobal, args: readonly unknown[]): unknown {
    this.#arguments += args.reduce<number>((sum, value) => sum + itemCount(value), args.length);
    if (this.#arguments > LIMITS.arguments)
      this.fail(`its calls have more than ${LIMITS.arguments} arguments`);
    return this.host.call(callable, args);
  }

  /** The items of a tuple on top of the stack. */
  popTuple(): readonly unknown[] {
    const value = this.pop();
    if (!(value instanceof PyTuple)) this.fail('it calls something with arguments that are no tuple');
    return value.items;
  }

  #fence(): number {
    return this.#marks.at(-1) ?? 0;
  }
}

/** Items of a container that a call may copy. */
function itemCount(value: unknown): number {
  if (value instanceof PyTuple) return value.items.length;
  if (Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

/**
 * Reads one pickle from `bytes` at `start`.
 * Returns its value and the position after it. Throws ERR_PICKLE when it is malformed or exceeds a limit,
 * ERR_FILE_CORRUPT with `details.reason` `truncated` when the bytes end first.
 */
export function unpickle(
  file: string,
  bytes: Buffer,
  start: number,
  host: PickleHost,
): { value: unknown; end: number } {
  const machine: PickleMachine = new PickleMachine(new PickleInput(file, bytes, start), host);
  for (let count = 0; !machine.stopped; count++) {
    if (count >= LIMITS.opcodes) machine.fail(`it has more than ${LIMITS.opcodes} opcodes`);
    const code = machine.input.u8();
    const operation = OPCODES[code];
    if (operation === undefined) machine.fail(`0x${code.toString(16).padStart(2, '0')} is no opcode`);
    operation(machine);
  }
  return { value: machine.pop(), end: machine.input.position };
}

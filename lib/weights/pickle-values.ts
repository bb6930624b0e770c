/** The Python values that a pickle is turned into. None of them has behaviour; unknown classes are inert. */

/** A name from a module, such as `torch._utils._rebuild_tensor_v2`. It is never looked up or imported. */
export class PyGlobal {
  readonly path: string;

  constructor(module: string, name: string) {
    this.path = `${module}.${name}`;
  }
}

export class PyTuple {
  readonly items: readonly unknown[];

  constructor(items: readonly unknown[]) {
    this.items = items;
  }
}

/** Python dict; keys of any kind, compared as JavaScript's Map does. */
export type PyDict = Map<unknown, unknown>;

/** What a call of an unknown class or function is kept as: the request itself, never carried out. */
export class PyObject {
  readonly callable: unknown;
  readonly args: readonly unknown[];
  /** What BUILD would have set: usually the attributes as a dict. */
  state: unknown;
  #entries?: PyDict;

  constructor(callable: unknown, args: readonly unknown[]) {
    this.callable = callable;
    this.args = args;
  }

  /** Items that were set or appended on it, for subclasses of dict and list. Most objects never have any. */
  get entries(): PyDict {
    this.#entries ??= new Map();
    return this.#entries;
  }

  get hasEntries(): boolean {
    return this.#entries !== undefined && this.#entries.size > 0;
  }
}

/** What the code around a pickle knows: how to resolve its own references and which calls it understands. */
export interface PickleHost {
  /** Resolves a persistent id. Throws when it is none that the host wrote. */
  persistentLoad(id: unknown): unknown;
  /** Result of a call that the host knows, or `undefined`: then an inert {@link PyObject} takes its place. */
  call(callable: PyGlobal, args: readonly unknown[]): unknown;
}

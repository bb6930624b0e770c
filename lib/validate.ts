/** The few checks that all public options go through; each throws `ERR_INVALID_ARGUMENT` in one sentence form. */
import { invalidArgument } from './errors.ts';

export function requireInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalidArgument(name, `an integer from ${min} to ${max}`, value);
}

export function requireNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw invalidArgument(name, `a number from ${min} to ${max}`, value);
}

export function requireString(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw invalidArgument(name, 'a string', value);
}

export function requirePath(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length > 0 && !value.includes('\0')) return value;
  throw invalidArgument(name, 'a path', value);
}

export function requireBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw invalidArgument(name, 'true or false', value);
}

export function requireFunction<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value;
  throw invalidArgument(name, 'a function', value);
}

export function requireSignal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw invalidArgument('signal', 'an AbortSignal', value);
}

/** One of a list of literals. */
export function requireChoice<const T extends string>(
  name: string,
  value: unknown,
  choices: readonly T[],
): T {
  if (choices.includes(value as T)) return value as T;
  throw invalidArgument(name, `one of ${choices.map((choice) => `'${choice}'`).join(', ')}`, value);
}

/** The options object itself. */
export function requireObject<T extends object>(name: string, value: T): T {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw invalidArgument(name, 'an object', value);
}

/** Refuses keys that do not exist, which are most often misspelt. */
export function requireKnownKeys(name: string, value: object, known: readonly string[]): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalidArgument(name, `only the keys ${known.join(', ')}`, unknown);
}

/**
 * Errors that this package throws: one class, told apart by a stable `code`.
 *
 * Every message names what was wrong, the value that was seen, and what to do about it. Codes are part
 * of the public interface: they are only ever added.
 */
import { redacted } from './redact.ts';

/** What each code means. The keys are the public list of codes. */
export const ERROR_CODES = {
  ERR_INVALID_ARGUMENT: 'an option has a value that is not allowed',
  ERR_CONFIG: 'a configuration file has a wrong key or value',
  ERR_FILE_NOT_FOUND: 'a file or folder does not exist or cannot be read',
  ERR_FILE_CORRUPT: 'a weight file is truncated, inconsistent or not what its header says',
  ERR_FILE_FORMAT: 'the format of a file is not one that can be read',
  ERR_PICKLE: 'a checkpoint contains a pickle that cannot be read safely',
  ERR_WRONG_KIND: 'a file is of another kind than the option it was given for',
  ERR_UNSUPPORTED_MODEL: 'a model of an architecture that is not supported',
  ERR_WEIGHTS_MISSING: 'parameters of the network are in none of the given files',
  ERR_WEIGHTS_SHAPE: 'a tensor has another shape than the network needs',
  ERR_WEIGHTS_NOT_FINITE: 'a tensor contains NaN or infinity',
  ERR_TOO_MANY_FRAMES: 'more frames than the motion module has positions',
  ERR_NOT_FINITE: 'the computation produced NaN or infinity',
  ERR_OUT_OF_MEMORY: 'the device has too little free memory',
  ERR_DEVICE_UNAVAILABLE: 'the requested device cannot be used',
  ERR_PLATFORM: 'the operating system, C library or processor is not supported',
  ERR_NATIVE_NOT_FOUND: 'the native files of this package are missing',
  ERR_LIBTORCH_NOT_FOUND: 'no LibTorch was found',
  ERR_LIBTORCH_VERSION: 'the LibTorch that was found has an unsupported version',
  ERR_DOWNLOAD: 'a download failed',
  ERR_CHECKSUM: 'a file does not have the expected hash',
  ERR_OUTPUT: 'a result cannot be written',
  ERR_DISPOSED: 'the object was closed before',
  ERR_ENGINE: 'LibTorch reported an error',
} as const;

/** Stable identifier of a kind of failure. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Facts that belong to an error, as plain data for programs (`--json`). */
export type ErrorDetails = Readonly<
  Record<string, string | number | boolean | null | undefined | readonly (string | number)[]>
>;

/** The only error class of this package. Secrets in addresses are taken out of what it says. */
export class AnimateDiffError extends Error {
  /** Stable identifier, see {@link ERROR_CODES}. */
  readonly code: ErrorCode;
  /** Facts about the failure, for programs. */
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(redacted(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AnimateDiffError';
    this.code = code;
    this.details = redactedDetails(options.details ?? {});
  }
}

function redactedDetails(details: ErrorDetails): ErrorDetails {
  const plain = <T>(value: T) => (typeof value === 'string' ? redacted(value) : value);
  const entries = Object.entries(details).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.map(plain) : plain(value),
  ]);
  return Object.fromEntries(entries);
}

/**
 * Short readable form of any value for an error message: `'abc'`, `12`, `[1, 2]`, `an object`. Text from a
 * file may hold control characters, which move a terminal's cursor, and halves of characters: both are
 * written as escapes.
 */
export function seen(value: unknown): string {
  if (typeof value === 'string') {
    const text = value.length > 120 ? `${value.slice(0, 117)}…` : value;
    return `'${text.replace(/[\p{Cc}\p{Cs}]/gu, escaped)}'`;
  }
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || ['number', 'boolean', 'undefined'].includes(typeof value)) return String(value);
  if (Array.isArray(value))
    return `[${value.slice(0, 6).map(seen).join(', ')}${value.length > 6 ? ', …' : ''}]`;
  return typeof value === 'function' ? 'a function' : 'an object';
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * The error for an option with a value that is not allowed, in one sentence form:
 * “Expected <expected> for `<name>`, got <value>.”
 */
export function invalidArgument(name: string, expected: string, value: unknown): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${expected} for \`${name}\`, got ${seen(value)}.`,
    {
      details: { option: name, expected, value: seen(value) },
    },
  );
}

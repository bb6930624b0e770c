/** Seeds are unsigned 64-bit; JavaScript numbers hold only 53 bits of them, so bigint and strings are taken too. */
import { randomBytes } from 'node:crypto';
import { invalidArgument } from './errors.ts';
import type { Seed } from './options.ts';

const LIMIT = 2n ** 64n;
const EXPECTED = 'an unsigned 64-bit integer as bigint, decimal string or safe integer, or -1 to draw one';

/** A fresh 64-bit seed from the system's random source. */
export function drawSeed(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

function toBigInt(seed: unknown): bigint | undefined {
  if (typeof seed === 'bigint') return seed;
  if (typeof seed === 'number') return Number.isSafeInteger(seed) ? BigInt(seed) : undefined;
  return typeof seed === 'string' && /^(-1|\d{1,20})$/.test(seed) ? BigInt(seed) : undefined;
}

/** 0 to 2^64 - 1; -1 draws one. Throws `ERR_INVALID_ARGUMENT`. */
export function resolveSeed(seed: Seed): bigint {
  const value = toBigInt(seed);
  if (value === -1n) return drawSeed();
  if (value === undefined || value < 0n || value >= LIMIT) throw invalidArgument('seed', EXPECTED, seed);
  return value;
}

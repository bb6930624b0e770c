/** What is expected of a value, in words kept beside the schema that they describe. */
import { z } from 'zod';
import { orList } from './choices.ts';

/** The end of the sentence “Expected …” for a value. */
export const expectations = z.registry<{ readonly expected: string }>();

/** The same schema, with the words for it. */
export function expecting<T extends z.ZodType>(schema: T, expected: string): T {
  expectations.add(schema, { expected });
  return schema;
}

/** One of a list of literals. */
export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return expecting(z.enum(values), orList(values));
}

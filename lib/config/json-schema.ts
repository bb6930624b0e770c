/** The JSON Schema of a configuration file, for editors (`configs/schema.json`). */
import { z } from 'zod';
import { configSchema, MAX_SEED, seedSchema } from './schema.ts';

/**
 * JSON Schema 2020-12 of a configuration, as plain data. Seeds are given without an upper bound: a JSON
 * number cannot state 2^64 - 1 exactly, and the safe integers that zod would state are too few.
 */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema !== seedSchema) return;
      jsonSchema.anyOf = [
        { type: 'integer', minimum: -1 },
        { type: 'string', pattern: '^(-1|[0-9]{1,20})$' },
      ];
      jsonSchema.description = `0 to ${MAX_SEED}, or -1 to draw one`;
    },
  });
  return { ...schema, title: 'Configuration of animatediff-native' };
}

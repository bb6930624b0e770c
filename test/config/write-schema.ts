/** Writes `configs/schema.json`: `node --import tsx test/config/write-schema.ts && npx biome format --write configs`. */
import { writeFileSync } from 'node:fs';
import { configJsonSchema } from '../../lib/config/json-schema.ts';

writeFileSync(
  new URL('../../configs/schema.json', import.meta.url),
  `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
);

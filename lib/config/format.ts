/** Writes a configuration as YAML that `loadConfig` reads back to the same values. */
import { stringify } from 'yaml';
import type { Config } from './schema.ts';

/** YAML text with every string in quotes, under a comment of one or more lines. */
export function formatConfig(config: Config, comment: string): string {
  const head = comment.replace(/^/gm, '# ');
  const body = stringify(config, {
    defaultStringType: 'QUOTE_DOUBLE',
    defaultKeyType: 'PLAIN',
    lineWidth: 0,
  });
  return `${head}\n${body}`;
}

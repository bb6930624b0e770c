/** Command lines of the programs for maintainers. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Something on the command line is wrong. */
export class UsageError extends Error {}

/**
 * Values of all flags.
 *
 * @param readme the file that says what they are
 * @throws UsageError for a flag that there is not, or one without its value
 */
export function parseFlags<T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
  readme: string,
) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')) throw error;
    const flags = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(
      `${(error as Error).message}\nFlags: ${flags.join(' ')}. ${readme} says what they are.`,
    );
  }
}

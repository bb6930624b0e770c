/**
 * Wrong use of the command line, told in sentences: yargs says that something is wrong, this file says it
 * with the value that was seen and the way out.
 */
import { orList } from '../config/choices.ts';
import { nearest, nearestValue } from '../config/nearest.ts';
import { AnimateDiffError } from '../errors.ts';

/** What is known about the command line that yargs refused. */
export interface Usage {
  readonly argv: readonly string[];
  readonly commands: readonly string[];
  /** Flags of the command that was given, without their dashes. */
  readonly flags: readonly string[];
}

function unknownArgument(name: string, { argv, flags }: Usage): string {
  if (argv.includes(name)) return `Unexpected argument '${name}'.`;
  const dashes = name.length === 1 ? '-' : '--';
  const meant = nearest(name, flags);
  return `Unknown flag \`${dashes}${name}\`.${meant ? ` Did you mean \`--${meant}\`?` : ''}`;
}

function unknownCommand({ argv, commands }: Usage): string | undefined {
  const name = argv.find((arg) => !arg.startsWith('-'));
  if (name === undefined || argv.some((arg) => commands.includes(arg))) return undefined;
  const meant = nearest(name, commands);
  return `Unknown command '${name}'. ${meant ? `Did you mean \`${meant}\`?` : `Commands: ${commands.join(', ')}.`}`;
}

/** Sentences of yargs (English, which `program.ts` fixes) and what is said instead. */
const SENTENCES: readonly (readonly [RegExp, (groups: readonly string[], usage: Usage) => string])[] = [
  [
    /^Unknown arguments?: (.+)$/s,
    ([names = ''], u) =>
      names
        .split(', ')
        .map((n) => unknownArgument(n, u))
        .join(' '),
  ],
  [/^Not enough arguments following: (.+)$/, ([name = '']) => `The flag \`--${name}\` needs a value.`],
  [
    /^Missing required arguments?: (.+)$/,
    ([names = '']) =>
      `Missing ${names
        .split(', ')
        .map((n) => `\`--${n}\``)
        .join(', ')}.`,
  ],
  [/^Not enough non-option arguments/, () => 'The command needs at least one file.'],
  [
    /Argument: (\S+), Given: "(.*)", Choices: (.+)$/s,
    ([name = '', given = '', choices = '']) => {
      const values = choices.split(', ').map((choice) => choice.replace(/^"|"$/g, ''));
      const meant = nearestValue(given, values);
      const way = meant ? ` Did you mean \`${meant}\`?` : '';
      return `Expected ${orList(values)} for \`--${name}\`, got '${given}'.${way}`;
    },
  ],
];

/** The error for a command line that yargs refused with `message`. */
export function usageError(message: string, usage: Usage): AnimateDiffError {
  const found = SENTENCES.map(([pattern, tell]) => {
    const match = pattern.exec(message.trim());
    return match ? tell(match.slice(1), usage) : undefined;
  }).find((sentence) => sentence !== undefined);
  const command = usage.argv.find((arg) => usage.commands.includes(arg));
  const help = `Run \`animatediff-native ${command ? `${command} ` : ''}--help\` for what can be given.`;
  return new AnimateDiffError('ERR_INVALID_ARGUMENT', `${unknownCommand(usage) ?? found ?? message} ${help}`);
}

/** The command line as a whole: commands, global flags, errors and exit codes. */
import yargs, { type Argv, type CommandModule } from 'yargs';
import { packageVersion } from '../package-info.ts';
import { BAKE_COMMAND_FLAGS, bakeCommand } from './commands/bake.ts';
import { DEMO_COMMAND_FLAGS, demoCommand } from './commands/demo.ts';
import { DOCTOR_FLAGS, doctorCommand } from './commands/doctor.ts';
import { GENERATE_COMMAND_FLAGS, generateCommand } from './commands/generate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { INSTALL_FLAGS, installCommand } from './commands/install.ts';
import { MODELS_FLAGS, modelsCommand } from './commands/models.ts';
import { PULL_FLAGS, pullCommand } from './commands/pull.ts';
import type { Context, GlobalFlags } from './context.ts';
import { EXIT, exitCodeOf } from './exit.ts';
import { type Flags, GLOBAL_FLAGS, yargsOptions } from './flags.ts';
import { reportError } from './report.ts';
import { usageError } from './usage.ts';

/** Widest help text, in characters. */
const MAX_WIDTH = 110;

interface Entry {
  readonly create: (context: Context) => unknown;
  readonly flags: Flags;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  generate: { create: generateCommand, flags: GENERATE_COMMAND_FLAGS },
  demo: { create: demoCommand, flags: DEMO_COMMAND_FLAGS },
  inspect: { create: inspectCommand, flags: {} },
  pull: { create: pullCommand, flags: PULL_FLAGS },
  models: { create: modelsCommand, flags: MODELS_FLAGS },
  install: { create: installCommand, flags: INSTALL_FLAGS },
  doctor: { create: doctorCommand, flags: DOCTOR_FLAGS },
  bake: { create: bakeCommand, flags: BAKE_COMMAND_FLAGS },
};

const NAMES = [...Object.keys(COMMANDS), 'completion'];

/** All flags that can follow a command, and the two that yargs adds. */
function flagsOf(argv: readonly string[]): string[] {
  const entry = COMMANDS[argv.find((arg) => arg in COMMANDS) ?? ''];
  return [...Object.keys({ ...entry?.flags, ...GLOBAL_FLAGS }), 'help', 'version'];
}

function createProgram(argv: readonly string[], context: Context): Argv<GlobalFlags> {
  const program = yargs([...argv])
    .scriptName('animatediff-native')
    .usage('$0 <command>\n\nAnimates Stable Diffusion models with AnimateDiff motion modules.')
    // English only: the messages of yargs are read in `usage.ts`.
    .detectLocale(false)
    .locale('en')
    .parserConfiguration({
      'boolean-negation': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .options(yargsOptions(GLOBAL_FLAGS, 'Everywhere:'))
    .strict()
    .demandCommand(1, 'Expected a command.')
    .help()
    .alias('help', 'h')
    .version(packageVersion())
    .group(['help', 'version'], 'Everywhere:')
    .wrap(Math.min(MAX_WIDTH, context.stdout.columns ?? MAX_WIDTH))
    .example([
      ['$0 demo', 'The first animation, without a download'],
      [
        '$0 generate --base sd15.safetensors --motion-module mm.ckpt -p "a cat in the rain"',
        'Make an animation',
      ],
      ['$0 doctor', 'Show what works on this machine'],
      ['$0 completion >> ~/.bashrc', 'Complete commands and flags with the tab key'],
    ])
    .fail((message: string | null, error: Error | undefined) => {
      // Errors of a command come through here too, and theirs is the better message.
      if (error !== undefined && error.name !== 'YError') throw error;
      const usage = { argv, commands: NAMES, flags: flagsOf(argv) };
      throw usageError(message ?? error?.message ?? 'The command line is wrong.', usage);
    }) as Argv<GlobalFlags>;
  for (const { create } of Object.values(COMMANDS)) program.command(create(context) as CommandModule);
  return program.completion('completion', 'Print a script that completes commands and flags in bash or zsh');
}

/** Global flags before parsing, so that errors of the parser are told as the user asked for. */
function globalFlags(argv: readonly string[]): GlobalFlags {
  const end = argv.indexOf('--');
  const given = end === -1 ? argv : argv.slice(0, end);
  return { json: given.includes('--json'), verbose: given.includes('--verbose') };
}

/** Runs one command line to its end. Writes to the streams of `context` and returns the exit code. */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  try {
    let text = '';
    await createProgram(argv, context).parseAsync([...argv], {}, (_error, _values, output) => {
      text ||= output;
    });
    if (text) context.stdout.write(`${text}\n`);
    return context.exitCode;
  } catch (error) {
    reportError(context, globalFlags(argv), error);
    return exitCodeOf(error) || EXIT.failure;
  }
}

/**
 * What a user asks for: a configuration file, laid under the flags of the command line. Flags win, key by
 * key, and are checked against the schema of configurations.
 */
import { checkConfig, type Problem, valueAt } from '../config/check.ts';
import { loadConfig } from '../config/load.ts';
import { resolvePath } from '../config/paths.ts';
import type { Config } from '../config/schema.ts';
import { AnimateDiffError, invalidArgument, seen } from '../errors.ts';
import type { Flag, Flags } from './flags.ts';

/** Values of flags by their names, as yargs hands them over. */
export type FlagValues = Readonly<Record<string, unknown>>;

const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** The key that a plain value stands for where a mapping can be given: `scheduler: ddim`. */
const SHORT_FORM: Readonly<Record<string, string>> = { motionModule: 'path', scheduler: 'name' };

/** The text of a flag that can be given once. */
export function oneValue(name: string, value: unknown): string {
  if (Array.isArray(value)) {
    const sentence = `The flag \`--${name}\` was given ${value.length} times. Give it once.`;
    throw new AnimateDiffError('ERR_INVALID_ARGUMENT', sentence, { details: { option: `--${name}` } });
  }
  return String(value);
}

/** `zoom.ckpt:-0.8`: a file and its scale. A colon without a number after it belongs to the name. */
function readLora(text: string, folder: string): { path: string; scale?: number } {
  // The number of `civitai:78775` is no scale.
  const [, file, scale] = (/^civitai:\d+$/.test(text) ? null : /^(.+):([^:/\\]+)$/.exec(text)) ?? [];
  if (file === undefined || scale === undefined || !NUMBER.test(scale)) {
    return { path: text === '' ? text : resolvePath(text, folder) };
  }
  return { path: resolvePath(file, folder), scale: Number(scale) };
}

/** `bad.pt:easynegative`: a file and its word. `hf:owner/repo` and the like have a colon of their own. */
function readEmbedding(text: string, folder: string): { path: string; token?: string } {
  const [, file, token] =
    (/^(civitai:\d+|[a-z]+:[^:]*)$/.test(text) ? null : /^(.+):([^:/\\]+)$/.exec(text)) ?? [];
  if (file === undefined) return { path: text === '' ? text : resolvePath(text, folder) };
  return { path: resolvePath(file, folder), token };
}

/** `0: a cat | 8: a dog`: texts by frame. Throws ERR_INVALID_ARGUMENT for text without a frame. */
function readTravel(name: string, text: string): Record<string, string> {
  const parts = text.split('|').map((part) => /^\s*(\d+)\s*:\s*(.*?)\s*$/su.exec(part));
  if (parts.some((part) => part === null)) {
    throw invalidArgument(`--${name}`, "texts by frame, such as '0: a cat | 8: a dog'", text);
  }
  return Object.fromEntries(parts.map((part) => [part?.[1] ?? '', part?.[2] ?? '']));
}

/** The value of a flag in the type that the schema expects; text that is not a number stays text. */
function readFlag(name: string, { kind }: Flag, value: unknown, folder: string): unknown {
  if (kind === 'list') return [value].flat().map(String);
  if (kind === 'loras') return [value].flat().map((text) => readLora(String(text), folder));
  if (kind === 'switch') return value === true;
  if (kind === 'embeddings') return [value].flat().map((text) => readEmbedding(String(text), folder));
  if (kind === 'travels') return [value].flat().map((text) => readTravel(name, String(text)));
  const text = oneValue(name, value);
  if (kind === 'number') return NUMBER.test(text) ? Number(text) : text;
  return kind === 'path' && text !== '' ? resolvePath(text, folder) : text;
}

function assign(
  data: Record<string, unknown>,
  [key, inner]: readonly [string, string?],
  value: unknown,
): void {
  if (inner === undefined) {
    data[key] = value;
    return;
  }
  const current = data[key] ?? (key === 'scheduler' ? 'ddim' : undefined);
  const mapping = typeof current === 'object' ? current : { [SHORT_FORM[key] ?? key]: current };
  data[key] = { ...mapping, [inner]: value };
}

/** The flag that set the value at the path of a problem. */
function flagFor({ path: at }: Problem, flags: Flags): string {
  const [key, inner] = at;
  // `--scheduler ddim` sets `scheduler.name`, and the second `--prompt` sets `prompt[1]`.
  const outer = typeof inner === 'number' || (typeof key === 'string' && inner === SHORT_FORM[key]);
  const wanted = outer ? undefined : inner;
  const found = Object.entries(flags).find(([, flag]) => flag.path?.[0] === key && flag.path?.[1] === wanted);
  return `--${found?.[0] ?? key}`;
}

function problemSentence(problem: Problem, flags: Flags, data: unknown): string {
  const { expected, suggestion } = problem;
  const flag = flagFor(problem, flags);
  if (problem.kind === 'missing-key') return `Missing \`${flag}\`: expected ${expected}.`;
  if (problem.kind === 'unknown-key') {
    const scheduler = seen(valueAt(data, ['scheduler', 'name']));
    return `The scheduler ${scheduler} has no \`${flag}\`. It has ${expected}; choose another with \`--scheduler\`.`;
  }
  const way = suggestion ? ` Did you mean \`${suggestion}\`?` : '';
  return `Expected ${expected} for \`${flag}\`, got ${seen(valueAt(data, problem.path))}.${way}`;
}

/**
 * The configuration that `config` (checked already) becomes with the given flags.
 *
 * @throws AnimateDiffError `ERR_INVALID_ARGUMENT` with a sentence for every flag that has a wrong value.
 */
export function applyFlags(config: Config, flags: Flags, values: FlagValues, folder: string): Config {
  const data: Record<string, unknown> = { ...config };
  for (const [name, flag] of Object.entries(flags)) {
    if (flag.path && values[name] !== undefined)
      assign(data, flag.path, readFlag(name, flag, values[name], folder));
  }
  const result = checkConfig(data);
  if ('config' in result) return result.config;
  const sentences = result.problems.map((problem) => problemSentence(problem, flags, data));
  const [first] = result.problems;
  throw new AnimateDiffError('ERR_INVALID_ARGUMENT', sentences.join('\n'), {
    details: first && {
      option: flagFor(first, flags),
      expected: first.expected,
      value: seen(valueAt(data, first.path)),
      suggestion: first.suggestion,
    },
  });
}

/** The text of a path flag that is not part of a configuration, made absolute. */
export function pathFlag(name: string, values: FlagValues, folder: string): string | undefined {
  if (values[name] === undefined) return undefined;
  const text = oneValue(name, values[name]);
  if (text === '') throw invalidArgument(`--${name}`, 'the path of a file or folder', text);
  return resolvePath(text, folder);
}

/** The configuration of a run: the file at `values.config`, if one is given, under the flags. */
export async function readRequest(flags: Flags, values: FlagValues, folder: string): Promise<Config> {
  const config =
    values.config === undefined ? {} : await loadConfig(oneValue('config', values.config), folder);
  return applyFlags(config, flags, values, folder);
}

/** What must be known before anything is loaded, with the two ways to say it. */
export function need<K extends 'base' | 'prompt'>(config: Config, key: K): NonNullable<Config[K]> {
  const value = config[key];
  if (value !== undefined) return value;
  const sentence = `Nothing says which ${key} to use. Give \`--${key}\`, or \`${key}:\` in a configuration file.`;
  throw new AnimateDiffError('ERR_INVALID_ARGUMENT', sentence, { details: { option: `--${key}` } });
}

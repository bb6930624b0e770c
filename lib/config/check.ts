/**
 * Checks plain data against the schema and states each problem in the words of a user: which key, what
 * was expected, what was probably meant. Where the value came from (a line of a file, a flag) is added
 * by the caller.
 */
import { z } from 'zod';
import { nearest, nearestValue } from './nearest.ts';
import { type Config, configSchema, expectations } from './schema.ts';

export interface Problem {
  readonly kind: 'unknown-key' | 'missing-key' | 'bad-value';
  /** Keys and list indices from the root; for an unknown or missing key, that key is the last one. */
  readonly path: readonly (string | number)[];
  /** Completes “Expected …”; for an unknown key, the keys that are known there. */
  readonly expected: string;
  /** The key or value that was probably meant. */
  readonly suggestion?: string;
}

/** Keys of AnimateDiff's and mmagic's own configurations, scripts and of diffusers, under our names. */
const RENAMED: Readonly<Record<string, string>> = {
  pretrained_model_path: 'base',
  pretrainedModelPath: 'base',
  model: 'base',
  dreambooth: 'checkpoint',
  dreambooth_path: 'checkpoint',
  dream_booth_lora_cfg: 'checkpoint',
  vae_path: 'vae',
  vae_file: 'vae',
  motion_module_cfg: 'motionModule',
  motion_adapter: 'motionModule',
  lora: 'loras',
  lora_model_path: 'loras',
  motion_module_lora_configs: 'loras',
  textual_inversion: 'embeddings',
  textualInversion: 'embeddings',
  clip_skip: 'clipSkip',
  prompt_map: 'prompt',
  promptMap: 'prompt',
  head_prompt: 'promptHead',
  tail_prompt: 'promptTail',
  adapter_lora_path: 'loras',
  precision: 'dtype',
  prompts: 'prompt',
  n_prompt: 'negativePrompt',
  n_prompts: 'negativePrompt',
  nPrompt: 'negativePrompt',
  negative_prompts: 'negativePrompt',
  negativePrompts: 'negativePrompt',
  seeds: 'seed',
  num_frames: 'frames',
  numFrames: 'frames',
  video_length: 'frames',
  videoLength: 'frames',
  L: 'frames',
  W: 'width',
  H: 'height',
  num_inference_steps: 'steps',
  numInferenceSteps: 'steps',
  ddim_steps: 'steps',
  cfg: 'guidanceScale',
  cfg_scale: 'guidanceScale',
  cfgScale: 'guidanceScale',
  sampler: 'scheduler',
  output: 'out',
  savename: 'out',
  n_rows: 'columns',
};

type Issue = z.core.$ZodIssue;

/** Issues of the branch of a union that the value was meant for, or the union itself. */
function flatten(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const wrongShape = (branch: readonly Issue[]) =>
    branch.some((i) => i.path.length === 0 && (i.code === 'invalid_type' || i.code === 'invalid_value'));
  // The nearest branch has the fewest issues; of several, the first.
  const [meant] = issue.errors
    .filter((branch) => branch.length > 0 && !wrongShape(branch))
    .sort((a, b) => a.length - b.length);
  if (meant === undefined) return [issue];
  return meant.flatMap((i) => flatten({ ...i, path: [...issue.path, ...i.path] }));
}

/** All schemas that can describe the value at a path. */
function schemasAt(schema: z.core.$ZodType, path: readonly (string | number)[]): z.core.$ZodType[] {
  if (schema instanceof z.ZodOptional) return schemasAt(schema.unwrap(), path);
  // What is written is checked before it is transformed.
  if (schema instanceof z.ZodPipe) return schemasAt(schema.in, path);
  const [key, ...rest] = path;
  if (key === undefined) {
    return schema instanceof z.ZodUnion
      ? [schema, ...schema.options.flatMap((o) => schemasAt(o, []))]
      : [schema];
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => schemasAt(option, path));
  if (schema instanceof z.ZodArray) return typeof key === 'number' ? schemasAt(schema.element, rest) : [];
  if (schema instanceof z.ZodObject && Object.hasOwn(schema.shape, key))
    return schemasAt(schema.shape[key], rest);
  return [];
}

/** Keys of the mapping at a path; of several kinds that are told apart by their name, those of the kind of `value`. */
function knownKeys(path: readonly (string | number)[], value: unknown): string[] {
  const objects = schemasAt(configSchema, path).filter((s) => s instanceof z.ZodObject);
  const fitting = objects.filter(({ shape }) =>
    Object.entries(shape).every(
      ([key, field]) => !(field instanceof z.ZodLiteral) || field.safeParse(valueAt(value, [key])).success,
    ),
  );
  return fitting.flatMap(({ shape }) => Object.keys(shape));
}

function knownValues(path: readonly (string | number)[]): string[] {
  return schemasAt(configSchema, path).flatMap((s) => (s instanceof z.ZodEnum ? s.options.map(String) : []));
}

function expectationAt(path: readonly (string | number)[]): string {
  for (const schema of schemasAt(configSchema, path)) {
    const found = expectations.get(schema);
    if (found) return found.expected;
  }
  return 'another value';
}

function suggestKey(key: string, known: readonly string[]): string | undefined {
  const renamed = Object.hasOwn(RENAMED, key) ? RENAMED[key] : undefined;
  return renamed !== undefined && known.includes(renamed) ? renamed : nearest(key, known);
}

/** The value at a path of plain data; `undefined` where there is none. */
export function valueAt(data: unknown, path: readonly (string | number)[]): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

function problemsOf(issue: Issue, data: unknown): Problem[] {
  const path = issue.path.filter((key) => typeof key !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(path, valueAt(data, path));
    return issue.keys.map((key) => ({
      kind: 'unknown-key',
      path: [...path, key],
      expected: known.join(', '),
      suggestion: suggestKey(key, known),
    }));
  }
  const value = valueAt(data, path);
  const expected = expectationAt(path);
  if (value === undefined && path.length > 0) return [{ kind: 'missing-key', path, expected }];
  const suggestion = typeof value === 'string' ? nearestValue(value, knownValues(path)) : undefined;
  return [{ kind: 'bad-value', path, expected, suggestion }];
}

/** A configuration from plain data, or everything that is wrong with it. */
export function checkConfig(
  data: unknown,
): { readonly config: Config } | { readonly problems: readonly Problem[] } {
  const result = configSchema.safeParse(data);
  if (result.success) return { config: result.data };
  const problems = result.error.issues.flatMap(flatten).flatMap((issue) => problemsOf(issue, data));
  // A value can break several rules, and one sentence states them all.
  return { problems: [...new Map(problems.map((problem) => [formatPath(problem.path), problem])).values()] };
}

/** `scheduler.eta`, `prompt[2]`: a path as it is written. */
export function formatPath(path: readonly (string | number)[]): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? key : `.${key}`)).join('');
}

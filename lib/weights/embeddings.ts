/**
 * Textual inversions (Gal et al. 2022, arXiv 2208.01618): vectors in the place of token embeddings. Their rows follow
 * the vocabulary in the text encoder's table, and prompts refer to them by id. Every layout that is in use is read:
 * `string_to_param` of AUTOMATIC1111's web UI, `emb_params`, and diffusers' one tensor under its token.
 */
import path from 'node:path';
import { AnimateDiffError, invalidArgument } from '../errors.ts';
import { graphFamilies } from '../graphs.ts';
import type { AppliedEmbedding } from '../options.ts';
import { architectureTitle } from './architecture.ts';
import { embeddingArchitecture } from './embedding-architecture.ts';
import { unreadableFormat } from './file-errors.ts';
import { requireUse } from './fit.ts';
import { openModel } from './identify.ts';
import { markedKind } from './kinds.ts';
import { shapeText } from './shapes.ts';
import { readTensorFile } from './tensor-file.ts';
import type { TensorFile, TensorSource, WeightPlan } from './types.ts';

/** A textual inversion to load. */
export interface EmbeddingRequest {
  /** Absolute path. */
  readonly path: string;
  readonly token?: string;
}

/** A textual inversion and its place in the table. */
export interface PlannedEmbedding {
  /** File name without folder. */
  readonly file: string;
  readonly triggers: readonly string[];
  readonly ids: readonly number[];
}

/** The text encoder's plan with the rows of `embeddings`. */
export interface EmbeddingPlan {
  readonly plan: WeightPlan | undefined;
  /** Those of a baked archive first. */
  readonly embeddings: readonly PlannedEmbedding[];
}

/** Parameter that holds the vectors of all tokens, [tokens, width]. */
export const TOKEN_TABLE = 'text_model.embeddings.token_embedding.weight';

/** Tokens of a prompt that the text encoder sees at once. */
const MAX_VECTORS = 75;

/** The vectors of a file and the name that it gives them itself. */
interface Vectors {
  readonly source: TensorSource;
  readonly ownName?: string;
}

/** Undefined for what is no textual inversion. */
function findVectors({ tensors, metadata }: TensorFile): Vectors | undefined {
  const [first, ...others] = [...tensors].filter(([name]) => name.startsWith('string_to_param.'));
  if (first !== undefined && others.length === 0) return { source: first[1], ownName: metadata.name };
  const parameters = tensors.get('emb_params');
  if (parameters !== undefined) return { source: parameters };
  const [only, second] = [...tensors];
  if (only === undefined || second !== undefined) return undefined;
  return { source: only[1], ownName: only[0] };
}

function unfit(file: TensorFile, shape: readonly number[], width: number) {
  const architecture = shape.at(-1) === width ? undefined : embeddingArchitecture(file);
  const what = `a textual inversion${architecture === undefined ? '' : ` for ${architectureTitle(architecture)}`}`;
  return new AnimateDiffError(
    'ERR_UNSUPPORTED_MODEL',
    `${file.path} is ${what} and does not fit the model that is loaded: it has the shape ${shapeText(shape)}, ` +
      `and 1 to ${MAX_VECTORS} vectors of width ${width} are needed. Give one for the same architecture.`,
    { details: { file: file.path, shape, width } },
  );
}

async function refuse(file: TensorFile, width: number): Promise<never> {
  if (file.tensors.has('clip_g')) {
    throw unfit(file, file.tensors.get('clip_g')?.shape ?? [], width);
  }
  const families = graphFamilies();
  requireUse(await openModel(file.path, families), 'embeddings', families);
  throw unreadableFormat(
    file.path,
    'holds no vectors in a layout of textual inversions that is known',
    'Give a file with `string_to_param`, `emb_params`, or one tensor under its token.',
  );
}

async function readVectors(request: EmbeddingRequest, width: number): Promise<Vectors> {
  const file = await readTensorFile(request.path);
  const kind = markedKind(file)?.kind ?? 'textual-inversion';
  const vectors = kind === 'textual-inversion' ? findVectors(file) : undefined;
  if (vectors === undefined) return refuse(file, width);
  const { shape, dtype } = vectors.source;
  const count = shape.length === 1 ? 1 : (shape[0] ?? 0);
  const wide = shape.at(-1) ?? 0;
  if (wide !== width || shape.length > 2 || count < 1 || count > MAX_VECTORS) {
    throw unfit(file, shape, width);
  }
  if (!['F64', 'F32', 'F16', 'BF16'].includes(dtype)) {
    throw unreadableFormat(
      file.path,
      `stores its vectors as ${dtype}`,
      'Use a version of this textual inversion in F16, BF16 or F32.',
      { dtype },
    );
  }
  return vectors;
}

/** The words that stand for an embedding and are not taken by one before it. */
function freeTriggers(request: EmbeddingRequest, ownName: string | undefined, taken: Set<string>): string[] {
  const stem = path.parse(request.path).name;
  const names = request.token === undefined ? [stem, ownName ?? stem] : [request.token];
  const free = names.filter((name) => {
    const key = name.trim().toLowerCase();
    const added = key !== '' && !taken.has(key);
    taken.add(key);
    return added;
  });
  if (free.length > 0) return free;
  throw invalidArgument('embeddings', 'another word as `token` for each textual inversion', names[0]);
}

function numbered(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

/**
 * Plans textual inversions on top of the plan of a text encoder. `before` are those whose rows its table has already,
 * behind a vocabulary of `vocabSize` tokens.
 *
 * Throws what reading a file throws; ERR_WRONG_KIND for a file that is something else; ERR_UNSUPPORTED_MODEL for one
 * of another width (SD 2.x, SDXL) or with more than 75 vectors; ERR_FILE_FORMAT for an unknown layout or element type;
 * ERR_INVALID_ARGUMENT when two have the same word.
 */
export async function planEmbeddings(
  requests: readonly EmbeddingRequest[],
  plan: WeightPlan | undefined,
  before: readonly AppliedEmbedding[],
  vocabSize: number,
): Promise<EmbeddingPlan> {
  const embeddings: PlannedEmbedding[] = [];
  const taken = new Set<string>();
  let next = vocabSize;
  const add = (file: string, triggers: readonly string[], count: number) => {
    embeddings.push({ file, triggers, ids: numbered(next, count) });
    next += count;
  };
  for (const { file, triggers, vectors } of before) {
    for (const trigger of triggers) taken.add(trigger.toLowerCase());
    add(file, triggers, vectors);
  }
  const width = plan?.recipes.find(({ target }) => target === TOKEN_TABLE)?.shape[1];
  if (requests.length === 0 || plan === undefined || width === undefined) return { plan, embeddings };
  const appended: TensorSource[] = [];
  for (const request of requests) {
    const { source, ownName } = await readVectors(request, width);
    appended.push(source);
    const count = source.shape.length === 1 ? 1 : (source.shape[0] ?? 0);
    add(path.basename(request.path), freeTriggers(request, ownName, taken), count);
  }
  const recipes = plan.recipes.map((recipe) =>
    recipe.kind === 'copy' && recipe.target === TOKEN_TABLE ? { ...recipe, appended } : recipe,
  );
  return { plan: { ...plan, recipes }, embeddings };
}

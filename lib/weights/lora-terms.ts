/** From the tensors that an adapter has for one layer to the terms that the engine adds to its parameters. */
import { AnimateDiffError } from '../errors.ts';
import { unreadableFormat } from './file-errors.ts';
import type { LoraPart } from './keys/lora.ts';
import { elementCount, shapeText } from './shapes.ts';
import type { AdapterTerm, DType, TensorSource } from './types.ts';

/** A tensor with its name in the file, for messages. */
export interface NamedSource {
  readonly name: string;
  readonly source: TensorSource;
}

/** The tensors of one layer of an adapter. */
export type LoraLayer = ReadonlyMap<LoraPart, NamedSource>;

/** How strongly an adapter is applied. */
export interface LoraStrength {
  readonly scale: number;
  /** alpha / rank counts as 1. */
  readonly ignoreAlpha: boolean;
  /** alpha / rank of a layer of this rank that has no alpha tensor. */
  readonly statedRatio: (rank: number) => number;
}

/** The term of a layer's weight or bias, without what all kinds have in common. */
interface Factors extends Pick<AdapterTerm, 'kind' | 'factors'> {
  /** 0 where there is none and no alpha counts. */
  readonly rank: number;
}

type Shape = readonly number[];

const FLOATING: readonly DType[] = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'];

/** A matrix for the rules below: [rows, everything else]. */
function matrix(shape: Shape): readonly [rows: number, rest: number] {
  return [shape[0] ?? 1, elementCount(shape.slice(1)) ?? 0];
}

/** Rows and elements per row of what [a, rank] @ [rank, b] or, with a core, [rank, a] and [rank, b] give. */
function productSize(a: Shape, b: Shape, core?: Shape): readonly [rows: number, rest: number] | undefined {
  const [[aRows, aRest], [bRows, bRest]] = [matrix(a), matrix(b)];
  if (core === undefined) return aRest === bRows ? [aRows, bRest] : undefined;
  return aRows === core[0] && bRows === core[1]
    ? [aRest, bRest * (elementCount(core.slice(2)) ?? 0)]
    : undefined;
}

/** Finds the tensors of one layer, and says what is wrong with them. */
class LayerReader {
  readonly #layer: LoraLayer;
  readonly #shape: Shape;
  readonly #target: string;

  constructor(layer: LoraLayer, target: string, shape: Shape) {
    this.#layer = layer;
    this.#target = target;
    this.#shape = shape;
  }

  get(part: LoraPart): TensorSource | undefined {
    const found = this.#layer.get(part);
    if (found === undefined) return undefined;
    if (FLOATING.includes(found.source.dtype)) return found.source;
    throw unreadableFormat(
      found.source.file,
      `stores the weights '${found.name}' as ${found.source.dtype}, which is a quantised form that is not supported`,
      'Use a version of this LoRA in F16, BF16 or F32.',
      { tensor: found.name, dtype: found.source.dtype },
    );
  }

  need(part: LoraPart): TensorSource {
    const source = this.get(part);
    if (source !== undefined) return source;
    const [present] = this.#layer.values();
    throw new AnimateDiffError(
      'ERR_WEIGHTS_MISSING',
      `${present?.source.file} has '${present?.name}' but not the tensor '${part}' that belongs to it. ` +
        'The file is incomplete; download it again.',
      { details: { file: present?.source.file, tensor: present?.name, part } },
    );
  }

  /** Checks that factors give a matrix of the parameter's size. */
  requireSize(size: readonly [rows: number, rest: number] | undefined, part: LoraPart): void {
    const [rows, rest] = matrix(this.#shape);
    if (size?.[0] === rows && size[1] === rest) return;
    throw this.misfit(part);
  }

  misfit(part: LoraPart): AnimateDiffError {
    const found = this.#layer.get(part);
    return new AnimateDiffError(
      'ERR_WEIGHTS_SHAPE',
      `Tensor '${found?.name}' of ${found?.source.file} has the shape ${shapeText(found?.source.shape ?? [])}, which ` +
        `does not fit '${this.#target}' ${shapeText(this.#shape)}. The LoRA was made for another architecture.`,
      {
        details: {
          tensor: found?.name,
          file: found?.source.file,
          shape: found?.source.shape,
          expected: this.#shape,
        },
      },
    );
  }
}

function lowRank(layer: LayerReader): Factors {
  const [up, down, mid] = [layer.need('up'), layer.need('down'), layer.get('mid')];
  const [out, rank] = matrix(up.shape);
  // With a core `productSize` takes [rank, out]; here it is stored as [out, rank].
  const left = mid === undefined ? up.shape : [rank, out];
  layer.requireSize(productSize(left, down.shape, mid?.shape), 'up');
  return { kind: 'low_rank', factors: [up, down, mid], rank: down.shape[0] ?? 1 };
}

function hadamard(layer: LayerReader): Factors {
  const [a1, b1] = [layer.need('hada_w1_a'), layer.need('hada_w1_b')];
  const [a2, b2] = [layer.need('hada_w2_a'), layer.need('hada_w2_b')];
  const [t1, t2] = [layer.get('hada_t1'), layer.get('hada_t2')];
  layer.requireSize(productSize(a1.shape, b1.shape, t1?.shape), 'hada_w1_a');
  layer.requireSize(productSize(a2.shape, b2.shape, t2?.shape), 'hada_w2_a');
  return { kind: 'hadamard', factors: [a1, b1, a2, b2, t1, t2], rank: b1.shape[0] ?? 1 };
}

function kronecker(layer: LayerReader): Factors {
  const w1 = layer.get('lokr_w1');
  const w2 = layer.get('lokr_w2');
  const [a1, b1] = w1 ? [] : [layer.need('lokr_w1_a'), layer.need('lokr_w1_b')];
  const [a2, b2] = w2 ? [] : [layer.need('lokr_w2_a'), layer.need('lokr_w2_b')];
  const t2 = w2 ? undefined : layer.get('lokr_t2');
  const left = w1 ? matrix(w1.shape) : productSize(a1?.shape ?? [], b1?.shape ?? []);
  const right = w2 ? matrix(w2.shape) : productSize(a2?.shape ?? [], b2?.shape ?? [], t2?.shape);
  const size = left && right && ([left[0] * right[0], left[1] * right[1]] as const);
  layer.requireSize(size, w1 ? 'lokr_w1' : 'lokr_w1_a');
  // Two whole factors have no rank; LyCORIS then takes alpha / rank as 1.
  const rank = (b2 ?? b1)?.shape[0] ?? 0;
  return { kind: 'kronecker', factors: [w1, a1, b1, w2, a2, b2, t2], rank };
}

function difference(layer: LayerReader, part: 'diff' | 'diff_b'): Factors {
  const diff = layer.need(part);
  layer.requireSize(matrix(diff.shape), part);
  return { kind: 'difference', factors: [diff], rank: 0 };
}

/** Which kind a layer is, by a tensor that only that kind has. */
const KINDS: readonly (readonly [part: RegExp, read: (layer: LayerReader) => Factors])[] = [
  [/^(up|down|mid)$/, lowRank],
  [/^hada_/, hadamard],
  [/^lokr_/, kronecker],
  [/^diff$/, (layer) => difference(layer, 'diff')],
];

function magnitudeOf(layer: LayerReader, shape: Shape): AdapterTerm['magnitude'] {
  const [rows, columns] = [shape[0] ?? 1, shape[1] ?? 1];
  const part = layer.get('magnitude') === undefined ? 'dora_scale' : 'magnitude';
  const source = layer.get(part);
  if (source === undefined) return undefined;
  const count = elementCount(source.shape);
  // PEFT's belong to rows. LyCORIS keeps the parameter's dimensions: [rows, 1, …] or [1, columns, …].
  const axis = part === 'dora_scale' && source.shape[0] === 1 && source.shape.length > 1 ? 1 : 0;
  if (count === (axis === 0 ? rows : columns)) return { source, axis };
  throw layer.misfit(part);
}

/**
 * The term of a layer's weight (`bias`: of its bias), or `undefined` when the adapter has none. `shape` is the
 * parameter's, [out, in, …].
 *
 * Throws ERR_WEIGHTS_MISSING for half a pair, ERR_WEIGHTS_SHAPE when the factors do not multiply to the
 * parameter's size, ERR_FILE_FORMAT for quantised factors.
 */
export function loraTerm(
  parts: LoraLayer,
  target: string,
  shape: Shape,
  { scale, ignoreAlpha, statedRatio }: LoraStrength,
): AdapterTerm | undefined {
  const layer = new LayerReader(parts, target, shape);
  if (target.endsWith('.bias')) {
    return parts.has('diff_b') ? term(difference(layer, 'diff_b'), scale, 1) : undefined;
  }
  const names = [...parts.keys()];
  const read = KINDS.find(([pattern]) => names.some((part) => pattern.test(part)))?.[1];
  if (read === undefined) return undefined;
  const factors = read(layer);
  const magnitude = magnitudeOf(layer, shape);
  if (ignoreAlpha || factors.rank === 0) return { ...term(factors, scale, 1), magnitude };
  const alpha = parts.get('alpha')?.source;
  if (alpha === undefined) return { ...term(factors, scale, statedRatio(factors.rank)), magnitude };
  if (elementCount(alpha.shape) !== 1) throw layer.misfit('alpha');
  return { ...term(factors, scale, 1 / factors.rank), alpha, magnitude };
}

function term({ kind, factors }: Factors, scale: number, ratio: number): AdapterTerm {
  return { kind, factors, scale, ratio };
}

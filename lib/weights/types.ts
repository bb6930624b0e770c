/**
 * The records that weight files are turned into. Every reader (safetensors, checkpoint, folder) ends in
 * the same list of {@link TensorSource}; every plan is a list of {@link Recipe}. No tensor data is ever
 * held in JavaScript: the engine reads the bytes that a plan points to.
 */

/** Element types as safetensors names them. */
export type DType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U8'
  | 'BOOL';

/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** Where the bytes of one tensor lie. */
export interface TensorSource {
  /** Absolute path of the file. */
  readonly file: string;
  /** First byte of the tensor's first element, from the start of the file. */
  readonly offset: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements, only when the tensor is not contiguous in row-major order. */
  readonly strides?: readonly number[];
}

/** A weight file after its header was read and checked. */
export interface TensorFile {
  readonly path: string;
  readonly format: 'safetensors' | 'checkpoint' | 'checkpoint-legacy';
  /** Size of the file in bytes. */
  readonly size: number;
  readonly tensors: ReadonlyMap<string, TensorSource>;
  /** `__metadata__` of a safetensors file; scalars beside the tensors of a checkpoint. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The networks of a pipeline. Each is one graph. */
export type Role = 'text_encoder' | 'unet' | 'vae_decoder' | 'vae_encoder';

/**
 * What an adapter adds to a parameter, and its factors in order (those in brackets may be undefined):
 * `low_rank` up, down, [mid]; `hadamard` (LoHa) w1_a, w1_b, w2_a, w2_b, [t1], [t2]; `kronecker` (LoKr) [w1],
 * [w1_a], [w1_b], [w2], [w2_a], [w2_b], [t2]; `difference` diff.
 */
export type TermKind = 'low_rank' | 'hadamard' | 'kronecker' | 'difference';

/** One adapter's part in one parameter: scale · ratio · alpha · delta, see `ad_term` of the C interface. */
export interface AdapterTerm {
  readonly kind: TermKind;
  readonly factors: readonly (TensorSource | undefined)[];
  readonly scale: number;
  /** 1 / rank where there is an alpha. */
  readonly ratio: number;
  /** A tensor of one number. */
  readonly alpha?: TensorSource;
  /** DoRA: lengths of the rows (axis 0) or columns (axis 1) of the sum of parameter and delta. */
  readonly magnitude?: { readonly source: TensorSource; readonly axis: 0 | 1 };
}

/** How one parameter of a graph is filled. */
export type Recipe =
  /**
   * Copy the source, cast to the engine's dtype, viewed in the target's shape (same element count). With
   * terms, source and terms are added in float32; with a factor the sum is multiplied by it. Rounded once.
   * `appended` are rows that follow those of a table: [n, width] or [width] each.
   */
  | {
      readonly kind: 'copy';
      readonly target: string;
      readonly shape: readonly number[];
      readonly source: TensorSource;
      readonly terms?: readonly AdapterTerm[];
      /** Default 1. */
      readonly factor?: number;
      readonly appended?: readonly TensorSource[];
    }
  /**
   * Position table [1, length, channels] of a motion module. Without a source, or when the source is the
   * sinusoid up to rounding, the exact sinusoid is computed; else the file's own table is used.
   */
  | {
      readonly kind: 'position_encoding';
      readonly target: string;
      readonly shape: readonly [1, number, number];
      readonly source?: TensorSource;
    };

/** Everything that one graph needs: each of its parameters exactly once. */
export interface WeightPlan {
  readonly role: Role;
  /** Name of the graph in `native/graphs/manifest.json`. */
  readonly graph: string;
  readonly recipes: readonly Recipe[];
}

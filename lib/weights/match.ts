/** Compares the tensors of a file with the parameters of the graphs, and picks the family that fits best. */
import type { GraphFamily, UNetTopology } from '../graphs.ts';
import type { CanonicalWeights, Part } from './canonical.ts';
import { sameUpToTrailingOnes } from './shapes.ts';
import type { TensorSource } from './types.ts';

type Shapes = ReadonlyMap<string, readonly number[]>;

/** How the tensors of one network compare with one family. */
export interface PartMatch {
  readonly family: GraphFamily;
  /** Parameters that are present in the right shape. */
  readonly matched: number;
  /** Parameters of the family, without position tables that the file leaves out. */
  readonly expected: number;
  readonly missing: readonly string[];
  readonly mismatched: readonly ShapeMismatch[];
  /** Tensors that the family has no parameter for. */
  readonly surplus: readonly string[];
}

export interface ShapeMismatch {
  readonly name: string;
  readonly expected: readonly number[];
  readonly actual: readonly number[];
}

/** Position tables [1, length, channels] of motion modules. Any length fits; the sinusoid can be recomputed. */
export function isPositionTable(name: string): boolean {
  return name.endsWith('.pos_encoder.pe');
}

/** True when the motion modules include one in the middle block: 21 modules instead of 20. */
export function hasMiddleMotion(motion: ReadonlyMap<string, unknown>): boolean {
  for (const name of motion.keys()) if (name.startsWith('mid_block.')) return true;
  return false;
}

/** Topology of the UNet for these motion modules. */
export function motionTopology(motion: ReadonlyMap<string, unknown>): UNetTopology {
  if (motion.size === 0) return 'unet';
  return hasMiddleMotion(motion) ? 'unet_motion_mid' : 'unet_motion';
}

/** The parameters of one network in a family. For `motion`: those in which the topology differs from `unet`. */
export function partParameters(
  family: GraphFamily,
  part: Part,
  topology: UNetTopology = 'unet_motion_mid',
): Shapes {
  const { graphs } = family;
  switch (part) {
    case 'unet':
      return new Map(Object.entries(graphs.unet.parameters));
    case 'textEncoder':
      return new Map(Object.entries(graphs.text_encoder.parameters));
    case 'vae':
      return new Map([
        ...Object.entries(graphs.vae_encoder.parameters),
        ...Object.entries(graphs.vae_decoder.parameters),
      ]);
    case 'motion': {
      const all = Object.entries(graphs[topology].parameters);
      return new Map(all.filter(([name]) => !Object.hasOwn(graphs.unet.parameters, name)));
    }
  }
}

/** The family that fits one network of a file best, or `undefined` when the file does not hold it. */
export function bestMatch(
  families: readonly GraphFamily[],
  part: Part,
  weights: CanonicalWeights,
): PartMatch | undefined {
  const tensors = weights.parts[part];
  if (tensors.size === 0) return undefined;
  const topology = motionTopology(weights.parts.motion);
  const matches = families.map((family) => compare(family, partParameters(family, part, topology), tensors));
  return matches.reduce((best, match) => (match.matched > best.matched ? match : best));
}

/** True when more than half of a family's parameters are there in its shapes: the same architecture. */
export function fits(match: PartMatch | undefined): match is PartMatch {
  return match !== undefined && match.matched * 2 > match.expected;
}

function compare(
  family: GraphFamily,
  parameters: Shapes,
  tensors: ReadonlyMap<string, TensorSource>,
): PartMatch {
  const missing: string[] = [];
  const mismatched: ShapeMismatch[] = [];
  let matched = 0;
  for (const [name, expected] of parameters) {
    const actual = tensors.get(name)?.shape;
    if (actual === undefined) {
      if (!isPositionTable(name)) missing.push(name);
    } else if (sameShape(name, expected, actual)) matched += 1;
    else mismatched.push({ name, expected, actual });
  }
  return {
    family,
    matched,
    expected: matched + missing.length + mismatched.length,
    missing,
    mismatched,
    surplus: [...tensors.keys()].filter((name) => !parameters.has(name)),
  };
}

/** Equal up to trailing ones; a position table may have any length. */
export function sameShape(name: string, expected: readonly number[], actual: readonly number[]): boolean {
  if (!isPositionTable(name)) return sameUpToTrailingOnes(expected, actual);
  return actual.length === 3 && actual[0] === 1 && (actual[1] ?? 0) > 0 && actual[2] === expected[2];
}

/**
 * The weight-free TorchScript graphs that ship with the package, as `native/graphs/manifest.json`
 * describes them. A family is one set of widths (SD 1.5, the tiny test model, …); within a family there
 * is one graph per network and topology.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AnimateDiffError } from './errors.ts';

/** Topology names of the UNet: no motion modules, 20 of them (v1, v3), 21 with one in the middle (v2). */
export type UNetTopology = 'unet' | 'unet_motion' | 'unet_motion_mid';

/** Every graph of a family. */
export type GraphKey = 'text_encoder' | 'vae_encoder' | 'vae_decoder' | UNetTopology;

/** One graph: where it is and which parameters it needs. */
export interface GraphInfo {
  /** File stem, unique over all families, such as `sd15-unet_motion_mid`. */
  readonly name: string;
  /** Parameter and buffer names with their shapes, in the order of the module. */
  readonly parameters: Readonly<Record<string, readonly number[]>>;
}

/** A set of widths for which graphs exist. */
export interface GraphFamily {
  readonly name: string;
  readonly graphs: Readonly<Record<GraphKey, GraphInfo>>;
  readonly config: {
    /** Image pixels per latent cell along each side (8 for SD 1.5). */
    readonly vaeScaleFactor: number;
    /** Latents are multiplied by this after encoding and divided before decoding. */
    readonly vaeScalingFactor: number;
    readonly latentChannels: number;
    readonly textLength: number;
    readonly vocabSize: number;
    /** Default side of an image in pixels. */
    readonly sampleSize: number;
  };
}

const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Folder of the graphs: `native/graphs` of this package. */
export const GRAPH_FOLDER = path.join(packageRoot, 'native', 'graphs');

let families: readonly GraphFamily[] | undefined;

/** All families, read once from the manifest. */
export function graphFamilies(): readonly GraphFamily[] {
  if (families === undefined) {
    const file = path.join(GRAPH_FOLDER, 'manifest.json');
    if (!existsSync(file)) {
      throw new AnimateDiffError(
        'ERR_NATIVE_NOT_FOUND',
        `The graphs of this package are missing: no ${file}. Reinstall animatediff-native.`,
      );
    }
    families = (JSON.parse(readFileSync(file, 'utf8')) as { families: GraphFamily[] }).families;
  }
  return families;
}

/** Absolute path of a graph's archive. */
export function graphFile(name: string): string {
  return path.join(GRAPH_FOLDER, `${name}.pt`);
}

/** Layers of a family's text encoder: 12 for SD 1.5. */
export function textLayers({ graphs }: GraphFamily): number {
  const layers = Object.keys(graphs.text_encoder.parameters).flatMap(
    (name) => /^text_model\.encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? [],
  );
  return new Set(layers).size;
}

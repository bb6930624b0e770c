/** Names that trainers give to one layer of a network: its own, that of LDM, that of diffusers' motion adapter. */
import { ldmUnetLayer } from './ldm-unet.ts';

/**
 * Every name of a layer of the UNet (canonical path without `.weight`, motion modules included), each with `_`
 * for every `.`, as {@link loraName} writes it.
 */
export function unetLayerNames(path: string): readonly string[] {
  const paths = [path, ldmUnetLayer(path), motionAdapterLayer(path)].filter((name) => name !== undefined);
  // AnimateDiff's own names leave out the index of the only layer with weights.
  const all = paths.flatMap((name) => (name.endsWith('.to_out.0') ? [name, name.slice(0, -2)] : [name]));
  return all.map((name) => name.replaceAll('.', '_'));
}

/** The same for the text encoder. transformers 5 leaves out `text_model.`. */
export function textLayerNames(path: string): readonly string[] {
  return [path, path.replace(/^text_model\./, '')].map((name) => name.replaceAll('.', '_'));
}

function motionAdapterLayer(path: string): string | undefined {
  if (!path.includes('.temporal_transformer.')) return undefined;
  return path
    .replace('.temporal_transformer.', '.')
    .replace(/\.attention_blocks\.(\d)\./, (_, index: string) => `.attn${Number(index) + 1}.`)
    .replace(/\.norms\.(\d)$/, (_, index: string) => `.norm${Number(index) + 1}`)
    .replace(/\.ff_norm$/, '.norm3');
}

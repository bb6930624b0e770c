/**
 * A package folder as far as the demo command sees it: its configurations beside a random model of the
 * demo's widths, with the names and layouts of the trained one.
 */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFamily } from './family.ts';
import { motionParameters, type Parameter, unetParameters } from './parameters.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { floatTensor, seededTensors, type Tensor } from './tensor.ts';
import { writeCheckpoint, writeMotionModule } from './tiny-model.ts';

const CONFIGS = fileURLToPath(new URL('../../configs/', import.meta.url));
const RANK = 4;

/** Files of `models/demo/`. */
const FILES = [
  'base.safetensors',
  'motion_module.safetensors',
  'neon.safetensors',
  'crayon_lora.safetensors',
  'zoom_in_motion_lora.safetensors',
  'pan_left_motion_lora.safetensors',
];

/** The demo's configurations in `configs/` of a folder; returns their folder. */
export function copyDemoConfigs(folder: string): string {
  const target = path.join(folder, 'configs');
  for (const name of readdirSync(CONFIGS).filter((file) => file.startsWith('demo'))) {
    cpSync(path.join(CONFIGS, name), path.join(target, name));
  }
  return target;
}

/** Files without content, of the right names, in `models/demo/` of a folder. */
export function writeEmptyDemoModel(folder: string): void {
  const target = path.join(folder, 'models', 'demo');
  mkdirSync(target, { recursive: true });
  for (const name of FILES) writeFileSync(path.join(target, name), '');
}

/** Two factors for every projection of an attention; `rename` gives the name without `.down.weight`. */
function loraTensors(
  parameters: Iterable<Parameter>,
  rename: (layer: string, factor: 'down' | 'up') => string,
  variant = 0,
): Tensor[] {
  const factors = [...parameters].flatMap(([name, shape]): Parameter[] => {
    const layer = /^(.*\.to_(?:[qkv]|out\.0))\.weight$/.exec(name)?.[1];
    const [outputs = 0, inputs = 0] = shape;
    if (layer === undefined) return [];
    return [
      [rename(layer, 'down'), [RANK, inputs]],
      [rename(layer, 'up'), [outputs, RANK]],
    ];
  });
  return seededTensors(factors, { dtype: 'F16', variant });
}

/** A LoRA of the UNet's attention in the layout of kohya-ss/sd-scripts, with alpha = rank. */
function writeKohyaLora(file: string): void {
  const key = (layer: string) => `lora_unet_${layer.replaceAll('.', '_')}`;
  const tensors = loraTensors(
    unetParameters(readFamily('demo').unet),
    (layer, factor) => `${key(layer)}.lora_${factor}.weight`,
  );
  const alphas = tensors
    .filter(({ name }) => name.endsWith('.lora_up.weight'))
    .map(({ name }) =>
      floatTensor(name.replace(/lora_up\.weight$/, 'alpha'), [], 'F16', () => Float32Array.of(RANK)),
    );
  writeSafetensors(file, [...tensors, ...alphas]);
}

/** A MotionLoRA in the layout of guoyww/AnimateDiff. */
function writeMotionLora(file: string, variant: number): void {
  const parameters = motionParameters(readFamily('demo').motion.v2);
  const rename = (layer: string, factor: 'down' | 'up') =>
    layer.replace(/\.(to_[qkv]|to_out)(\.0)?$/, `.processor.$1_lora.${factor}.weight`);
  writeSafetensors(file, loraTensors(parameters, rename, variant));
}

/** The random model in `models/demo/` of a folder. */
export function writeDemoModel(folder: string): void {
  const file = (name: string) => path.join(folder, 'models', 'demo', name);
  const model = { family: 'demo', dtype: 'F16' } as const;
  const style = { ...model, variant: 1, vae: false, textEncoder: false };
  writeCheckpoint(file('base.safetensors'), model);
  writeCheckpoint(file('neon.safetensors'), style);
  writeMotionModule(file('motion_module.safetensors'), { ...model, version: 'v2' });
  writeKohyaLora(file('crayon_lora.safetensors'));
  writeMotionLora(file('zoom_in_motion_lora.safetensors'), 1);
  writeMotionLora(file('pan_left_motion_lora.safetensors'), 2);
}

/** Writes two random LoRAs of the real sizes under kohya's names, for UNet and text encoder: tsx write-loras.ts FOLDER. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { layersOf, writeLora } from '../../test/lora/support/adapters.ts';
import { readFamily } from '../../test/support/family.ts';
import { textEncoderParameters, unetParameters } from '../../test/support/parameters.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('Expected a folder.');
const { unet, text_encoder: text } = readFamily('sd15');
const layers = [
  ...layersOf(
    'unet',
    unetParameters(unet),
    /\.attentions\.\d\.(proj_(in|out)|.*\.(to_\w|to_out\.0|ff\.net\.(0\.proj|2)))$/,
  ),
  ...layersOf('text_encoder', textEncoderParameters(text), /\.(self_attn\.\w+|mlp\.fc[12])$/),
];
for (const [name, rank] of [
  ['style_lora', 32],
  ['character_lora', 64],
] as const) {
  const file = path.join(folder, `${name}.safetensors`);
  if (!existsSync(file)) writeLora(file, 'kohya', { layers, rank, alpha: rank / 2, dtype: 'F16' });
}

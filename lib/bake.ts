/**
 * Writes what a pipeline holds, in the layout that was asked for. Other layouts than the engine's own archive are
 * made from one that lies beside the target meanwhile: so the file has the very bytes that the engine computes
 * with, and no network is in memory twice.
 */
import { ARCHIVE_DOCUMENT } from './archive.ts';
import { AnimateDiffError, invalidArgument } from './errors.ts';
import type { GraphFamily } from './graphs.ts';
import type { NativeEngine } from './native.ts';
import { BAKE_LAYOUTS, type BakeLayout } from './options.ts';
import { beside, writeChunks } from './output/write.ts';
import { requireChoice } from './validate.ts';
import { bakedName, type FileLayout } from './weights/baked-names.ts';
import { withBytes } from './weights/byte-source.ts';
import { type CopiedTensor, safetensorsChunks } from './weights/safetensors-writer.ts';
import { tensorBytes } from './weights/shapes.ts';
import { readTorchScript, type TorchScriptFile } from './weights/torchscript.ts';
import type { Role, TensorSource } from './weights/types.ts';

/** The layout for a file name; throws `ERR_INVALID_ARGUMENT` when they do not go together. */
export function bakeLayout(file: string, layout: BakeLayout | undefined): BakeLayout {
  const safetensors = file.endsWith('.safetensors');
  if (layout === undefined) return safetensors ? 'ldm' : 'torchscript';
  const chosen = requireChoice('layout', layout, BAKE_LAYOUTS);
  if ((chosen === 'torchscript') !== safetensors) return chosen;
  const ending = safetensors ? 'another ending than .safetensors' : 'the ending .safetensors';
  throw invalidArgument('file', `a name with ${ending} for the layout '${chosen}'`, file);
}

/** Writes all bound networks and `document`, the JSON that says what they are. */
export async function writeBaked(
  engine: NativeEngine,
  family: GraphFamily,
  document: string,
  target: string,
  layout: BakeLayout,
): Promise<void> {
  if (layout === 'torchscript') return engine.bake(target, document);
  await beside(target, async (temporary) => {
    await engine.bake(temporary, document);
    const archive = await readTorchScript(temporary);
    const tensors = await namedTensors(archive, layout, vaeLevels(family), target);
    // `format` is what transformers and diffusers ask of a file.
    const metadata = { format: 'pt', [ARCHIVE_DOCUMENT]: document };
    await writeChunks(target, safetensorsChunks(temporary, tensors, metadata));
  });
}

function vaeLevels({ graphs }: GraphFamily): number {
  const names = Object.keys(graphs.vae_decoder.parameters);
  return new Set(names.map((name) => /^decoder\.up_blocks\.(\d+)\./.exec(name)?.[1]).filter(Boolean)).size;
}

async function namedTensors(
  { path: file, tensors }: TorchScriptFile,
  layout: FileLayout,
  levels: number,
  target: string,
): Promise<CopiedTensor[]> {
  const named = new Map<string, CopiedTensor>();
  for (const [full, source] of tensors) {
    const dot = full.indexOf('.');
    const role = full.slice(0, dot) as Role;
    const place = bakedName(layout, role, full.slice(dot + 1), source.shape, levels);
    if (place === undefined || source.strides !== undefined) throw noPlace(target, full, layout);
    const other = named.get(place.name);
    if (other === undefined) named.set(place.name, { ...place, source });
    else if (!(await sameBytes(file, other.source, source))) throw noPlace(target, full, layout);
  }
  return [...named.values()];
}

/** Both position tables of a block share a name in diffusers, which is right where they are equal. */
function sameBytes(file: string, one: TensorSource, two: TensorSource): Promise<boolean> {
  return withBytes(file, async (bytes) => {
    const read = (source: TensorSource) => bytes.read(source.offset, tensorBytes(source));
    return (await read(one)).equals(await read(two));
  });
}

function noPlace(target: string, parameter: string, layout: FileLayout): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_OUTPUT',
    `Cannot write ${target}: the layout '${layout}' has no place for ${parameter}. Bake with another layout.`,
    { details: { path: target, layout, parameter } },
  );
}

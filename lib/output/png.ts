/** A single frame as PNG, with the parameters in text chunks. */
import type { ClipParameters } from '../options.ts';
import type { EncodeSettings, RgbFrames } from './frames.ts';
import { frameView } from './frames.ts';
import { METADATA_KEY, metadataJson, readableTexts, TEXT_KEY } from './metadata.ts';
import type { PngChunk } from './png-chunks.ts';
import { readChunks, textChunk, writePng } from './png-chunks.ts';
import { openFrames } from './sharp.ts';

/** The chunks of one frame, encoded by sharp as 8-bit RGB: IHDR, IDAT …, IEND. */
export async function frameChunks(frames: RgbFrames, index: number): Promise<PngChunk[]> {
  const frame = { ...frames, data: frameView(frames, index), frames: 1 };
  const png = await (await openFrames(frame))
    .png({ compressionLevel: 6, adaptiveFiltering: true })
    .toBuffer();
  const needed = new Set(['IHDR', 'IDAT', 'IEND']);
  return [...readChunks(png)].filter(({ type }) => needed.has(type));
}

/** Text chunks with the parameters, none without parameters. */
export function parameterChunks(parameters: readonly ClipParameters[]): PngChunk[] {
  if (parameters.length === 0) return [];
  return [textChunk(TEXT_KEY, readableTexts(parameters)), textChunk(METADATA_KEY, metadataJson(parameters))];
}

/** Encodes one frame of a clip. */
export async function encodePngFrame(
  frames: RgbFrames,
  index: number,
  parameters: readonly ClipParameters[],
): Promise<Uint8Array> {
  const [imageHeader, ...rest] = await frameChunks(frames, index);
  return writePng([imageHeader as PngChunk, ...parameterChunks(parameters), ...rest]);
}

/** Encodes the only frame. */
export async function encodePng(frames: RgbFrames, { parameters }: EncodeSettings): Promise<Uint8Array> {
  return await encodePngFrame(frames, 0, parameters);
}

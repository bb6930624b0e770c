/**
 * Several clips side by side in one animation, laid out as mmagic's `save_videos_grid` does it, which is
 * torchvision's `make_grid`: 2 black pixels around and between the clips; one clip alone has none.
 */
import { invalidArgument } from '../errors.ts';
import type { ClipParameters } from '../options.ts';
import type { SavedFile, SaveOptions } from './encode.ts';
import { saveFrames } from './encode.ts';
import type { RgbFrames } from './frames.ts';

const PADDING = 2;

/** What the grid needs of a clip. */
export interface GridClip {
  /** [frames, height, width, 3]. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly frameCount: number;
  readonly parameters: ClipParameters;
}

export interface GridOptions extends SaveOptions {
  /** Clips in a row. Default 4. */
  readonly columns?: number;
}

function checkClips(clips: readonly GridClip[], columns: number): GridClip {
  const [first] = clips;
  if (first === undefined) throw invalidArgument('clips', 'at least one clip', clips);
  if (!Number.isInteger(columns) || columns < 1)
    throw invalidArgument('columns', 'a positive whole number', columns);
  const shape = ({ frameCount, width, height }: GridClip) => `${frameCount} frames of ${width}x${height}`;
  for (const clip of clips) {
    if (shape(clip) !== shape(first))
      throw invalidArgument('clips', `clips of one size (${shape(first)})`, shape(clip));
  }
  return first;
}

/**
 * Joins clips of one size row by row: [frames, rows · (height + 2) + 2, columns · (width + 2) + 2, 3],
 * with as many rows as needed and black where clips are missing in the last one.
 *
 * @throws ERR_INVALID_ARGUMENT without clips, or for clips of different sizes
 */
export function joinClips(clips: readonly GridClip[], columns = 4): RgbFrames {
  const { data, width, height, frameCount } = checkClips(clips, columns);
  if (clips.length === 1) return { data, width, height, frames: frameCount };

  const across = Math.min(columns, clips.length);
  const down = Math.ceil(clips.length / across);
  const gridWidth = across * (width + PADDING) + PADDING;
  const gridHeight = down * (height + PADDING) + PADDING;
  const grid = new Uint8Array(frameCount * gridHeight * gridWidth * 3);
  for (const [index, clip] of clips.entries()) {
    const left = PADDING + (index % across) * (width + PADDING);
    const top = PADDING + Math.floor(index / across) * (height + PADDING);
    for (let frame = 0; frame < frameCount; frame++) {
      for (let y = 0; y < height; y++) {
        const from = (frame * height + y) * width * 3;
        const to = ((frame * gridHeight + top + y) * gridWidth + left) * 3;
        grid.set(clip.data.subarray(from, from + width * 3), to);
      }
    }
  }
  return { data: grid, width: gridWidth, height: gridHeight, frames: frameCount };
}

/**
 * Saves several clips of one size as one animation. The parameters of all of them travel in the file.
 *
 * @throws ERR_INVALID_ARGUMENT and ERR_OUTPUT as `Clip.save`
 */
export async function saveGrid(
  clips: readonly GridClip[],
  file: string,
  options: GridOptions = {},
): Promise<SavedFile> {
  const { columns, ...save } = options;
  const parameters = clips.map((clip) => clip.parameters);
  return await saveFrames(joinClips(clips, columns), file, parameters, save);
}

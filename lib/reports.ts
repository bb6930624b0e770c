/** What the engine reports while it works, as events for the user. */

import type { DecodedFrame, GenerateProgress, Preview } from './events.ts';
import { NATIVE_PHASES, type NativeProgress } from './native.ts';
import type { GenerateOptions } from './options.ts';

/** Absent where nobody listens. Frames are reported before the progress that counts them. */
export function reporter(
  onProgress: GenerateOptions['onProgress'],
  onFrame: GenerateOptions['onFrame'],
  framesPerClip: number,
): NativeProgress | undefined {
  if (onProgress === undefined && onFrame === undefined) return undefined;
  return (number, step, steps, pictures) => {
    const phase = NATIVE_PHASES[number] as GenerateProgress['phase'];
    if (phase === 'decode' && pictures !== undefined) {
      for (const frame of decodedFrames(pictures, step, framesPerClip)) onFrame?.(frame);
    }
    onProgress?.({ phase, step, steps, ...(phase === 'sample' && { preview: pictures }) });
  };
}

/** The frames of a report that ends with frame `done` of all clips. */
function decodedFrames(pictures: Preview, done: number, framesPerClip: number): DecodedFrame[] {
  const { data, frames, width, height } = pictures;
  const bytes = 3 * width * height;
  return Array.from({ length: frames }, (_, i) => {
    const index = done - frames + i;
    return {
      clip: Math.floor(index / framesPerClip),
      frame: index % framesPerClip,
      data: data.subarray(i * bytes, (i + 1) * bytes),
      width,
      height,
    };
  });
}

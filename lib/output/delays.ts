/** How long each frame is shown, in the whole units that a format can express. */

/**
 * Durations in units of 1/`unitsPerSecond` s. Each frame ends at the multiple of the unit that is nearest
 * to its exact end, so that the rounding never adds up: 8 fps in 1/100 s is 12, 13, 12, 13, …
 *
 * @param frames number of frames
 * @param fps frames per second
 * @param unitsPerSecond 100 for GIF, 1000 for WebP
 */
export function frameDelays(frames: number, fps: number, unitsPerSecond: number): number[] {
  const end = (count: number) => Math.ceil((count * unitsPerSecond) / fps - 0.5);
  return Array.from({ length: frames }, (_, i) => end(i + 1) - end(i));
}

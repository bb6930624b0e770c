/** Connected regions of binary pictures. A picture is one byte per pixel, row by row; 0 is outside. */

export interface Region {
  /** Places of its pixels. */
  readonly pixels: readonly number[];
}

/** Regions of pixels that have `value`, connected through their sides. */
export function findRegions(mask: Uint8Array, width: number, value: 0 | 1): Region[] {
  const seen = new Uint8Array(mask.length);
  const regions: Region[] = [];
  for (let start = 0; start < mask.length; start += 1) {
    if (seen[start] === 0 && mask[start] === value) regions.push(grow(mask, width, start, seen));
  }
  return regions;
}

/** The region around a pixel. */
function grow(mask: Uint8Array, width: number, start: number, seen: Uint8Array): Region {
  const value = mask[start];
  const pixels = [start];
  const visit = (pixel: number) => {
    if (seen[pixel] !== 0 || mask[pixel] !== value) return;
    seen[pixel] = 1;
    pixels.push(pixel);
  };
  seen[start] = 1;
  for (let i = 0; i < pixels.length; i += 1) {
    const pixel = pixels[i] as number;
    const x = pixel % width;
    if (x > 0) visit(pixel - 1);
    if (x < width - 1) visit(pixel + 1);
    if (pixel >= width) visit(pixel - width);
    if (pixel < mask.length - width) visit(pixel + width);
  }
  return { pixels };
}

/**
 * Distance of every pixel of the mask to the nearest one outside, in pixels (Borgefors' chamfer 3-4: two passes
 * over the picture). What is beyond the picture's edge is not outside.
 */
export function depth(mask: Uint8Array, width: number): Float32Array {
  const far = 3 * mask.length;
  const field = Float32Array.from(mask, (inside) => (inside === 0 ? 0 : far));
  const relax = (pixel: number, side: 1 | -1) => {
    const x = pixel % width;
    const before = x - side >= 0 && x - side < width;
    const after = x + side >= 0 && x + side < width;
    const row = pixel - side * width;
    let least = field[pixel] as number;
    if (before) least = Math.min(least, (field[pixel - side] as number) + 3);
    if (row >= 0 && row < mask.length) {
      least = Math.min(least, (field[row] as number) + 3);
      if (before) least = Math.min(least, (field[row - side] as number) + 4);
      if (after) least = Math.min(least, (field[row + side] as number) + 4);
    }
    field[pixel] = least;
  };
  for (let pixel = 0; pixel < mask.length; pixel += 1) if (mask[pixel] !== 0) relax(pixel, 1);
  for (let pixel = mask.length - 1; pixel >= 0; pixel -= 1) if (mask[pixel] !== 0) relax(pixel, -1);
  return field.map((value) => value / 3);
}

/** The mask with a border of `radius` pixels added. */
export function dilate(mask: Uint8Array, width: number, radius: number): Uint8Array {
  const away = depth(
    mask.map((value) => 1 - value),
    width,
  );
  return Uint8Array.from(away, (value) => (value <= radius ? 1 : 0));
}

/** The mask without a border of `radius` pixels. */
export function erode(mask: Uint8Array, width: number, radius: number): Uint8Array {
  return Uint8Array.from(depth(mask, width), (value) => (value > radius ? 1 : 0));
}

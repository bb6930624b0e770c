/** A reader with a fault behind four nested branches, which chance alone would need some four billion inputs for. */

export function readPlanted(input: Buffer): number {
  if (input[0] !== 0x41) return 0;
  if (input[1] !== 0x7f) return 1;
  if (input[2] !== 0x13) return 2;
  if (input[3] !== 0xee) return 3;
  throw new TypeError('planted fault');
}

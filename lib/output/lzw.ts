/** The compression of GIF: LZW with codes of 3 to 12 bits (GIF89a specification, appendix F). */

const MAX_WIDTH = 12;
const TABLE_SIZE = 1 << 14;
const EMPTY = -1;

/** Packs codes of changing width, least significant bit first, into sub-blocks of up to 255 bytes. */
class BlockWriter {
  readonly #bytes: Uint8Array;
  #length = 1;
  #blockStart = 0;
  #bits = 0;
  #bitCount = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  write(code: number, width: number): void {
    this.#bits |= code << this.#bitCount;
    this.#bitCount += width;
    while (this.#bitCount >= 8) this.#flushByte();
  }

  /** The finished sub-blocks, ended by an empty one. */
  finish(): Uint8Array {
    if (this.#bitCount > 0) this.#flushByte();
    const open = this.#length - this.#blockStart - 1;
    this.#bytes[this.#blockStart] = open;
    return this.#bytes.slice(0, this.#length + (open > 0 ? 1 : 0));
  }

  #flushByte(): void {
    this.#bytes[this.#length++] = this.#bits & 0xff;
    this.#bits >>>= 8;
    this.#bitCount -= 8;
    if (this.#length - this.#blockStart === 256) {
      this.#bytes[this.#blockStart] = 255;
      this.#blockStart = this.#length++;
    }
  }
}

/** Bytes that no image of this many pixels can exceed: one 12-bit code per pixel, clear codes, blocks. */
function capacity(pixels: number): number {
  const codeBytes = Math.ceil(((pixels + Math.ceil(pixels / 2048) + 3) * MAX_WIDTH) / 8);
  return codeBytes + Math.ceil(codeBytes / 255) + 16;
}

/**
 * Compresses colour indices into the image data of a GIF: the minimum code size, then sub-blocks.
 *
 * @param indices colour of each pixel, below `1 << bits`
 * @param bits bits of an index, 2–8
 */
export function compressIndices(indices: Uint8Array, bits: number): Uint8Array {
  const clear = 1 << bits;
  const end = clear + 1;
  const keys = new Int32Array(TABLE_SIZE).fill(EMPTY);
  const codes = new Uint16Array(TABLE_SIZE);
  const out = new BlockWriter(capacity(indices.length));
  let next = end + 1;
  let width = bits + 1;

  out.write(clear, width);
  let prefix = indices[0] as number;
  for (let i = 1; i < indices.length; i++) {
    const index = indices[i] as number;
    const key = (prefix << 8) | index;
    let slot = (Math.imul(key, 0x9e3779b1) >>> 18) & (TABLE_SIZE - 1);
    while (keys[slot] !== EMPTY && keys[slot] !== key) slot = (slot + 1) & (TABLE_SIZE - 1);
    if (keys[slot] === key) {
      prefix = codes[slot] as number;
      continue;
    }
    out.write(prefix, width);
    prefix = index;
    if (next === 1 << MAX_WIDTH) {
      out.write(clear, width);
      keys.fill(EMPTY);
      next = end + 1;
      width = bits + 1;
    } else {
      // The decoder learns a code one step later, so the width grows with the code that needs it.
      if (next === 1 << width) width++;
      keys[slot] = key;
      codes[slot] = next++;
    }
  }
  out.write(prefix, width);
  out.write(end, width);

  const blocks = out.finish();
  const data = new Uint8Array(blocks.length + 1);
  data[0] = bits;
  data.set(blocks, 1);
  return data;
}

/** Cursor over the bytes of a pickle. Every length is checked against what is left before it is used. */
import { corruptFile, unsafePickle } from './file-errors.ts';

/** Longest line of a text opcode: a decimal number, a module or class name, a protocol 0 string. */
const MAX_LINE = 1 << 20;
const NEWLINE = 10;

export class PickleInput {
  readonly file: string;
  position: number;
  readonly #bytes: Buffer;

  constructor(file: string, bytes: Buffer, position: number) {
    this.file = file;
    this.#bytes = bytes;
    this.position = position;
  }

  take(length: number): Buffer {
    const end = this.position + length;
    if (!(length >= 0 && end <= this.#bytes.length)) {
      throw corruptFile(
        this.file,
        `its pickle ends after ${this.#bytes.length} bytes where more are expected`,
        {
          reason: 'truncated',
        },
      );
    }
    const bytes = this.#bytes.subarray(this.position, end);
    this.position = end;
    return bytes;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16LE();
  }

  i32(): number {
    return this.take(4).readInt32LE();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** A length; beyond 2^53 it is rounded, and then longer than any input anyway. */
  u64(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  f64(): number {
    return this.take(8).readDoubleBE();
  }

  /** Bytes up to a newline, as Latin-1 text without it. */
  line(): string {
    const end = this.#bytes.indexOf(NEWLINE, this.position);
    if (end < 0) return this.take(this.#bytes.length + 1).toString();
    if (end - this.position > MAX_LINE) throw unsafePickle(this.file, 'a line of it is over 1 MiB long');
    const text = this.take(end - this.position).toString('latin1');
    this.position += 1;
    return text;
  }
}

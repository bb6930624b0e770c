/** The result of one prompt: pixels, what made them, and the ways to save them. */
import { invalidArgument } from './errors.ts';
import type { ClipParameters } from './options.ts';
import type { SavedFile, SaveOptions } from './output/encode.ts';
import { saveFrames } from './output/encode.ts';
import type { RgbFrames } from './output/frames.ts';
import { frameView } from './output/frames.ts';

/** One picture of a clip. */
export interface Frame {
  /** [height, width, 3], RGB, 0–255; a view into the clip's memory. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly index: number;
}

/** Size of a clip. */
export interface ClipSize {
  readonly frames: number;
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
}

/** Frames for `for` and for `for await`. */
export type FrameSequence = Iterable<Frame> & AsyncIterable<Frame>;

/** An animation in memory. */
export class Clip {
  /** RGB bytes of all frames, one after the other: [frames, height, width, 3], 0–255. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Red, green, blue. */
  readonly channels = 3;
  readonly frameCount: number;
  /** Everything that made this clip. */
  readonly parameters: ClipParameters;

  /**
   * @param data [frames, height, width, 3], RGB, 0–255; kept, not copied
   * @throws ERR_INVALID_ARGUMENT when the size is not positive or does not fit the data
   */
  constructor(data: Uint8Array, size: ClipSize, parameters: ClipParameters) {
    for (const [name, value] of Object.entries(size)) {
      if (!Number.isInteger(value) || value < 1)
        throw invalidArgument(name, 'a positive whole number', value);
    }
    const bytes = size.frames * size.height * size.width * 3;
    if (data.length !== bytes) {
      throw invalidArgument(
        'data',
        `${bytes} bytes of RGB (${size.frames}x${size.height}x${size.width}x3)`,
        data.length,
      );
    }
    this.data = data;
    this.width = size.width;
    this.height = size.height;
    this.frameCount = size.frames;
    this.parameters = parameters;
  }

  /**
   * Pixels of one frame, [height, width, 3], as a view into `data`.
   *
   * @param index from 0
   * @throws ERR_INVALID_ARGUMENT beyond the last frame
   */
  frame(index: number): Uint8Array {
    if (!Number.isInteger(index) || index < 0 || index >= this.frameCount) {
      throw invalidArgument('index', `a frame from 0 to ${this.frameCount - 1}`, index);
    }
    return frameView(this.#pixels, index);
  }

  /** All frames in order. */
  frames(): FrameSequence {
    const at = (index: number): Frame => {
      return { data: this.frame(index), width: this.width, height: this.height, channels: 3, index };
    };
    const count = this.frameCount;
    return {
      *[Symbol.iterator]() {
        for (let index = 0; index < count; index++) yield at(index);
      },
      async *[Symbol.asyncIterator]() {
        for (let index = 0; index < count; index++) yield at(index);
      },
    };
  }

  /**
   * Saves the clip: `.gif`, `.webp`, `.apng`, `.png` for a single frame, or a folder of numbered PNG files
   * for a path that has no extension or ends in a separator. The result appears whole or not at all.
   *
   * @throws ERR_INVALID_ARGUMENT for an option or format that does not suit the clip
   * @throws ERR_OUTPUT when the result cannot be encoded or written
   */
  async save(path: string, options: SaveOptions = {}): Promise<SavedFile> {
    return await saveFrames(this.#pixels, path, [this.parameters], options);
  }

  get #pixels(): RgbFrames {
    return { data: this.data, width: this.width, height: this.height, frames: this.frameCount };
  }
}

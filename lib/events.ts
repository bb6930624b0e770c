/** What the public API reports while it loads and generates. */

/** Reports how loading goes on. */
export interface LoadProgress {
  readonly phase: 'download' | 'plan' | 'weights';
  /** Name of the file that is being fetched (`download`). */
  readonly file?: string;
  /** Network that is being filled. */
  readonly role?: 'text_encoder' | 'unet' | 'vae_decoder' | 'vae_encoder';
  /** Bytes fetched of this file, or read over all networks; so far and in total, 0 where that is not known. */
  readonly done: number;
  readonly total: number;
}

/** Something a user should know that is not an error: kept networks, truncated prompts, chosen versions. */
export interface Notice {
  /** Stable identifier such as `prompt-truncated`. */
  readonly code: string;
  readonly message: string;
}

/** A picture of the current estimate of the clip at latent size. */
export interface Preview {
  /** RGB bytes of all frames, one after the other. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

/** One finished frame of a clip whose later frames are still being decoded. */
export interface DecodedFrame {
  /** Number of the clip in the batch, from 0. */
  readonly clip: number;
  /** Number of the frame in its clip, from 0. */
  readonly frame: number;
  /** RGB bytes, row by row: those that the clip will have. A copy. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface GenerateProgress {
  readonly phase: 'text' | 'sample' | 'decode';
  /** Steps done and in total (`sample`), or frames done and in total (`decode`). */
  readonly step: number;
  readonly steps: number;
  /** Only in phase `sample` and when `preview` was asked for; of the first clip of the batch. */
  readonly preview?: Preview;
}

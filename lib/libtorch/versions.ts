/**
 * Which LibTorch this package works with. There is no binary compatibility between minor versions of
 * LibTorch, so the engine runs only with the minor version that it was compiled for.
 */

/** The version that `install` fetches and that the prebuilt engine was compiled for. */
export const LIBTORCH_VERSION = '2.13.0';

/** Minor versions that the sources compile against. */
export const BUILD_MINORS: readonly string[] = ['2.13', '2.11'];

/** `2.13` of `2.13.0+cpu`; the text itself when it is not a version. */
export function minorOf(version: string): string {
  return /^(\d+\.\d+)(?=\.|$)/.exec(version)?.[1] ?? version;
}

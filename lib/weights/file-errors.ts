/** The sentences for weight files that cannot be used as they are. */
import { AnimateDiffError, type ErrorDetails } from '../errors.ts';

/** A file that breaks its own format: truncated, inconsistent, or not what its header says. */
export function corruptFile(file: string, what: string, details: ErrorDetails = {}, cause?: unknown) {
  return new AnimateDiffError(
    'ERR_FILE_CORRUPT',
    `${file} is damaged: ${what}. Download or copy the file again.`,
    { cause, details: { file, ...details } },
  );
}

/** A file of a format that is not read; `wayOut` is a whole sentence. */
export function unreadableFormat(file: string, what: string, wayOut: string, details: ErrorDetails = {}) {
  return new AnimateDiffError('ERR_FILE_FORMAT', `${file} ${what}. ${wayOut}`, {
    details: { file, ...details },
  });
}

/** A pickle that is malformed or asks for more than a checkpoint of tensors needs. */
export function unsafePickle(file: string, what: string, details: ErrorDetails = {}) {
  return new AnimateDiffError(
    'ERR_PICKLE',
    `${file} contains a pickle that cannot be read safely: ${what}. Use a .safetensors version of this model.`,
    { details: { file, ...details } },
  );
}

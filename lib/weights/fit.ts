/** Refuses a file that was given for an option it is not meant for, and says what it is. */
import { AnimateDiffError, type ErrorCode } from '../errors.ts';
import type { GraphFamily } from '../graphs.ts';
import { unreadableFormat } from './file-errors.ts';
import type { OpenedModel } from './identify.ts';
import { KIND_USES, type Use } from './kinds.ts';
import { isSupportedMotion } from './motion-version.ts';

const EXPECTED: Readonly<Record<Use, string>> = {
  base: 'a Stable Diffusion 1.5 checkpoint (.safetensors, .ckpt) or diffusers folder',
  checkpoint: 'a personalised Stable Diffusion 1.5 checkpoint',
  vae: 'a VAE of Stable Diffusion 1.x (.safetensors, .ckpt, .pt) or a diffusers VAE folder',
  motionModule: 'an AnimateDiff motion module such as mm_sd_v15_v2.ckpt, or a MotionAdapter folder',
  loras: 'a LoRA, MotionLoRA or domain adapter for Stable Diffusion 1.5',
  embeddings: 'a textual inversion for Stable Diffusion 1.5 (.safetensors, .pt, .bin)',
};

/**
 * Throws ERR_WRONG_KIND when the file is of another kind, ERR_UNSUPPORTED_MODEL when it is of the right kind
 * and of an architecture without graphs, ERR_FILE_FORMAT when two of its tensors stand for one parameter.
 */
export function requireUse(model: OpenedModel, use: Use, families: readonly GraphFamily[]): void {
  const { kind, architecture, holds, motion, usableAs } = model.identity;
  const foreign = kind === 'unknown' && architecture !== null && architecture !== 'unknown';
  if (foreign) throw refusal('ERR_UNSUPPORTED_MODEL', model, use);
  if (!KIND_USES[kind].includes(use) && !usableAs.includes(use)) throw refusal('ERR_WRONG_KIND', model, use);
  if (use === 'motionModule') {
    if (motion === null || !isSupportedMotion(motion.version))
      throw refusal('ERR_UNSUPPORTED_MODEL', model, use);
  } else if ((holds.unet || use === 'vae') && !families.some(({ name }) => name === architecture)) {
    throw refusal('ERR_UNSUPPORTED_MODEL', model, use);
  }
  const [twice] = model.weights.duplicates;
  if (twice !== undefined) {
    throw unreadableFormat(
      model.path,
      `has two tensors for one parameter, the second named '${twice}'`,
      'Give a file with one set of weights.',
      { tensor: twice },
    );
  }
}

function refusal(code: ErrorCode, { path, identity }: OpenedModel, use: Use): AnimateDiffError {
  const [other] = identity.usableAs;
  const verdict = code === 'ERR_WRONG_KIND' ? `not what \`${use}\` takes` : 'which is not supported';
  const hint = other === undefined ? '' : ` This file fits \`${other}\`.`;
  return new AnimateDiffError(
    code,
    `${path} is ${identity.description}, ${verdict}. Expected ${EXPECTED[use]} for \`${use}\`.${hint}`,
    { details: { file: path, option: use, kind: identity.kind, architecture: identity.architecture } },
  );
}

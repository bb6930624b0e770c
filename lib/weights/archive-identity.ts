/** What `inspect` says about a TorchScript archive: what it was baked from, or why it is of no use here. */
import type { ArchiveMetadata } from '../archive.ts';
import { archiveMetadata } from './archive-plan.ts';
import type { Identity } from './identity.ts';
import type { TorchScriptFile } from './torchscript.ts';

type ArchiveFacts = Pick<Identity, 'usableAs' | 'reason'> &
  Partial<Pick<Identity, 'description' | 'architecture' | 'holds' | 'motion'>>;

/** Throws ERR_FILE_CORRUPT when the archive's own description is not of this version. */
export function archiveFacts(archive: TorchScriptFile): ArchiveFacts {
  if (archive.extra === undefined) return { usableAs: [], reason: 'it is not one that `bake` wrote' };
  const metadata = archiveMetadata(archive);
  const { family, motion } = metadata;
  const names = [...archive.tensors.keys()];
  const has = (prefix: string) => names.some((name) => name.startsWith(prefix));
  return {
    description: describeArchive(metadata),
    architecture: family,
    holds: {
      unet: has('unet.'),
      motion: motion !== undefined,
      vae: has('vae_decoder.'),
      textEncoder: has('text_encoder.'),
    },
    motion: motion === undefined ? null : { ...motion, stated: true, assumed: false },
    usableAs: ['base'],
    reason: null,
  };
}

/** `a baked archive of base.safetensors, mm_sd_v15_v2.ckpt (sd15, float16)` */
function describeArchive({ sources, family, dtype }: ArchiveMetadata): string {
  const loras = sources.loras?.map(({ file }) => file) ?? [];
  const embeddings = sources.embeddings?.map(({ file }) => file) ?? [];
  const names = [
    sources.base,
    sources.checkpoint,
    sources.vae,
    sources.motionModule,
    ...loras,
    ...embeddings,
  ].filter((name) => name !== undefined);
  return `a baked archive of ${names.join(', ')} (${family}, ${dtype})`;
}

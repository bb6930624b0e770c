/** Hashes that files are checked against: SHA-256, and the object id that git gives a small file. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** Hash that a file must have, in lower-case hexadecimal digits. */
export type Checksum =
  | { readonly sha256: string; readonly gitOid?: undefined }
  | { readonly gitOid: string; readonly sha256?: undefined };

/** Name of the hash as it is told to users. */
export function checksumName(expected: Checksum): string {
  return expected.sha256 === undefined ? 'git object id' : 'SHA-256';
}

export function checksumDigest(expected: Checksum): string {
  return expected.sha256 ?? expected.gitOid;
}

/** The digest of `file` by the algorithm of `expected`, in lower-case hexadecimal digits. */
export async function hashFile(file: string, expected: Checksum, signal?: AbortSignal): Promise<string> {
  const hash = createHash(expected.sha256 === undefined ? 'sha1' : 'sha256');
  // git hashes a header and the content: `blob <size>\0`.
  if (expected.sha256 === undefined) hash.update(`blob ${(await stat(file)).size}\0`);
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest('hex');
}

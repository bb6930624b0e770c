/** The name that people know a model by. */
import path from 'node:path';

/** Name of a file or folder; of a folder in the hub's cache, which is named after a commit, the repository. */
export function modelName(file: string): string {
  const repository = /[\\/]models--([^\\/]+)[\\/]snapshots[\\/][^\\/]+$/.exec(file)?.[1];
  return repository?.replace('--', '/') ?? path.basename(file);
}

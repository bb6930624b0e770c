/** Makes sure that there is a LibTorch to compile against, by the package's own finder and installer. */
import { say } from './run.mjs';
import { importBuilt } from './typescript.mjs';

/** Where a LibTorch with headers lies; one is fetched into the cache when there is none. */
export async function ensureLibTorch() {
  const { findLibTorch } = await importBuilt('libtorch/find.js');
  const { readEnvironment } = await importBuilt('environment.js');
  const request = { purpose: 'build', device: 'cpu' };
  try {
    return findLibTorch(request);
  } catch (error) {
    const missing = ['ERR_LIBTORCH_NOT_FOUND', 'ERR_LIBTORCH_VERSION'].includes(error.code);
    // A variable that names a wrong folder is for the user to correct.
    if (!missing || readEnvironment().libtorch !== undefined) throw error;
  }
  await fetchLibTorch();
  return findLibTorch(request);
}

async function fetchLibTorch() {
  const { install } = await importBuilt('libtorch/install.js');
  const { libtorchCache } = await importBuilt('libtorch/cache.js');
  const { readEnvironment } = await importBuilt('environment.js');
  say(`fetching LibTorch for the CPU (120 to 540 MB) into ${libtorchCache(readEnvironment().cacheFolder)}`);
  const abort = new AbortController();
  const stop = () => abort.abort(new Error('interrupted'));
  process.once('SIGINT', stop);
  let last = '';
  try {
    await install({
      device: 'cpu',
      signal: abort.signal,
      onProgress: ({ phase, name, done, total }) => {
        const tenth = total ? Math.floor((10 * done) / total) : 0;
        const line = `${phase} ${name}${total ? ` ${tenth * 10} %` : ''}`;
        if (line !== last) console.error(`  ${line}`);
        last = line;
      },
    });
  } finally {
    process.off('SIGINT', stop);
  }
}

/** Prints the folder of the LibTorch that an offline bundle is compiled against: what the package itself would find. */
import { findLibTorch } from '../../dist/libtorch/find.js';

try {
  console.log(findLibTorch({ purpose: 'build', device: 'auto' }).root);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}

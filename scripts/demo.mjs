/**
 * The first animation of a fresh checkout: sets everything up, then runs `animatediff-native demo` with the
 * same arguments.
 */
import process from 'node:process';
import { main } from './run.mjs';
import { setup } from './setup.mjs';
import { importBuilt } from './typescript.mjs';

await main(async () => {
  await setup();
  const { main: runCommandLine } = await importBuilt('cli/main.js');
  const { services } = await importBuilt('cli/services.js');
  process.argv.splice(2, 0, 'demo');
  await runCommandLine(services);
});

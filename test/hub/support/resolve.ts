/** A process that wants a file: prints the path of the source that is its argument. */
import { resolveSource } from '../../../lib/hub/resolve.ts';

process.stdout.write(`${await resolveSource(process.argv[2] ?? '')}\n`);

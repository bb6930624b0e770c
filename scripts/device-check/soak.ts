/** Many clips in a row: nothing may grow after the first round. */
import { type Findings, runProgram, type Subject } from './process.ts';
import type { Held, SoakJob } from './soak-run.ts';

/** The allocators of the C library and of V8 move by some pages; what they hold may not grow by more after a warm-up. */
const RESIDENT_LIMIT = 24 * 2 ** 20;

/** Clips of a round: four shapes with each of four choices of LoRAs. */
const ROUND = 16;

function growth(rounds: readonly Held[], name: 'device' | 'devicePeak' | 'host' | 'resident'): number {
  return (rounds.at(-1)?.[name] ?? Number.NaN) - (rounds[0]?.[name] ?? Number.NaN);
}

export async function checkSoak({ flags, files, say }: Subject): Promise<Findings> {
  const { device, size, frames, steps, threads } = flags;
  const clips = Math.max(flags.clips, 2 * ROUND);
  const job: SoakJob = {
    load: {
      ...{ base: files.checkpoint, motionModule: files.motionModule, device },
      ...(threads > 0 && { threads }),
    },
    ...{ loras: files.loras, size, frames, steps: Math.max(2, steps), clips },
  };
  say(`${clips} clips in a row`);
  const rounds = await runProgram<Held[]>('soak-run.ts', job);
  const problems = (['device', 'devicePeak', 'host'] as const)
    .filter((name) => growth(rounds, name) > 0)
    .map((name) => `${name} grew by ${growth(rounds, name)} bytes after the first round`);
  if (growth(rounds, 'resident') > RESIDENT_LIMIT)
    problems.push(`resident memory grew by ${growth(rounds, 'resident')} bytes after the first round`);
  return { problems, facts: { rounds } };
}

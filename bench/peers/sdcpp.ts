/**
 * stable-diffusion.cpp (leejet/stable-diffusion.cpp, docs/animatediff.md): one run of `sd-cli` makes a clip from the
 * same files. It draws other noise, so that its pictures are not compared, and tells its times in its log.
 */
import path from 'node:path';
import type { Answer, Work } from '../job.ts';
import { runProgram } from '../turns.ts';

/** Seconds of every line of the log that matches. */
function secondsAfter(log: string, pattern: RegExp): readonly number[] {
  return [...log.matchAll(pattern)].map(([, seconds, unit]) => Number(seconds) / (unit === 'ms' ? 1000 : 1));
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** What a log says: `sampling completed, taking 9.64s`, `latent 1 decoded, taking 984ms`. */
export function readLog(log: string, steps: number): Answer['values'] {
  const sampling = secondsAfter(log, /sampling[^\n]* completed, taking ([\d.]+) ?(ms|s)/g);
  const decoding = secondsAfter(
    log,
    /(?:latent \d+ decoded|decode_first_stage completed), taking ([\d.]+) ?(ms|s)/g,
  );
  const loading = secondsAfter(log, /loading (?:tensors|model[^\n]*) completed, taking ([\d.]+) ?(ms|s)/g);
  const whole = secondsAfter(log, /generate_video completed in ([\d.]+) ?(ms|s)/g);
  const values = (numbers: readonly number[]) => numbers.map((value) => ({ value }));
  return {
    ...(sampling.length > 0 && { step: values([sum(sampling) / steps]) }),
    ...(decoding.length > 0 && { decode: values([sum(decoding)]) }),
    ...(loading.length > 0 && { load: values([sum(loading)]) }),
    ...(whole.length > 0 && { clip: values([sum(whole)]), firstFrame: values([sum(whole)]) }),
  };
}

/** @param program path of `sd-cli` */
export async function runStableDiffusionCpp(work: Work, out: string, program: string): Promise<Answer> {
  const flags = {
    '-M': 'vid_gen',
    '--model': work.checkpoint,
    '--motion-module': work.motionModule,
    '-p': work.prompt,
    '-n': work.negativePrompt,
    '--cfg-scale': work.guidanceScale,
    '--sampling-method': 'euler',
    '--scheduler': 'discrete',
    '-W': work.size,
    '-H': work.size,
    '--video-frames': work.frames,
    '--steps': work.steps,
    '-s': Number(BigInt(work.seed) % 2n ** 31n),
    '-t': work.threads,
    '-o': path.join(out, 'clip.avi'),
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [flag, String(value)]);
  const { output } = await runProgram(program, [...args, '--diffusion-fa'], work);
  return {
    versions: { 'stable-diffusion.cpp': /version[: ]+(\S+)/i.exec(output)?.[1] ?? 'unknown' },
    threads: work.threads,
    dtype: 'float16',
    weights: 0,
    cpu: 0,
    values: readLog(output, work.steps),
  };
}

/** Which of the peers that were asked for can run here. */
import { spawnSync } from 'node:child_process';
import { referencePython } from '../../scripts/full-check/python.mjs';
import type { Flags } from '../flags.ts';
import type { PeerName } from '../sides.ts';
import type { Programs } from '../turns.ts';

/** Modules that the peers in Python import. */
const MODULES = ['torch', 'diffusers', 'transformers', 'safetensors', 'peft'];

/** What is missing, as a sentence; undefined when everything is there. */
function missing(python: string): string | undefined {
  const program = `import importlib.util as u; print(*[m for m in ${JSON.stringify(MODULES)} if not u.find_spec(m)])`;
  const { status, stdout, error } = spawnSync(python, ['-c', program], { encoding: 'utf8' });
  if (error !== undefined || status !== 0) return `${python} does not run`;
  return stdout.trim() === '' ? undefined : `${python} has no ${stdout.trim().replaceAll(' ', ', ')}`;
}

/** The interpreter, or why there is none. */
async function findPython(given: string | undefined): Promise<{ python?: string; reason?: string }> {
  try {
    const python = await referencePython(given);
    const reason = missing(python);
    return reason === undefined ? { python } : { reason };
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

/** Without Python this package is measured alone, or against peers that need none. */
export async function findPeers(
  { against, python: given, sdcpp }: Pick<Flags, 'against' | 'python' | 'sdcpp'>,
  say: (text: string) => void,
): Promise<{ readonly peers: readonly PeerName[]; readonly programs: Programs }> {
  const inPython = against.filter((name) => name !== 'sdcpp');
  const others = against.filter((name) => name === 'sdcpp');
  if (against.length === 0) say('This package alone: --against names no peer.');
  if (inPython.length === 0) return { peers: others, programs: { sdcpp } };
  const { python, reason } = await findPython(given);
  if (python !== undefined) return { peers: against, programs: { python, sdcpp } };
  const who = others.length === 0 ? 'This package alone' : `Only against ${others.join(', ')}`;
  say(`${who}: ${inPython.join(', ')} cannot run, since ${reason}.`);
  return { peers: others, programs: { sdcpp } };
}

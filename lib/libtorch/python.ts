/**
 * Finds the `torch` package of a Python installation without importing it: an import takes seconds and
 * loads the libraries, and only the folder is wanted.
 */
import { spawnSync } from 'node:child_process';

/** What a Python interpreter said. */
export type PythonTorch =
  /** It has torch in this folder. */
  | { readonly interpreter: string; readonly folder: string }
  /** It has none, or could not be asked. */
  | { readonly interpreter: string | undefined; readonly problem: string };

// `-c` puts the current folder first on sys.path, where any folder named torch would be taken for the
// package. A package without __init__.py has no origin, so that such a folder elsewhere does not count.
const SCRIPT = `
import importlib.util, json, os, sys
sys.path = [entry for entry in sys.path if entry]
spec = importlib.util.find_spec('torch')
origin = spec.origin if spec else None
print(json.dumps([sys.executable, os.path.dirname(origin) if origin else None]))
`;

/** Longest time that an interpreter may take to answer, in milliseconds. */
const TIMEOUT = 15_000;

/** Asks `python` (a command of the PATH or a path) where its torch lies. Never throws. */
export function pythonTorch(python: string): PythonTorch {
  const answer = spawnSync(python, ['-c', SCRIPT], { encoding: 'utf8', timeout: TIMEOUT });
  if (answer.error !== undefined)
    return { interpreter: undefined, problem: startProblem(python, answer.error) };
  const [interpreter, folder] = parse(answer.stdout);
  if (interpreter === undefined) {
    const reason = answer.stderr.trim().split('\n').at(-1) || `exit status ${answer.status}`;
    return { interpreter: undefined, problem: `${python} could not be asked: ${reason}` };
  }
  return folder ? { interpreter, folder } : { interpreter, problem: `${interpreter} has no torch` };
}

function parse(output: string): readonly [string?, string?] {
  try {
    const [interpreter, folder] = JSON.parse(output) as [string, string | null];
    return [interpreter, folder ?? undefined];
  } catch {
    return [];
  }
}

function startProblem(python: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return `${python} was not found`;
  if (error.code === 'ETIMEDOUT') return `${python} gave no answer within ${TIMEOUT / 1000} s`;
  return `${python} could not be started: ${error.message}`;
}

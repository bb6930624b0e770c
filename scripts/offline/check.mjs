/**
 * Tries a bundle as its user does: in an empty folder, with an empty home, without network, and with no Node on the
 * PATH, it is unpacked, compiled, and makes the demo's clip on the CPU.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { Failure, run, say } from '../run.mjs';

/** All that a GPU server is expected to have. */
const TOOLS = [
  ...['sh', 'env', 'dirname', 'readlink', 'nproc', 'rm', 'mkdir', 'cat', 'uname', 'ldconfig', 'nvidia-smi'],
  ...[
    'cmake',
    'ninja',
    'make',
    'c++',
    'cc',
    'g++',
    'gcc',
    'ar',
    'ranlib',
    'ld',
    'as',
    'nm',
    'strip',
    'objdump',
    'nvcc',
  ],
  ...['python3', 'tar', 'xz', 'ccache'],
];

/** A folder with these programs alone. Scripts rather than links: some programs look for their parts beside them. */
function toolFolder(folder) {
  mkdirSync(folder);
  for (const tool of TOOLS) {
    const { stdout, status } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' });
    if (status !== 0) continue;
    const program = tool === 'python3' ? pythonProgram() : stdout.trim();
    writeFileSync(path.join(folder, tool), `#!/bin/sh\nexec '${program}' "$@"\n`, { mode: 0o755 });
  }
}

/** The interpreter itself: version managers start it through a script that needs the home folder. */
function pythonProgram() {
  return execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
}

/** Arguments that take the network away, or none where the system does not allow that. */
function withoutNetwork() {
  const unshare = ['unshare', '--map-root-user', '--net'];
  if (spawnSync(unshare[0], [...unshare.slice(1), 'true']).status === 0) return unshare;
  say('this system allows no empty network: the check runs with the one there is');
  return [];
}

/** @param {string} archive @param {{ models: boolean }} options */
export async function checkBundle(archive, { models }) {
  const root = mkdtempSync(path.join(os.tmpdir(), 'animatediff-offline-'));
  try {
    const [tools, home, place] = ['tools', 'home', 'place'].map((name) => path.join(root, name));
    toolFolder(tools);
    mkdirSync(home);
    mkdirSync(place);
    const launchers = Object.entries(process.env).filter(([name]) =>
      /^CMAKE_.*_LAUNCHER$|^CCACHE_/.test(name),
    );
    const variables = [`PATH=${tools}`, `HOME=${home}`, ...launchers.map((entry) => entry.join('='))];
    const alone = async (folder, ...command) => {
      say(command.join(' '));
      const [program, ...args] = [...withoutNetwork(), 'env', '-i', ...variables, ...command];
      await run(program, args, { cwd: folder });
    };
    await alone(place, 'tar', '-xf', path.resolve(archive));
    const folder = path.join(place, readdirSync(place)[0]);
    await alone(folder, './install.sh', '--jobs', '1');
    if (models) {
      await alone(folder, './animatediff-native', 'demo', '--device', 'cpu', '--out', 'demo.gif');
      if (readFileSync(path.join(folder, 'demo.gif')).subarray(0, 6).toString('latin1') !== 'GIF89a')
        throw new Failure('The demo wrote no GIF.');
    }
    say('the bundle works');
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

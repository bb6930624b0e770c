/** The command line as a process: exit codes, streams, signals. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../lib/cli/index.ts', import.meta.url));
const SLOW_CLI = fileURLToPath(new URL('slow-cli.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

let folder = '';
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'animatediff-cli-'));
});
after(() => rm(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a script; `onStderr` sees all of stderr so far, each time that there is more. */
function start(
  script: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStderr: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const inherited = {
    ...process.env,
    CI: undefined,
    NO_COLOR: undefined,
    FORCE_COLOR: undefined,
    DEBUG: undefined,
  };
  const child = spawn(process.execPath, ['--import', TSX, script, ...argv], {
    cwd: folder,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text.stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text.stderr += chunk;
    onStderr(text.stderr, (signal) => child.kill(signal));
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...text }));
  });
}

const cli = (...argv: string[]) => start(CLI, argv);

describe('the process', () => {
  it('exits with 0 after help and version, and prints them on stdout', async () => {
    const [help, version] = await Promise.all([cli('--help'), cli('--version')]);
    assert.deepEqual([help.code, help.stderr, version.code, version.stderr], [0, '', 0, '']);
    assert.match(help.stdout, /^animatediff-native <command>/);
    assert.match(version.stdout, /^\d+\.\d+\.\d+\S*\n$/);
  });

  it('exits with 2 after a wrong use and tells it on stderr in one block', async () => {
    const { code, stdout, stderr } = await cli('generate', '--fraems', '3');
    assert.deepEqual([code, stdout], [2, '']);
    const help = 'Run `animatediff-native generate --help` for what can be given.';
    assert.equal(
      stderr,
      `error: Unknown flag \`--fraems\`. Did you mean \`--frames\`? ${help}\ncode: ERR_INVALID_ARGUMENT\n`,
    );
  });

  it('exits with 1 after a failure, and prints one JSON document with --json', async () => {
    const { code, stdout, stderr } = await cli('generate', 'nowhere.yaml', '--json');
    assert.equal(code, 1);
    assert.equal(JSON.parse(stdout).error.code, 'ERR_FILE_NOT_FOUND');
    assert.match(stderr, /^error: nowhere\.yaml: .*\ncode: ERR_FILE_NOT_FOUND\n$/);
  });

  it('reaches the real inspection of weight files', async () => {
    const { code, stdout } = await cli('inspect', 'nowhere.safetensors', '--json');
    assert.equal(code, 1);
    assert.equal(JSON.parse(stdout).files[0].error.code, 'ERR_FILE_NOT_FOUND');
  });

  it('prints a stack when DEBUG asks for it', async () => {
    const { stderr } = await start(CLI, ['generate', 'nowhere.yaml'], { DEBUG: '*' });
    assert.match(stderr, /\n {4}at .*\n.*caused by: Error: ENOENT/s);
  });

  it('prints completion for the shell that is used', async () => {
    const [bash, zsh] = await Promise.all([
      start(CLI, ['completion'], { SHELL: '/bin/bash', ZSH_NAME: undefined }),
      start(CLI, ['completion'], { SHELL: '/bin/zsh' }),
    ]);
    assert.match(bash.stdout, /complete -o bashdefault .* animatediff-native\n/);
    assert.match(zsh.stdout, /#compdef animatediff-native\n/);
  });
});

describe('Ctrl-C on the process', () => {
  const argv = ['generate', '--base', 'a.ckpt', '-p', 'x', '-o', 'run', '--frames', '2'];
  const sampling = /sample {2}13\/25/;

  it('stops within the step, exits with 130 and leaves no files', async () => {
    let sent = false;
    const ended = await start(SLOW_CLI, argv, {}, (text, kill) => {
      if (sent || !sampling.test(text)) return;
      sent = true;
      kill('SIGINT');
    });
    assert.deepEqual([ended.code, ended.signal, ended.stdout], [130, null, '']);
    assert.match(ended.stderr, /Stopping\. Press Ctrl-C again to end at once\.\nInterrupted by SIGINT\.\n$/);
    assert.deepEqual(await readdir(path.join(folder, 'run')), []);
  });

  it('is a JSON document on stdout too with --json', async () => {
    let sent = false;
    const ended = await start(SLOW_CLI, [...argv, '--json'], {}, (text, kill) => {
      if (sent || !sampling.test(text)) return;
      sent = true;
      kill('SIGINT');
    });
    assert.equal(ended.code, 130);
    assert.equal(JSON.parse(ended.stdout).error.code, 'ABORT_ERR');
  });

  it('ends the process at once the second time, even when nothing listens', async () => {
    let sent = 0;
    const ended = await start(SLOW_CLI, argv, { SLOW_STUBBORN: '1' }, (text, kill) => {
      if (sent === 0 && sampling.test(text)) {
        sent = 1;
        kill('SIGINT');
      } else if (sent === 1 && text.includes('again to end at once')) {
        sent = 2;
        kill('SIGINT');
      }
    });
    assert.deepEqual([ended.code, ended.signal], [null, 'SIGINT']);
  });
});

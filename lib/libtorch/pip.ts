/**
 * Uses Python's pip: to learn which wheels a requirement leads to without downloading them, to fetch a
 * wheel, and to put build tools into a private folder.
 *
 * Only `pip install --dry-run --report` tells address and hash of a wheel, and the pips of distributions
 * are not up to it: 22.0 (Ubuntu 22.04) has no report, and everything up to 25.0 downloads every wheel (2.5 GB
 * for CUDA) to write one. pip 25.3 with `fast-deps` reads the metadata by range requests instead and needs
 * seconds, so that version is put into the cache first (2 MB); the system's pip only installs it.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Environment, readEnvironment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';

const PIP_VERSION = '25.3';

/** A wheel as the Python index describes it. */
export interface Wheel {
  /** Normalised name of the project, such as `nvidia-cublas`. */
  readonly name: string;
  readonly version: string;
  /** https:, http: or file: address. */
  readonly url: string;
  /** 64 hexadecimal digits; undefined where the index gives none. */
  readonly sha256: string | undefined;
  /** Its requirements, as its metadata words them. */
  readonly requires: readonly string[];
}

export interface PipOptions {
  readonly environment?: Environment;
  readonly signal?: AbortSignal;
}

export interface ResolveOptions extends PipOptions {
  /** Also everything that it needs. Default false. */
  readonly dependencies?: boolean;
  /** An index to ask beside the one that pip is configured for. */
  readonly extraIndex?: string;
}

interface Report {
  readonly install: readonly {
    readonly download_info: {
      readonly url: string;
      readonly archive_info?: { readonly hash?: string; readonly hashes?: { readonly sha256?: string } };
    };
    readonly metadata: {
      readonly name: string;
      readonly version: string;
      readonly requires_dist?: readonly string[];
    };
  }[];
}

// The wheel is unpacked and never imported, so that its Python may be another than the one that runs pip.
const PYTHON_VERSIONS = [undefined, '3.12', '3.11'];

/**
 * The wheels that pip would install for `requirement` on this machine, without downloading them.
 *
 * @throws ERR_DOWNLOAD when there is no Python with pip, or no index has such a wheel.
 */
export async function resolveWheels(
  requirement: string,
  options: ResolveOptions = {},
): Promise<readonly Wheel[]> {
  const flags = [
    'install',
    '--dry-run',
    '--quiet',
    '--ignore-installed',
    '--only-binary',
    ':all:',
    '--report',
    '-',
  ];
  flags.push('--use-feature', 'fast-deps');
  if (options.dependencies !== true) flags.push('--no-deps');
  if (options.extraIndex !== undefined) flags.push('--extra-index-url', options.extraIndex);
  let failure: unknown;
  for (const version of PYTHON_VERSIONS) {
    try {
      const output = await pip(
        [...flags, ...(version ? ['--python-version', version] : []), requirement],
        options,
      );
      return (JSON.parse(output) as Report).install.map(toWheel);
    } catch (error) {
      // Asking for other versions of Python can only help when this one has no wheel; the first reason is the real one.
      failure ??= error;
      if (!/No matching distribution/.test((error as Error).message)) break;
    }
  }
  throw failure;
}

function toWheel({ download_info: download, metadata }: Report['install'][number]): Wheel {
  return {
    name: metadata.name.toLowerCase().replace(/[-_.]+/g, '-'),
    version: metadata.version,
    url: download.url,
    sha256:
      download.archive_info?.hashes?.sha256 ?? /^sha256=(.+)$/.exec(download.archive_info?.hash ?? '')?.[1],
    requires: metadata.requires_dist ?? [],
  };
}

/** Fetches exactly `wheel` into `folder` with pip's own credentials and certificates; returns its path. */
export async function downloadWheel(wheel: Wheel, folder: string, options: PipOptions = {}): Promise<string> {
  const flags = ['download', '--quiet', '--no-deps', '--only-binary', ':all:', '--dest', folder];
  await pip([...flags, `${wheel.name}===${wheel.version}`], options);
  return path.join(folder, decodeURIComponent(path.basename(new URL(wheel.url).pathname)));
}

/**
 * The folder with the Python package `name` at `version`, installed into `<cache>/tools` the first time.
 * Nothing outside that folder changes.
 */
export async function ensurePackage(
  name: string,
  version: string,
  options: PipOptions = {},
): Promise<string> {
  return await installInto(`${name}-${version}`, [`${name}==${version}`], options, pip);
}

/** The same for several packages that belong into one folder, `<cache>/tools/<folder>`. */
export async function ensurePackages(
  folder: string,
  requirements: readonly string[],
  options: PipOptions = {},
): Promise<string> {
  return await installInto(folder, requirements, options, pip);
}

type Pip = (args: readonly string[], options: PipOptions) => Promise<string>;

async function installInto(
  name: string,
  requirements: readonly string[],
  options: PipOptions,
  run: Pip,
): Promise<string> {
  const tools = path.join((options.environment ?? readEnvironment()).cacheFolder, 'tools');
  const folder = path.join(tools, name);
  if (existsSync(folder)) return folder;
  await mkdir(tools, { recursive: true });
  const unfinished = await mkdtemp(path.join(tools, `.${name}-`));
  try {
    const flags = ['install', '--quiet', '--no-deps', '--only-binary', ':all:', '--target', unfinished];
    await run([...flags, ...requirements], options);
    await rename(unfinished, folder).catch((error) => {
      // Another process was faster.
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Runs the pinned pip; the system's own where the pinned one cannot be had, such as in a closed network. */
async function pip(args: readonly string[], options: PipOptions): Promise<string> {
  const folder = await installInto(`pip-${PIP_VERSION}`, [`pip==${PIP_VERSION}`], options, systemPip).catch(
    (error) => {
      if (options.signal?.aborted || isMissing(error)) throw error;
      return undefined;
    },
  );
  return await python(args, options, folder);
}

async function systemPip(args: readonly string[], options: PipOptions): Promise<string> {
  return await python(args, options, undefined);
}

function isMissing(error: unknown): boolean {
  return error instanceof AnimateDiffError && error.details.missing === true;
}

/** Runs `python -m pip`, with the packages of `pythonPath` before the installed ones. */
function python(
  args: readonly string[],
  options: PipOptions,
  pythonPath: string | undefined,
): Promise<string> {
  const { python: command } = options.environment ?? readEnvironment();
  const variables = {
    ...process.env,
    ...(pythonPath && { PYTHONPATH: pythonPath }),
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PIP_NO_INPUT: '1',
    // Settings of a user's pip.conf that contradict --target.
    PIP_USER: '0',
    PIP_REQUIRE_VIRTUALENV: '0',
    PIP_ROOT_USER_ACTION: 'ignore',
  };
  return new Promise((resolve, reject) => {
    const child = spawn(command, ['-m', 'pip', ...args], {
      env: variables,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: options.signal,
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    child.on('error', (error) => {
      reject(options.signal?.aborted ? options.signal.reason : cannotStart(command, error));
    });
    child.on('close', (status) => {
      if (status === 0) resolve(Buffer.concat(output).toString());
      else reject(pipFailure(command, args, Buffer.concat(errors).toString(), status));
    });
  });
}

const WAY_OUT =
  'Install Python 3 with pip (Debian: apt-get install python3 python3-pip), or name another interpreter in ANIMATEDIFF_PYTHON.';

function cannotStart(command: string, cause: Error): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_DOWNLOAD',
    `${command} could not be started: ${cause.message}. ${WAY_OUT}`,
    {
      cause,
      details: { missing: true, command },
    },
  );
}

function pipFailure(
  command: string,
  args: readonly string[],
  stderr: string,
  status: number | null,
): AnimateDiffError {
  if (/No module named pip/.test(stderr)) {
    return new AnimateDiffError('ERR_DOWNLOAD', `${command} has no pip. ${WAY_OUT}`, {
      details: { missing: true, command },
    });
  }
  const lines = stderr.split('\n').filter((line) => line.trim() && !line.startsWith('WARNING'));
  const reason = lines.slice(-4).join('\n') || `exit status ${status}`;
  return new AnimateDiffError('ERR_DOWNLOAD', `\`pip ${args[0]} ${args.at(-1)}\` failed:\n${reason}`, {
    details: { command, status },
  });
}

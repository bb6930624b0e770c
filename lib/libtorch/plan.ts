/**
 * Decides what `install` fetches. For the CPU that is the official archive where it can be reached, else the
 * torch wheel of the Python index; for CUDA the torch wheel and NVIDIA's wheels, since the official CUDA
 * archive lacks NVIDIA's libraries and expects them laid out as pip does.
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Dispatcher, fetch } from 'undici';
import { type Environment, readEnvironment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';
import { httpClient } from '../hub/http.ts';
import { libtorchCache, readCached } from './cache.ts';
import { resolveWheels, type Wheel } from './pip.ts';
import { assertPlatform, currentPlatform } from './platform.ts';
import type { Layout } from './unpack.ts';
import { LIBTORCH_VERSION } from './versions.ts';

/** One download. */
export interface Artefact {
  /** File name. */
  readonly name: string;
  readonly layout: Layout;
  /** http:, https: or file: address. */
  readonly url: string;
  readonly sha256: string;
  /** Size in bytes; undefined where the server does not tell. */
  readonly bytes: number | undefined;
  /** The wheel, where the artefact is one. */
  readonly wheel?: Wheel;
}

/** What `install` would do. */
export interface InstallPlan {
  readonly device: 'cpu' | 'cuda';
  /** Version as LibTorch names itself, such as `2.13.0+cpu`. */
  readonly version: string;
  /** Folder that it will be in. */
  readonly folder: string;
  /** It is already there. */
  readonly installed: boolean;
  readonly artefacts: readonly Artefact[];
  /** Sum over the artefacts; undefined when a size is unknown. */
  readonly bytes: number | undefined;
  /** Things worth knowing, such as why the archive is not used. */
  readonly notes: readonly string[];
}

export interface PlanOptions {
  /** Default `cpu`. */
  readonly device?: 'cpu' | 'cuda';
  /** Default {@link LIBTORCH_VERSION}. */
  readonly version?: string;
  readonly environment?: Environment;
  readonly signal?: AbortSignal;
}

const DOWNLOADS = 'https://download.pytorch.org';
const PROBE_TIMEOUT = 10_000;

/** Size and hash of the official CPU archives for Linux on x64. */
const ARCHIVES: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>> = {
  '2.13.0': {
    bytes: 126_385_248,
    sha256: 'edbf4cbed78433d803e90a65f1752e57783d164bce66c95c0872b2ab8f5c159e',
  },
};

/** What the CPU half of a CUDA build is linked with (its profiler), besides its own libraries. */
const NEEDED_BY_CPU_HALF: readonly string[] = ['nvidia-cuda-runtime', 'nvidia-cuda-cupti'];

interface Resolved {
  readonly version: string;
  readonly artefacts: readonly Artefact[];
  readonly notes: readonly string[];
}

interface Request {
  readonly version: string;
  readonly environment: Environment;
  readonly signal: AbortSignal | undefined;
  readonly client: Dispatcher;
}

/**
 * Finds out what must be fetched, from where, and how large it is. Downloads nothing but descriptions.
 *
 * @throws ERR_PLATFORM, ERR_DOWNLOAD when there is no source for it.
 */
export async function planInstall(options: PlanOptions = {}): Promise<InstallPlan> {
  assertPlatform();
  const { device = 'cpu', version = LIBTORCH_VERSION, signal } = options;
  const environment = options.environment ?? readEnvironment();
  const client = httpClient(environment.proxy);
  try {
    const resolved = await RESOLVERS[device]({ version, environment, signal, client });
    const folder = path.join(libtorchCache(environment.cacheFolder), resolved.version);
    const sizes = resolved.artefacts.map(({ bytes }) => bytes);
    const bytes = sizes.reduce(
      (sum, size) => (sum === undefined || size === undefined ? undefined : sum + size),
      0,
    );
    return { device, ...resolved, folder, installed: typeof readCached(folder) !== 'string', bytes };
  } finally {
    await client.destroy();
  }
}

const RESOLVERS: Readonly<Record<'cpu' | 'cuda', (request: Request) => Promise<Resolved>>> = {
  cpu: resolveCpu,
  cuda: resolveCuda,
};

async function resolveCpu(request: Request): Promise<Resolved> {
  const { version, environment } = request;
  const known = currentPlatform().arch === 'x64' ? ARCHIVES[version] : undefined;
  const base = environment.libtorchMirror ?? DOWNLOADS;
  if (known === undefined) return await resolveCpuWheel(request, `${base}/whl/cpu`);
  const name = `libtorch-shared-with-deps-${version}%2Bcpu.zip`;
  const url = `${base}/libtorch/cpu/${name}`;
  const problem = await probe(url, request);
  if (problem === undefined) {
    const archive: Artefact = { name: decodeURIComponent(name), layout: 'archive', url, ...known };
    return { version: `${version}+cpu`, artefacts: [archive], notes: [] };
  }
  // Who names a mirror wants that mirror and not the Python index.
  if (environment.libtorchMirror !== undefined) {
    throw new AnimateDiffError(
      'ERR_DOWNLOAD',
      `ANIMATEDIFF_LIBTORCH_MIRROR is ${environment.libtorchMirror}, and ${url} cannot be fetched: ${problem}. Correct the variable or unset it.`,
      { details: { url } },
    );
  }
  const wheel = await resolveCpuWheel(request, undefined);
  return {
    ...wheel,
    notes: [`${new URL(url).host} cannot be used (${problem}); taking the Python wheel.`, ...wheel.notes],
  };
}

/** The torch wheel; where the index has none for the CPU, the CPU half of the CUDA wheel. */
async function resolveCpuWheel(request: Request, extraIndex: string | undefined): Promise<Resolved> {
  const usable = extraIndex !== undefined && (await probe(`${extraIndex}/torch/`, request)) === undefined;
  const options = { ...request, extraIndex: usable ? extraIndex : undefined };
  const [torch] = await resolveWheels(`torch==${request.version}`, options);
  if (torch === undefined) throw missingTorch(request.version);
  if (!isCudaBuild(torch)) {
    const artefacts = await toArtefacts([torch], () => 'torch-wheel', request);
    return {
      version: torch.version.includes('+') ? torch.version : `${torch.version}+cpu`,
      artefacts,
      notes: [],
    };
  }
  const wheels = await resolveWheels(`torch===${torch.version}`, { ...options, dependencies: true });
  const needed = wheels.filter(({ name }) => name === 'torch' || NEEDED_BY_CPU_HALF.includes(name));
  return {
    version: `${cudaVersion(wheels, torch)}-cpu`,
    artefacts: await toArtefacts(
      needed,
      (name) => (name === 'torch' ? 'torch-wheel-cpu' : 'nvidia-wheel'),
      request,
    ),
    notes: ['The Python index has only a CUDA build of torch; of that the CPU half is kept.'],
  };
}

async function resolveCuda(request: Request): Promise<Resolved> {
  // `===` leaves out builds with a local version, such as 2.13.0+cpu of an extra index.
  const wheels = await resolveWheels(`torch===${request.version}`, { ...request, dependencies: true });
  const torch = wheels.find(({ name }) => name === 'torch');
  if (torch === undefined) throw missingTorch(request.version);
  if (!isCudaBuild(torch)) {
    throw new AnimateDiffError(
      'ERR_DOWNLOAD',
      `The Python index has only a CPU build of torch ${request.version} for this machine. Set pip's index to one with CUDA builds, or set ANIMATEDIFF_LIBTORCH to the folder of a CUDA build.`,
      { details: { version: torch.version } },
    );
  }
  const needed = wheels.filter(({ name }) => name === 'torch' || name.startsWith('nvidia-'));
  return {
    version: cudaVersion(wheels, torch),
    artefacts: await toArtefacts(
      needed,
      (name) => (name === 'torch' ? 'torch-wheel' : 'nvidia-wheel'),
      request,
    ),
    notes: [],
  };
}

function isCudaBuild(torch: Wheel): boolean {
  return torch.requires.some((requirement) => /^(nvidia-|cuda-toolkit)/.test(requirement));
}

/** `2.13.0+cu130` from the version of the CUDA libraries that torch asks for. */
function cudaVersion(wheels: readonly Wheel[], torch: Wheel): string {
  const runtime = wheels.find(({ name }) => /^nvidia-cuda-runtime/.test(name))?.version;
  const [major, minor] = runtime?.split('.') ?? [];
  const version = torch.version.split('+')[0];
  return major === undefined ? `${version}+cuda` : `${version}+cu${major}${minor ?? 0}`;
}

async function toArtefacts(
  wheels: readonly Wheel[],
  layout: (name: string) => Layout,
  { client, signal }: Request,
): Promise<readonly Artefact[]> {
  return await Promise.all(
    wheels.map(async (wheel) => {
      const { url, sha256 } = wheel;
      const name = decodeURIComponent(path.posix.basename(new URL(url).pathname));
      if (sha256 === undefined) {
        throw new AnimateDiffError(
          'ERR_CHECKSUM',
          `The Python index gives no hash for ${name}, so that the download could not be checked. Use an index with hashes, or set ANIMATEDIFF_LIBTORCH to the folder of a LibTorch.`,
          { details: { url } },
        );
      }
      return {
        name,
        layout: layout(wheel.name),
        url,
        sha256,
        bytes: await sizeOf(url, client, signal),
        wheel,
      };
    }),
  );
}

function missingTorch(version: string): AnimateDiffError {
  return new AnimateDiffError('ERR_DOWNLOAD', `pip found no torch ${version} for this machine.`, {
    details: { version },
  });
}

/** Why `url` cannot be fetched, or undefined when it can. */
async function probe(url: string, { client, signal }: Request): Promise<string | undefined> {
  if (url.startsWith('file:')) {
    return await stat(fileURLToPath(url)).then(
      () => undefined,
      (error: Error) => error.message,
    );
  }
  const timeout = AbortSignal.timeout(PROBE_TIMEOUT);
  try {
    const response = await fetch(url, {
      method: 'HEAD',
      dispatcher: client,
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    return response.ok ? undefined : `it answered ${response.status}`;
  } catch (error) {
    signal?.throwIfAborted();
    const { message, cause } = error as Error;
    return cause instanceof Error ? cause.message || message : message;
  }
}

async function sizeOf(
  url: string,
  client: Dispatcher,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  if (url.startsWith('file:')) return (await stat(fileURLToPath(url)).catch(() => undefined))?.size;
  const timeout = AbortSignal.timeout(PROBE_TIMEOUT);
  try {
    const response = await fetch(url, { method: 'HEAD', dispatcher: client, signal: signal ?? timeout });
    const length = response.headers.get('content-length');
    return response.ok && length !== null ? Number(length) : undefined;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

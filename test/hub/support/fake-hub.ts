/** The parts of the Hugging Face hub and of CivitAI that this package asks, on this machine. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { type Environment, readEnvironment, type Variables } from '../../../lib/environment.ts';
import { temporaryFolder } from '../../libtorch/support/folders.ts';
import { serve, startServer, type TestServer } from '../../libtorch/support/server.ts';

export const COMMIT = 'c0ffee'.padEnd(40, '0');

export const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

export const gitOid = (data: Buffer): string =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');

/** Weights are kept as large files, everything else in git. */
export const isLarge = (name: string): boolean => /\.(safetensors|ckpt|bin)$/.test(name);

/** The name that a file has among the blobs of a cache. */
export const blobName = (name: string, data: Buffer): string => (isLarge(name) ? sha256(data) : gitOid(data));

export type Files = Readonly<Record<string, Buffer>>;

/** Answers a request in the place of the hub, or leaves it to the hub by returning false. */
export type Interference = (request: IncomingMessage, response: ServerResponse, url: URL) => boolean;

export interface FakeHub extends TestServer {
  /** Environment of a machine with empty caches that knows this hub only. */
  readonly environment: Environment;
  /** What other variables make of it. */
  with(variables: Variables): Environment;
  readonly cacheFolder: string;
  readonly variables: Record<string, string>;
  /** Requests of one path, by its end. */
  asked(end: string): number;
}

export interface FakeHubOptions {
  readonly repo?: string;
  /** Commit of `main`. */
  readonly commit?: () => string;
  readonly interfere?: Interference;
}

function json(response: ServerResponse, value: unknown): true {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  return true;
}

function listing(files: Files): unknown[] {
  const folders = new Set(Object.keys(files).map((name) => path.posix.dirname(name)));
  folders.delete('.');
  const entries = Object.entries(files).map(([name, data]) => ({
    type: 'file',
    path: name,
    size: data.length,
    oid: gitOid(data),
    ...(isLarge(name) ? { lfs: { oid: sha256(data), size: data.length, pointerSize: 134 } } : {}),
  }));
  return [
    ...[...folders].map((name) => ({ type: 'directory', path: name, size: 0, oid: COMMIT })),
    ...entries,
  ];
}

/** A hub with one repository. */
export async function startHub(files: Files, options: FakeHubOptions = {}): Promise<FakeHub> {
  const { repo = 'owner/repo', commit = () => COMMIT, interfere = () => false } = options;
  const answer = (url: URL, request: IncomingMessage, response: ServerResponse): boolean => {
    const pathname = decodeURIComponent(url.pathname);
    if (
      pathname === `/api/models/${repo}/revision/main` ||
      pathname === `/api/models/${repo}/revision/${commit()}`
    )
      return json(response, { _id: '1', id: repo, sha: commit(), private: false, gated: false });
    if (pathname === `/api/models/${repo}/tree/${commit()}`) return json(response, listing(files));
    const data = files[pathname.replace(`/${repo}/resolve/${commit()}/`, '')];
    if (data === undefined) return false;
    serve(data, request, response);
    return true;
  };
  const server = await startServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://hub');
    if (interfere(request, response, url) || answer(url, request, response)) return;
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"Repository not found"}');
  });
  const home = temporaryFolder();
  const variables = {
    HF_HOME: path.join(home, 'huggingface'),
    HF_ENDPOINT: server.address,
    ANIMATEDIFF_CACHE: path.join(home, 'own'),
    CIVITAI_ENDPOINT: server.address,
  };
  const environment = readEnvironment(variables);
  return {
    ...server,
    environment,
    variables,
    with: (more) => readEnvironment({ ...variables, ...more }),
    cacheFolder: environment.huggingFace.cacheFolder,
    asked: (end) => server.requests.filter(({ url }) => url.split('?')[0]?.endsWith(end)).length,
  };
}

/** A diffusers folder with everything that repositories have, needed or not. */
export function diffusersRepo(extra: Files = {}): Files {
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const components = { unet: 'UNet2DConditionModel', vae: 'AutoencoderKL', text_encoder: 'CLIPTextModel' };
  const index = Object.fromEntries(
    Object.entries(components).map(([name, type]) => [name, ['diffusers', type]]),
  );
  return {
    'README.md': Buffer.from('# A model\n'),
    'model_index.json': text({
      _class_name: 'StableDiffusionPipeline',
      ...index,
      safety_checker: [null, null],
    }),
    'scheduler/scheduler_config.json': text({ beta_schedule: 'scaled_linear' }),
    'unet/config.json': text({ in_channels: 4 }),
    'unet/diffusion_pytorch_model.safetensors': Buffer.alloc(3000, 'unet'),
    'unet/diffusion_pytorch_model.fp16.safetensors': Buffer.alloc(1500, 'half'),
    'unet/diffusion_pytorch_model.bin': Buffer.alloc(3000, 'pickle'),
    'vae/config.json': text({ latent_channels: 4 }),
    'vae/diffusion_pytorch_model.safetensors': Buffer.alloc(2000, 'vae'),
    'text_encoder/config.json': text({ hidden_size: 768 }),
    'text_encoder/model.safetensors': Buffer.alloc(1000, 'clip'),
    'tokenizer/vocab.json': text({}),
    'safety_checker/model.safetensors': Buffer.alloc(4000, 'no'),
    'v1-5-pruned.ckpt': Buffer.alloc(9000, 'all'),
    ...extra,
  };
}

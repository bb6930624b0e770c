/**
 * Where a model file comes from, as users write it: a path, `hf:owner/repo[@revision][/file]`,
 * `civitai:<modelVersionId>`, or `https://…#sha256=…`. Addresses of the two sites, as they are copied from a
 * browser, are understood too. Touches neither disk nor network.
 */
import { homedir } from 'node:os';
import path from 'node:path';
import { AnimateDiffError, seen } from '../errors.ts';
import { redacted } from '../redact.ts';

/** A file or folder on this machine. */
export interface LocalSource {
  readonly kind: 'local';
  /** As it was given. */
  readonly path: string;
}

/** A file of a repository of the Hugging Face hub, or a diffusers folder. */
export interface HubSource {
  readonly kind: 'hf';
  /** `owner/name`. */
  readonly repo: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** File or folder in the repository; undefined for all of it. */
  readonly path: string | undefined;
}

/** The main file of a version of a model on CivitAI. */
export interface CivitaiSource {
  readonly kind: 'civitai';
  /** Number of the version, not of the model. */
  readonly version: string;
}

/** A file at any address. */
export interface UrlSource {
  readonly kind: 'url';
  /** http: or https: address without its fragment. */
  readonly url: string;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

export type RemoteSource = HubSource | CivitaiSource | UrlSource;
export type Source = LocalSource | RemoteSource;

/** A source as options have it: text, or an address with its hash beside it. */
export type SourceInput = string | { readonly url: string; readonly sha256: string };

export const DEFAULT_REVISION = 'main';

const EXAMPLES = {
  path: 'models/toonyou_beta3.safetensors',
  hf: 'hf:guoyww/animatediff/mm_sd_v15_v2.ckpt, hf:owner/repo@revision/file or hf:owner/repo for a diffusers folder',
  civitai: 'civitai:78775 (the number after modelVersionId= in the address of a version)',
  url: 'https://example.org/model.safetensors#sha256=<64 hexadecimal digits>',
} as const;

const HEXADECIMAL = /^[0-9a-f]{64}$/;

/** Prefixes of other programs, under ours. */
const OTHER_PREFIXES: Readonly<Record<string, keyof typeof EXAMPLES>> = {
  huggingface: 'hf',
  'hf-hub': 'hf',
  hub: 'hf',
  civit: 'civitai',
  url: 'url',
  ftp: 'url',
  s3: 'url',
  gs: 'url',
  file: 'path',
};

/** Whether the text names something that is not a path. */
export function isRemote(text: string): boolean {
  return /^(hf|civitai|https?):/.test(text);
}

function wrongSource(value: unknown, problem: string, kind: keyof typeof EXAMPLES): AnimateDiffError {
  const example = EXAMPLES[kind];
  return new AnimateDiffError(
    'ERR_INVALID_ARGUMENT',
    `${seen(value)} is no source: ${problem}. Write for example ${example}.`,
    { details: { source: seen(value), example } },
  );
}

/**
 * Reads a source.
 *
 * @throws ERR_INVALID_ARGUMENT with an example of the form that was probably meant.
 */
export function parseSource(input: SourceInput): Source {
  if (typeof input === 'object' && input !== null) return parseUrl(input.url, input.sha256);
  if (typeof input !== 'string' || input === '' || input.includes('\0'))
    throw wrongSource(input, 'it is no text', 'path');
  if (input.startsWith('hf:')) return parseHub(input);
  if (input.startsWith('civitai:')) return parseCivitai(input);
  if (/^https?:/.test(input)) return parseSite(input) ?? parseUrl(input, undefined);
  const prefix = /^([a-z][a-z0-9+.-]+):/i.exec(input)?.[1]?.toLowerCase();
  if (prefix === undefined) return { kind: 'local', path: input };
  const meant = Object.hasOwn(OTHER_PREFIXES, prefix) ? OTHER_PREFIXES[prefix] : undefined;
  if (meant !== undefined) throw wrongSource(input, `\`${prefix}:\` is not known`, meant);
  if (/^(hf|civitai|https?)$/.test(prefix))
    throw wrongSource(input, 'prefixes are written in lower case', prefix === 'hf' ? 'hf' : 'url');
  if (input.startsWith(`${prefix}://`)) throw wrongSource(input, `\`${prefix}:\` is not known`, 'url');
  return { kind: 'local', path: input };
}

/** A source that is not a path; the error says so. */
export function parseRemote(input: SourceInput): RemoteSource {
  const source = parseSource(input);
  if (source.kind !== 'local') return source;
  throw wrongSource(input, 'it is a path on this machine', 'hf');
}

function parseHub(text: string): HubSource {
  // hf://owner/repo is how Python's fsspec writes it.
  const [owner = '', name = '', ...rest] = text.slice('hf:'.length).replace(/^\/\//, '').split('/');
  const [repo = '', revision, ...more] = name.split('@');
  if (more.length > 0 || !isRepoPart(owner) || !isRepoPart(repo))
    throw wrongSource(text, 'expected hf:owner/repo', 'hf');
  return hubSource(text, `${owner}/${repo}`, revision, rest);
}

function hubSource(
  text: string,
  repo: string,
  encodedRevision: string | undefined,
  parts: readonly string[],
): HubSource {
  const revision = decode(text, encodedRevision ?? DEFAULT_REVISION);
  if (!/^[\w.+-][\w.+/-]*$/.test(revision) || !isInside(revision))
    throw wrongSource(text, `${seen(revision)} is no revision (write a slash in it as %2F)`, 'hf');
  // A slash at the end marks a folder, which the repository tells anyway.
  const inner = parts.join('/').replace(/\/$/, '');
  if (inner !== '' && !isInside(inner)) throw wrongSource(text, `${seen(inner)} is no path in it`, 'hf');
  return { kind: 'hf', repo, revision, path: inner === '' ? undefined : inner };
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw wrongSource(text, `${seen(part)} has a wrong %`, 'hf');
  }
}

/** Rule of the hub for owners and names. */
function isRepoPart(text: string): boolean {
  return /^[A-Za-z0-9][\w.-]{0,95}$/.test(text) && !/--|\.\./.test(text);
}

/** Whether a path with `/` stays in its folder and can be a path on any file system. */
export function isInside(file: string): boolean {
  return (
    // biome-ignore lint/suspicious/noControlCharactersInRegex: names with them are refused
    !/[\\\x00-\x1f]/.test(file) &&
    file.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

function parseCivitai(text: string): CivitaiSource {
  const version = /^civitai:(\d{1,12})$/.exec(text)?.[1];
  if (version === undefined) throw wrongSource(text, 'expected the number of a model version', 'civitai');
  return { kind: 'civitai', version };
}

/** Addresses of pages and files of the two sites, which name their hashes themselves. */
function parseSite(text: string): HubSource | CivitaiSource | undefined {
  const url = parseAddress(text);
  if (url.hash.startsWith('#sha256=')) return undefined;
  if (/^(www\.)?(huggingface\.co|hf\.co)$/.test(url.hostname)) {
    const [owner = '', repo = '', verb, revision, ...rest] = url.pathname.slice(1).split('/');
    if (!isRepoPart(owner) || !isRepoPart(repo) || /^(datasets|spaces)$/.test(owner)) return undefined;
    if (verb === undefined || verb === '') return hubSource(text, `${owner}/${repo}`, undefined, []);
    if (!/^(resolve|blob|raw|tree)$/.test(verb)) return undefined;
    return hubSource(
      text,
      `${owner}/${repo}`,
      revision,
      rest.map((part) => decode(text, part)),
    );
  }
  if (/^(www\.)?civitai\.com$/.test(url.hostname)) {
    const version =
      /^\/api\/download\/models\/(\d{1,12})$/.exec(url.pathname)?.[1] ??
      url.searchParams.get('modelVersionId');
    if (version !== null && /^\d{1,12}$/.test(version)) return { kind: 'civitai', version };
    throw wrongSource(text, 'it names a model and not one of its versions', 'civitai');
  }
  return undefined;
}

function parseAddress(text: string): URL {
  try {
    const url = new URL(text);
    if (/^https?:$/.test(url.protocol)) return url;
  } catch {}
  throw wrongSource(text, 'it is no http: or https: address', 'url');
}

function parseUrl(text: string, given: string | undefined): UrlSource {
  if (typeof text !== 'string') throw wrongSource(text, 'expected an address as `url`', 'url');
  const url = parseAddress(text);
  const written = /^#sha256=([0-9a-f]+)$/i.exec(url.hash)?.[1];
  const sha256 = (given ?? written ?? '').toLowerCase();
  if (given !== undefined && written !== undefined && written.toLowerCase() !== sha256)
    throw wrongSource(text, `it has another SHA-256 than ${seen(given)} beside it`, 'url');
  if (!HEXADECIMAL.test(sha256)) {
    const problem =
      sha256 === ''
        ? 'without its SHA-256 nobody can tell whether what arrives is what was meant'
        : `${seen(sha256)} is no SHA-256`;
    throw wrongSource(text, problem, 'url');
  }
  url.hash = '';
  return { kind: 'url', url: url.href, sha256 };
}

/** The text that {@link parseSource} reads back to the same source. */
export function formatSource(source: Source): string {
  switch (source.kind) {
    case 'local':
      return source.path;
    case 'hf': {
      const { repo, revision, path: inner } = source;
      const at = revision === DEFAULT_REVISION ? '' : `@${encodeURIComponent(revision)}`;
      return `hf:${repo}${at}${inner === undefined ? '' : `/${inner}`}`;
    }
    case 'civitai':
      return `civitai:${source.version}`;
    case 'url':
      return `${source.url}#sha256=${source.sha256}`;
  }
}

/** The same for people: without the tokens and signatures that an address may have. */
export function showSource(source: Source): string {
  return source.kind === 'url' ? redacted(formatSource(source)) : formatSource(source);
}

/** Absolute form of a local path; `~` is the home folder. */
export function absolutePath(local: string, folder: string): string {
  return path.resolve(folder, /^~(?=\/|$)/.test(local) ? path.join(homedir(), local.slice(1)) : local);
}

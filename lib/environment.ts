/**
 * Environment variables: the only file that reads them. Each is a default for an option, never the only
 * way to say something.
 */
import os from 'node:os';
import path from 'node:path';

/** What the environment says, with the defaults of this package filled in. */
export interface Environment {
  /** Folder of a LibTorch, from `ANIMATEDIFF_LIBTORCH`, else from `LIBTORCH`. */
  readonly libtorch:
    | { readonly variable: 'ANIMATEDIFF_LIBTORCH' | 'LIBTORCH'; readonly folder: string }
    | undefined;
  /** Python interpreter: `ANIMATEDIFF_PYTHON`, else `python3` of the `PATH`. */
  readonly python: string;
  /** The interpreter was named by `ANIMATEDIFF_PYTHON`, so that a wrong one is an error. */
  readonly pythonIsExplicit: boolean;
  /**
   * Folder for everything that is downloaded: `ANIMATEDIFF_CACHE`, else `animatediff-native` in
   * `XDG_CACHE_HOME`, else in `~/.cache`.
   */
  readonly cacheFolder: string;
  /** Replaces the address of PyTorch's downloads (`ANIMATEDIFF_LIBTORCH_MIRROR`; http, https or file). */
  readonly libtorchMirror: string | undefined;
  /** Hugging Face's hub, with the variables of its own programs. */
  readonly huggingFace: {
    /** `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`: shared with Python programs. */
    readonly cacheFolder: string;
    /** `HF_ENDPOINT`, else `https://huggingface.co`. */
    readonly endpoint: string;
    /** `HF_TOKEN`. */
    readonly token: string | undefined;
    /** Where `hf auth login` leaves a token: `HF_TOKEN_PATH`, else `token` in `HF_HOME`. */
    readonly tokenFile: string;
  };
  /** CivitAI: `CIVITAI_ENDPOINT`, else `https://civitai.com`, and `CIVITAI_TOKEN`. */
  readonly civitai: { readonly endpoint: string; readonly token: string | undefined };
  /** `HF_HUB_OFFLINE` is set: models come from the caches alone, whatever their source. */
  readonly offline: boolean;
  /** Proxies for downloads, with curl's names in lower or upper case. */
  readonly proxy: { readonly http?: string; readonly https?: string; readonly except?: string };
  /** `ANIMATEDIFF_PLAIN_GRAPHS` is set: networks run without what makes them fast on the CPU, to compare. */
  readonly plainGraphs: boolean;
  /** `CUDA_VISIBLE_DEVICES`; the empty string hides every device. */
  readonly cudaVisibleDevices: string | undefined;
  /** Folders of `LD_LIBRARY_PATH`. */
  readonly libraryPath: readonly string[];
  /** `CI` is set: no progress bars. */
  readonly ci: boolean;
  /** `NO_COLOR` is set (https://no-color.org). */
  readonly noColor: boolean;
  /** `DEBUG` names this package or everything: errors are printed with their stack. */
  readonly debug: boolean;
}

/** Variables by name, as `process.env` has them. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Reads `variables`; an empty variable counts as one that is not set, except `CUDA_VISIBLE_DEVICES`. */
export function readEnvironment(variables: Variables = process.env): Environment {
  const text = (name: string) => variables[name]?.trim() || undefined;
  const address = (name: string) => text(name)?.replace(/\/+$/, '');
  const either = (name: string) => text(name) ?? text(name.toUpperCase());
  return {
    libtorch: libtorchVariable(text),
    python: text('ANIMATEDIFF_PYTHON') ?? 'python3',
    pythonIsExplicit: text('ANIMATEDIFF_PYTHON') !== undefined,
    cacheFolder: path.resolve(
      text('ANIMATEDIFF_CACHE') ??
        path.join(text('XDG_CACHE_HOME') ?? path.join(os.homedir(), '.cache'), 'animatediff-native'),
    ),
    libtorchMirror: address('ANIMATEDIFF_LIBTORCH_MIRROR'),
    huggingFace: huggingFaceVariables(text, address),
    civitai: { endpoint: address('CIVITAI_ENDPOINT') ?? 'https://civitai.com', token: text('CIVITAI_TOKEN') },
    offline: /^(1|on|yes|true)$/i.test(text('HF_HUB_OFFLINE') ?? ''),
    proxy: {
      // Upper-case HTTP_PROXY can be forged by a request header in a CGI process, so curl ignores it; a
      // command line tool has no such request, and users expect both spellings.
      http: either('http_proxy') ?? either('all_proxy'),
      https: either('https_proxy') ?? either('all_proxy'),
      except: either('no_proxy'),
    },
    plainGraphs: text('ANIMATEDIFF_PLAIN_GRAPHS') !== undefined,
    cudaVisibleDevices: variables.CUDA_VISIBLE_DEVICES,
    libraryPath: (text('LD_LIBRARY_PATH') ?? '').split(path.delimiter).filter(Boolean),
    ci: text('CI') !== undefined,
    noColor: text('NO_COLOR') !== undefined,
    debug: /(^|,)(\*|animatediff-native)(,|$)/.test(text('DEBUG') ?? ''),
  };
}

function huggingFaceVariables(
  text: (name: string) => string | undefined,
  address: (name: string) => string | undefined,
): Environment['huggingFace'] {
  const folder = (name: string) => text(name)?.replace(/^~(?=\/|$)/, os.homedir());
  const shared = text('XDG_CACHE_HOME') ?? path.join(os.homedir(), '.cache');
  const home = folder('HF_HOME') ?? path.join(shared, 'huggingface');
  const cache = folder('HF_HUB_CACHE') ?? folder('HUGGINGFACE_HUB_CACHE') ?? path.join(home, 'hub');
  return {
    cacheFolder: path.resolve(cache),
    endpoint: address('HF_ENDPOINT') ?? 'https://huggingface.co',
    token: text('HF_TOKEN') ?? text('HUGGING_FACE_HUB_TOKEN'),
    tokenFile: path.resolve(folder('HF_TOKEN_PATH') ?? path.join(home, 'token')),
  };
}

function libtorchVariable(text: (name: string) => string | undefined): Environment['libtorch'] {
  for (const variable of ['ANIMATEDIFF_LIBTORCH', 'LIBTORCH'] as const) {
    const folder = text(variable);
    if (folder !== undefined) return { variable, folder: path.resolve(folder) };
  }
  return undefined;
}

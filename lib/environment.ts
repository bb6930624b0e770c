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
  /** Proxies for downloads, with curl's names in lower or upper case. */
  readonly proxy: { readonly http?: string; readonly https?: string; readonly except?: string };
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
  const either = (name: string) => text(name) ?? text(name.toUpperCase());
  return {
    libtorch: libtorchVariable(text),
    python: text('ANIMATEDIFF_PYTHON') ?? 'python3',
    pythonIsExplicit: text('ANIMATEDIFF_PYTHON') !== undefined,
    cacheFolder: path.resolve(
      text('ANIMATEDIFF_CACHE') ??
        path.join(text('XDG_CACHE_HOME') ?? path.join(os.homedir(), '.cache'), 'animatediff-native'),
    ),
    libtorchMirror: text('ANIMATEDIFF_LIBTORCH_MIRROR')?.replace(/\/+$/, ''),
    proxy: {
      // Upper-case HTTP_PROXY can be forged by a request header in a CGI process, so curl ignores it; a
      // command line tool has no such request, and users expect both spellings.
      http: either('http_proxy') ?? either('all_proxy'),
      https: either('https_proxy') ?? either('all_proxy'),
      except: either('no_proxy'),
    },
    cudaVisibleDevices: variables.CUDA_VISIBLE_DEVICES,
    libraryPath: (text('LD_LIBRARY_PATH') ?? '').split(path.delimiter).filter(Boolean),
    ci: text('CI') !== undefined,
    noColor: text('NO_COLOR') !== undefined,
    debug: /(^|,)(\*|animatediff-native)(,|$)/.test(text('DEBUG') ?? ''),
  };
}

function libtorchVariable(text: (name: string) => string | undefined): Environment['libtorch'] {
  for (const variable of ['ANIMATEDIFF_LIBTORCH', 'LIBTORCH'] as const) {
    const folder = text(variable);
    if (folder !== undefined) return { variable, folder: path.resolve(folder) };
  }
  return undefined;
}

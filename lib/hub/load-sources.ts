/**
 * The files that a model is loaded from, wherever options or a configuration name them. Knows which keys hold
 * sources, and nothing else about them.
 */
import type { ResolveOptions } from './resolve.ts';
import { parseSource, type SourceInput } from './source.ts';

/** A path, a source, or a mapping that has one as `path`. */
type Place = SourceInput | { readonly path: SourceInput };

/** The keys of `LoadOptions` and of a configuration that name files of a model. */
export interface LoadSources {
  readonly base?: SourceInput;
  readonly checkpoint?: SourceInput;
  readonly vae?: SourceInput;
  readonly motionModule?: Place;
  readonly loras?: readonly Place[];
  readonly embeddings?: readonly Place[];
}

const SINGLE = ['base', 'checkpoint', 'vae', 'motionModule'] as const;
const LISTS = ['loras', 'embeddings'] as const;

type PathOf<P> = P extends { readonly path: SourceInput }
  ? Omit<P, 'path'> & { readonly path: string }
  : P extends SourceInput
    ? string
    : P;

/** `T` with a path in the place of every source. */
export type LoadPaths<T extends LoadSources> = {
  [K in keyof T]: K extends (typeof SINGLE)[number]
    ? PathOf<T[K]>
    : K extends (typeof LISTS)[number]
      ?
          | readonly PathOf<NonNullable<T[K]> extends readonly (infer P)[] ? P : never>[]
          | Extract<T[K], undefined>
      : T[K];
};

function sourceOf(place: Place): SourceInput {
  return typeof place === 'object' && 'path' in place ? place.path : place;
}

/** Every source of `options`, in the order in which they are fetched. */
export function listLoadSources(options: LoadSources): SourceInput[] {
  const places = [...SINGLE.map((key) => options[key]), ...LISTS.flatMap((key) => options[key] ?? [])];
  return places.filter((place) => place !== undefined).map(sourceOf);
}

/**
 * The same options with paths in the place of sources: what is missing is fetched, one after the other.
 * Paths stay as they are, and whether they exist is for their readers to say.
 *
 * @throws as `resolveSource`
 */
export async function resolveLoadSources<T extends LoadSources>(
  options: T,
  access: ResolveOptions = {},
): Promise<LoadPaths<T>> {
  const resolve = async (source: SourceInput) => {
    if (parseSource(source).kind === 'local') return source;
    // Most models are files on this machine, and need none of the code that fetches.
    const { resolveSource } = await import('./resolve.ts');
    return await resolveSource(source, access);
  };
  const resolvePlace = async (place: Place) =>
    typeof place === 'object' && 'path' in place
      ? { ...place, path: await resolve(place.path) }
      : await resolve(place);
  const resolved = { ...options } as Record<string, unknown>;
  for (const key of SINGLE) {
    const place = options[key];
    if (place !== undefined) resolved[key] = await resolvePlace(place);
  }
  for (const key of LISTS) {
    const places = options[key];
    if (places === undefined) continue;
    const list: unknown[] = [];
    for (const place of places) list.push(await resolvePlace(place));
    resolved[key] = list;
  }
  return resolved as LoadPaths<T>;
}

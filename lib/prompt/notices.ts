/** What users of AUTOMATIC1111's web UI may expect of a prompt that it does not do here. */
import type { Notice } from '../events.ts';
import type { PromptReading } from './encode.ts';

/**
 * Published textual inversions that negative prompts name, in lower case; most are in the prompts of the AnimateDiff
 * and mmagic configurations. Without their file a name is a handful of ordinary tokens.
 */
const KNOWN_EMBEDDINGS = [
  'bad-artist',
  'bad-artist-anime',
  'bad-hands-5',
  'bad-image-v2-39000',
  'bad-picture-chill-75v',
  'bad_prompt',
  'bad_prompt_version2',
  'bad_prompt_version2-neg',
  'baddream',
  'badhandv4',
  'badhandsv5-neg',
  'deepnegative_v1_75t',
  'easynegative',
  'easynegativev2',
  'fastnegativev2',
  'negative_hand-neg',
  'ng_deepnegative_v1_4t',
  'ng_deepnegative_v1_64t',
  'ng_deepnegative_v1_75t',
  'unrealisticdream',
  'verybadimagenegative_v1.1-6400',
  'verybadimagenegative_v1.2-6400',
  'verybadimagenegative_v1.3',
];

/** Names as whole words, the longest first, so that `bad_prompt` is not found in `bad_prompt_version2`. */
const KNOWN_PATTERN = new RegExp(
  `(?<![\\w-])(${[...KNOWN_EMBEDDINGS]
    .sort((a, b) => b.length - a.length)
    .map((name) => name.replaceAll('.', '\\.'))
    .join('|')})(?![\\w-])`,
  'gi',
);

/** Syntax of the web UI and its extensions that has no effect here. */
const FOREIGN_SYNTAX: readonly {
  readonly pattern: RegExp;
  readonly what: string;
  readonly wayOut: string;
}[] = [
  {
    pattern: /<(lora|lyco|hypernet):[^>]*>/i,
    what: 'loads an adapter in other programs',
    wayOut: 'Give the file as one of `loras`',
  },
  {
    pattern: /\[[^[\]|:]*:[^[\]|:]*:\s*\d*\.?\d+\s*\]/,
    what: 'changes the prompt during sampling in other programs',
    wayOut: 'For prompts that change over the frames give a mapping from frames to texts',
  },
  {
    pattern: /\[[^[\]|:]+\|[^[\]:]+\]/,
    what: 'alternates words during sampling in other programs',
    wayOut: 'Write the words that are meant',
  },
  {
    pattern: /\bAND\b/,
    what: 'composes several prompts in other programs',
    wayOut: 'Separate them by commas',
  },
];

function plainNames(text: string, { embeddings }: PromptReading): Notice[] {
  const triggers = new Set(
    embeddings.flatMap((embedding) => embedding.triggers).map((word) => word.toLowerCase()),
  );
  const names = new Set(Array.from(text.matchAll(KNOWN_PATTERN), ([name]) => name.toLowerCase()));
  return [...names]
    .filter((name) => !triggers.has(name))
    .map((name) => ({
      code: 'embedding-not-loaded',
      message:
        `'${name}' is the name of a textual inversion, but is plain text here, since no file was given for it. ` +
        'Give the file as one of `embeddings` (`--embedding FILE`).',
    }));
}

function foreignSyntax(text: string, { syntax }: PromptReading): Notice[] {
  if (syntax === 'plain') return [];
  return FOREIGN_SYNTAX.flatMap(({ pattern, what, wayOut }) => {
    const found = pattern.exec(text)?.[0];
    if (found === undefined) return [];
    return [{ code: 'prompt-syntax', message: `'${found}' ${what} and is plain text here. ${wayOut}.` }];
  });
}

/** Names of well-known textual inversions without a file, and syntax that has no effect here. */
export function promptNotices(text: string, reading: PromptReading): readonly Notice[] {
  return [...plainNames(text, reading), ...foreignSyntax(text, reading)];
}

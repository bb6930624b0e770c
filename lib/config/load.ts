/**
 * Reads a configuration file: YAML 1.2 with line numbers for every complaint. What the keys mean is in
 * `schema.ts`; this file only brings text to plain data and problems back to lines.
 */
import { open } from 'node:fs/promises';
import path from 'node:path';
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { AnimateDiffError } from '../errors.ts';
import { checkConfig, formatPath, type Problem } from './check.ts';
import { resolvePaths } from './paths.ts';
import type { Config } from './schema.ts';

/** A configuration is written by hand; anything longer is another kind of file. */
const MAX_BYTES = 1 << 20;

/** How many nodes aliases may stand for: enough to share a negative prompt, too few for a bomb. */
const MAX_ALIASES = 100;

/** How many problems are told, and of how many the place is looked up to find the first ones. */
const MAX_SHOWN = 10;
const MAX_LOCATED = 100;

interface Source {
  readonly file: string;
  readonly text: string;
  readonly lines: LineCounter;
}

function configError(source: Source, offset: number, sentence: string, details = {}): AnimateDiffError {
  const { line, col } = source.lines.linePos(offset);
  const { file } = source;
  return new AnimateDiffError('ERR_CONFIG', `${file}:${line}:${col}: ${sentence}`, {
    details: { file, line, column: col, ...details },
  });
}

/** Offset and node of what is written at a path; of the nearest thing around it where it is not there. */
function locate(doc: Document, problem: Problem): { offset: number; node?: Node } {
  let node: Node | null = doc.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, key] of problem.path.entries()) {
    if (isAlias(node)) node = node.resolve(doc) ?? null;
    const last = depth === problem.path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === key);
      if (pair === undefined) return { offset };
      const keyNode = pair.key as Node | null;
      const value = pair.value as Node | null;
      if (last && problem.kind === 'unknown-key') return { offset: keyNode?.range?.[0] ?? offset };
      node = value;
      offset = value?.range?.[0] ?? keyNode?.range?.[0] ?? offset;
    } else if (isSeq(node) && typeof key === 'number') {
      node = (node.items[key] as Node | undefined) ?? null;
      offset = node?.range?.[0] ?? offset;
    } else {
      return { offset };
    }
  }
  return { offset, node: node ?? undefined };
}

/** The value as it is written in the file, so that big numbers keep their digits. */
function written(source: Source, doc: Document, node: Node | undefined): string {
  const target = isAlias(node) ? node.resolve(doc) : node;
  if (isSeq(target)) return target.items.length === 0 ? 'an empty list' : `a list of ${target.items.length}`;
  if (isMap(target)) return 'a mapping';
  if (!isScalar(target) || target.value === null) return 'no value';
  const text = target.range ? source.text.slice(target.range[0], target.range[1]) : String(target.value);
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 77)}…` : line;
}

function problemError(source: Source, doc: Document, problem: Problem): AnimateDiffError {
  const { offset, node } = locate(doc, problem);
  const key = formatPath(problem.path);
  const { expected, suggestion } = problem;
  if (problem.kind === 'unknown-key') {
    const way = suggestion ? `Did you mean \`${suggestion}\`?` : `Known keys: ${expected}.`;
    return configError(source, offset, `Unknown key \`${key}\`. ${way}`, { key, suggestion, expected });
  }
  if (problem.kind === 'missing-key') {
    return configError(source, offset, `Missing key \`${key}\`: expected ${expected}.`, { key, expected });
  }
  const value = written(source, doc, node);
  const subject = key === '' ? 'at the top of the file' : `for \`${key}\``;
  const way = suggestion
    ? ` Did you mean \`${suggestion}\`?`
    : value === 'no value'
      ? ' Write one or remove the key.'
      : '';
  const sentence = `Expected ${expected} ${subject}, got ${value}.${way}`;
  return configError(source, offset, sentence, { key, value, expected, suggestion });
}

/** The problems in the order of the file; the details are those of the first. `total` counts them all. */
function joinErrors(errors: readonly AnimateDiffError[], total: number): AnimateDiffError {
  const position = (e: AnimateDiffError) => Number(e.details.line) * 2 * MAX_BYTES + Number(e.details.column);
  const sorted = [...errors].sort((a, b) => position(a) - position(b));
  const shown = sorted.slice(0, MAX_SHOWN).map((e) => e.message);
  if (total > shown.length) shown.push(`… and ${total - shown.length} more.`);
  return new AnimateDiffError('ERR_CONFIG', shown.join('\n'), {
    details: { ...sorted[0]?.details, problems: total },
  });
}

/** What the parser of `yaml` reports, in one sentence. */
function syntaxSentence(source: Source, code: string, message: string, offset: number): string {
  if (code === 'DUPLICATE_KEY') {
    const key = /^[^:,}\n]*/.exec(source.text.slice(offset))?.[0].trim() ?? '';
    return `Duplicate key \`${key}\`. Remove one of the two.`;
  }
  if (code === 'MULTIPLE_DOCS') return 'More than one YAML document. Keep one per file (remove the `---`).';
  // The parser of `yaml` is recursive and reports its own overflow as an error of the file.
  if (message.includes('call stack')) return 'Nested too deeply for a configuration.';
  const sentence = message.split('\n')[0] ?? message;
  return `Not valid YAML: ${/[.!?]$/.test(sentence) ? sentence : `${sentence}.`}`;
}

function parseYaml(source: Source): Document {
  const doc = parseDocument(source.text, {
    version: '1.2',
    intAsBigInt: true,
    lineCounter: source.lines,
    prettyErrors: false,
    logLevel: 'error',
  });
  // A warning is a tag that is not understood: dropping it would change what the author meant.
  // Only the first is told, since the others are often its consequences.
  const [first] = [...doc.errors, ...doc.warnings];
  if (first) {
    const { code, message, pos } = first;
    throw configError(source, pos[0], syntaxSentence(source, code, message, pos[0]));
  }
  let aliases = 0;
  visit(doc, {
    // Looking up an alias takes a walk over the file, so their number is limited before they are followed.
    Alias: () => {
      if (++aliases > MAX_ALIASES) throw tooManyAliases(source);
    },
    Scalar: (_key, node) => {
      if (typeof node.value === 'bigint' && Number.isSafeInteger(Number(node.value)))
        node.value = Number(node.value);
    },
  });
  return doc;
}

function toData(source: Source, doc: Document): unknown {
  try {
    return doc.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    throw aliasError(source, doc) ?? tooManyAliases(source, error);
  }
}

/** The error for the first alias of an anchor that does not stand before it. */
function aliasError(source: Source, doc: Document): AnimateDiffError | undefined {
  const anchors = new Set<string>();
  let lost: Alias | undefined;
  visit(doc, {
    Node: (_key, node) => {
      if (!isAlias(node)) {
        if (node.anchor) anchors.add(node.anchor);
        return undefined;
      }
      if (anchors.has(node.source)) return undefined;
      lost = node;
      return visit.BREAK;
    },
  });
  if (lost === undefined) return undefined;
  const sentence = `Not valid YAML: the alias \`*${lost.source}\` has no anchor \`&${lost.source}\` before it.`;
  return configError(source, lost.range?.[0] ?? 0, sentence);
}

function tooManyAliases({ file }: Source, cause?: unknown): AnimateDiffError {
  const sentence = `Anchors and aliases stand for too much: at most ${MAX_ALIASES} repeated nodes. Write the values out.`;
  return new AnimateDiffError('ERR_CONFIG', `${file}: ${sentence}`, { cause, details: { file } });
}

/**
 * Checks the text of a configuration. `file` is named in errors; paths in the text stay as written.
 *
 * @throws AnimateDiffError `ERR_CONFIG` with every problem, each as `file:line:column: sentence`, and with
 * `file`, `line`, `column`, `key`, `value`, `expected` of the first in its details.
 */
export function parseConfig(text: string, file: string): Config {
  const source: Source = { file, text, lines: new LineCounter() };
  const doc = parseYaml(source);
  if (doc.contents === null) return {};
  const result = checkConfig(toData(source, doc));
  if ('config' in result) return result.config;
  const { problems } = result;
  const located = problems.slice(0, MAX_LOCATED).map((problem) => problemError(source, doc, problem));
  throw joinErrors(located, problems.length);
}

/** At most `MAX_BYTES + 1` bytes from the start of a file, which may be a pipe. */
async function readStart(file: string): Promise<Buffer> {
  const bytes = Buffer.alloc(MAX_BYTES + 1);
  const handle = await open(file);
  try {
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    await handle.close();
  }
}

async function readText(absolute: string, file: string): Promise<string> {
  const refuse = (code: 'ERR_CONFIG' | 'ERR_FILE_NOT_FOUND', sentence: string, cause?: unknown) =>
    new AnimateDiffError(code, `${file}: ${sentence}`, { cause, details: { file } });
  let bytes: Buffer;
  try {
    bytes = await readStart(absolute);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EISDIR')
      throw refuse('ERR_CONFIG', 'This is a folder. Give the path of a YAML file.', error);
    throw refuse('ERR_FILE_NOT_FOUND', `The configuration cannot be read (${code}). Check the path.`, error);
  }
  const notText = 'This is not a text file. A configuration is a YAML file of at most 1 MiB in UTF-8.';
  if (bytes.length > MAX_BYTES) throw refuse('ERR_CONFIG', notText);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw refuse('ERR_CONFIG', notText, error);
  }
}

/**
 * Reads and checks a configuration file. Relative paths in it are taken from its own folder, `~` is the
 * home folder; the paths that come back are absolute. A relative `file` is looked for in `folder`, and
 * errors name it as it was given.
 *
 * @throws AnimateDiffError `ERR_FILE_NOT_FOUND` when the file cannot be read, `ERR_CONFIG` when it is not
 * UTF-8 YAML, has unknown or duplicate keys, or values of a wrong type or range.
 */
export async function loadConfig(file: string, folder: string = process.cwd()): Promise<Config> {
  const absolute = path.resolve(folder, file);
  return resolvePaths(parseConfig(await readText(absolute, file), file), path.dirname(absolute));
}

/**
 * The parameters of a clip in the forms that travel in files: the text that image tools show (the form of
 * AUTOMATIC1111's web UI), and JSON that this package reads back. JSON is written in ASCII without
 * `<`, `>` and `&`, so that it is the same in a GIF comment, a PNG chunk and XMP.
 */
import path from 'node:path';
import type { ClipParameters } from '../options.ts';

/** Keyword of the JSON in PNG, name space prefix in XMP, prefix of the comment in GIF. */
export const METADATA_KEY = 'animatediff-native';
/** Keyword under which image tools look for the readable text in PNG. */
export const TEXT_KEY = 'parameters';

const COMMENT_PREFIX = `${METADATA_KEY}:`;

/** Name of a model without folder and extension. */
function modelName(file: string): string {
  return path.parse(file).name;
}

/** `TUSUN 0.6, ZoomIn 0.8` */
function loraText({ loras }: ClipParameters): string | undefined {
  return loras?.map(({ file, scale }) => `${modelName(file)} ${scale}`).join(', ');
}

/** The fields of the last line, in order; those without a value are left out. */
function fields(p: ClipParameters): [string, string | number | undefined][] {
  const model = p.checkpoint ?? p.base;
  return [
    ['Steps', p.steps],
    ['Sampler', p.scheduler],
    ['CFG scale', p.guidanceScale],
    ['CFG end', p.guidanceEnd],
    ['Deep cache', p.deepCache],
    ['Seed', p.seed],
    ['Size', `${p.width}x${p.height}`],
    ['Frames', p.frames],
    ['Model', model === undefined ? undefined : modelName(model)],
    ['VAE', p.vae === undefined ? undefined : modelName(p.vae)],
    ['Motion module', p.motionModule === undefined ? undefined : modelName(p.motionModule)],
    ['Motion scale', p.motionScale],
    ['LoRAs', loraText(p)],
    ['Embeddings', p.embeddings?.map(({ file }) => modelName(file)).join(', ')],
    ['Clip skip', p.clipSkip],
    ['Compat', p.compat],
    ['Version', p.software],
  ];
}

/** A value that would be taken apart at a comma or colon is quoted. */
function fieldValue(value: string | number): string {
  const text = String(value);
  return /[,:\n"]/.test(text) ? JSON.stringify(text) : text;
}

/** Prompt, negative prompt and a line of settings, as image tools expect them. */
export function readableText(parameters: ClipParameters): string {
  const settings = fields(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${fieldValue(value)}`],
  );
  const negative = parameters.negativePrompt === '' ? [] : [`Negative prompt: ${parameters.negativePrompt}`];
  return [parameters.prompt, ...negative, settings.join(', ')].join('\n');
}

/** The text of one clip, or of several with an empty line between them. */
export function readableTexts(parameters: readonly ClipParameters[]): string {
  return parameters.map(readableText).join('\n\n');
}

/** JSON array of the parameters, in printable ASCII without `<`, `>` and `&`. */
export function metadataJson(parameters: readonly ClipParameters[]): string {
  return JSON.stringify(parameters).replace(
    /[^\x20-\x7e]|[<>&]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The comments of a GIF, none without parameters. */
export function gifComments(parameters: readonly ClipParameters[]): string[] {
  return parameters.length === 0
    ? []
    : [readableTexts(parameters), COMMENT_PREFIX + metadataJson(parameters)];
}

/** The JSON of a comment that {@link gifComments} made; undefined for any other comment. */
export function commentJson(comment: string): string | undefined {
  return comment.startsWith(COMMENT_PREFIX) ? comment.slice(COMMENT_PREFIX.length) : undefined;
}

const XMP_NAMESPACE = 'urn:animatediff-native:parameters#';

function escapeXml(text: string): string {
  // Control characters other than tab and line breaks are not allowed in XML, not even escaped.
  return text
    .replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/[\p{Cc}\ufffe\uffff]/gu, (character) => ('\t\n\r'.includes(character) ? character : '\ufffd'));
}

/** XMP packet with the readable text as description and the JSON in an element of its own. */
export function xmpPacket(parameters: readonly ClipParameters[]): string {
  return [
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    `<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:clip="${XMP_NAMESPACE}">`,
    `<dc:description><rdf:Alt><rdf:li xml:lang="x-default">${escapeXml(readableTexts(parameters))}</rdf:li></rdf:Alt></dc:description>`,
    `<clip:parameters>${metadataJson(parameters)}</clip:parameters>`,
    '</rdf:Description></rdf:RDF></x:xmpmeta>',
  ].join('');
}

/** The JSON of a packet that {@link xmpPacket} made; undefined for any other packet. */
export function xmpJson(packet: string): string | undefined {
  if (!packet.includes(XMP_NAMESPACE)) return undefined;
  return /<clip:parameters>([^<]*)<\/clip:parameters>/.exec(packet)?.[1];
}

function isParameters(value: unknown): value is ClipParameters {
  if (typeof value !== 'object' || value === null) return false;
  const { prompt, negativePrompt, seed } = value as Record<string, unknown>;
  return [prompt, negativePrompt, seed].every((text) => typeof text === 'string');
}

/** The clips of {@link metadataJson}; none for text that it did not make. */
export function parseMetadata(json: string): ClipParameters[] {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) && value.every(isParameters) ? value : [];
  } catch {
    return [];
  }
}

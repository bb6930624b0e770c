/**
 * Prompt to token ids, as the tokenizer of Stable Diffusion 1.5 does it (CLIP ViT-L/14; transformers'
 * `CLIPTokenizer`). The merging is done by `@huggingface/tokenizers`. Special tokens, normalisation and
 * the split into words are prepared here, because that library differs from the reference in them: it
 * lower-cases a final sigma by context, takes U+FEFF for a space, and takes an upper-case `<|ENDOFTEXT|>`
 * for the special token. Weights like `(word:1.2)` are plain text here. What counts as a letter is decided
 * by the Unicode version of Node: letters of Unicode 15 and newer may be split unlike the reference.
 */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { END_ID, END_OF_WORD, END_TOKEN, readVocabulary, START_ID, START_TOKEN } from './vocabulary.ts';

/** Length of every sequence that the text encoder sees. */
export const SEQUENCE_LENGTH = 77;
/** Tokens of a prompt that fit between the start and the end token. */
export const PROMPT_LENGTH = SEQUENCE_LENGTH - 2;

/** A prompt as the text encoder takes it. */
export interface TokenizedPrompt {
  /** [77]: 49406, up to 75 tokens of the prompt, 49407, then 49407 as padding. */
  readonly ids: Int32Array;
  /** Tokens of the whole prompt without start and end token; more than 75 do not fit. */
  readonly length: number;
  /** Text of the tokens that did not fit, as the reference reports it. Absent when all fit. */
  readonly dropped?: string;
}

/** CLIP's tokenizer. */
export interface Tokenizer {
  /** The prompt, cut and padded to 77 tokens. */
  tokenize(text: string): TokenizedPrompt;
  /** All tokens of a text, without start and end token, of any number. */
  encode(text: string): number[];
  /** Text of tokens: lower case, with a space after each word. */
  decode(ids: readonly number[]): string;
}

/** One match per word. */
const WORD_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;
const SPECIAL_TOKENS = new Map([
  [START_TOKEN, START_ID],
  [END_TOKEN, END_ID],
]);
const SPECIAL_PATTERN = String.raw`<\|startoftext\|>|<\|endoftext\|>`;
const SPECIAL_SPLIT = new RegExp(`(${SPECIAL_PATTERN})`);
/** What Python's `str.strip` removes, which is not what `String.prototype.trim` removes. */
const PYTHON_SPACE = String.raw`[\p{White_Space}\x1c-\x1f]+`;
const OUTER_SPACE = new RegExp(`^${PYTHON_SPACE}|${PYTHON_SPACE}$`, 'gu');

/** NFC, runs of white space to one space, lower case of each code point by itself. */
function normalize(text: string): string {
  const spaced = text.normalize('NFC').replace(/\p{White_Space}+/gu, ' ');
  return Array.from(spaced, (character) => character.toLowerCase()).join('');
}

function buildModel(): HuggingFaceTokenizer {
  const { ids, merges } = readVocabulary();
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  const split = (regex: string) => ({
    type: 'Split',
    pattern: { Regex: regex },
    behavior: 'Removed',
    invert: true,
  });
  // A special token that was written in upper case is ordinary text, but ends the words around it.
  const words = [split(`${SPECIAL_PATTERN}|${WORD_PATTERN}`), split(WORD_PATTERN)];
  return new HuggingFaceTokenizer(
    {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [...words, byteLevel] },
      post_processor: null,
      decoder: { type: 'ByteLevel' },
      model: { type: 'BPE', unk_token: END_TOKEN, end_of_word_suffix: END_OF_WORD, vocab: ids, merges },
    },
    { clean_up_tokenization_spaces: false },
  );
}

class ClipTokenizer implements Tokenizer {
  readonly #model = buildModel();

  tokenize(text: string): TokenizedPrompt {
    const tokens = this.encode(text);
    const ids = new Int32Array(SEQUENCE_LENGTH).fill(END_ID);
    ids[0] = START_ID;
    ids.set(tokens.slice(0, PROMPT_LENGTH), 1);
    if (tokens.length <= PROMPT_LENGTH) return { ids, length: tokens.length };
    return { ids, length: tokens.length, dropped: this.decode(tokens.slice(PROMPT_LENGTH)) };
  }

  encode(text: string): number[] {
    return text.split(SPECIAL_SPLIT).flatMap((part) => {
      const special = SPECIAL_TOKENS.get(part);
      return special === undefined ? this.#model.encode(normalize(part)).ids : [special];
    });
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return '';
    return this.#model.decode([...ids]).replace(OUTER_SPACE, '');
  }
}

let shared: Tokenizer | undefined;

/**
 * The tokenizer, built at the first call (about 100 ms) and shared afterwards.
 *
 * @throws ERR_NATIVE_NOT_FOUND when the vocabulary is missing
 */
export function createTokenizer(): Tokenizer {
  shared ??= new ClipTokenizer();
  return shared;
}

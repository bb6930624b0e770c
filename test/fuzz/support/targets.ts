/** What is fuzzed: for each reader its seeds, its mutations, and what counts as an answer. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseConfig } from '../../../lib/config/load.ts';
import { AnimateDiffError, type ErrorCode } from '../../../lib/errors.ts';
import { createTokenizer, SEQUENCE_LENGTH } from '../../../lib/prompt/tokenizer.ts';
import { inspectPath } from '../../../lib/weights/identify.ts';
import { READER_CODES } from '../../weights/support/contract.ts';
import { type Shapes, safetensorsBytes, safetensorsHeader } from '../../weights/support/files.ts';
import { FIXTURES } from '../../weights/support/key-lists.ts';
import { LORAS, MOTION_LORA } from '../../weights/support/models.ts';
import { module, writeModuleArchive } from '../../weights/support/module-archive.ts';
import { call, dict, program, tensor, text } from '../../weights/support/pickle-bytes.ts';
import { writeZip } from '../../weights/support/zip-writer.ts';
import { BYTE_MUTATIONS, insertWord, type Mutation } from './mutate-bytes.ts';
import { PICKLE_MUTATIONS } from './mutate-pickle.ts';
import { SAFETENSORS_MUTATIONS } from './mutate-safetensors.ts';

export interface Target {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  readonly mutations: readonly Mutation[];
  /** Gives the input to the reader by way of a scratch file. Throws when it breaks the contract. */
  run(input: Buffer, scratch: string): Promise<void>;
}

/** The modules whose coverage guides: the readers, and what their results go through. */
export const READERS = /\/lib\/(weights|config|prompt|archive\.ts|errors\.ts)/;

const ROOT = path.resolve(import.meta.dirname, '../../..');
const fixture = (name: string) => readFileSync(path.join(FIXTURES, name));
const STORAGES = { 0: Buffer.alloc(16), 1: Buffer.alloc(8) };

/** An answer, or an error with one of the codes. */
async function answers(work: () => unknown, codes: readonly ErrorCode[]): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof AnimateDiffError && codes.includes(error.code) && error.message.length < 20_000)
      return;
    throw error;
  }
}

async function inspects(file: string): Promise<void> {
  await answers(async () => JSON.stringify(await inspectPath(file)), READER_CODES);
}

const inspectBytes = (input: Buffer, scratch: string) => {
  writeFileSync(scratch, input);
  return inspects(scratch);
};

const small = (shapes: Shapes) => {
  const tiny = new Map(Array.from(shapes, ([name, shape]) => [name, shape.map((size) => Math.min(size, 4))]));
  const header = safetensorsHeader(tiny, 'F16');
  const ends = Object.values(header).map(({ data_offsets }) => data_offsets[1]);
  return safetensorsBytes({ __metadata__: { format: 'pt' }, ...header }, Math.max(0, ...ends));
};

const PICKLES = [
  program(dict(['w', tensor('0', [2, 2])], ['b', tensor('1', [2])])),
  program(dict(['state_dict', call('collections', 'OrderedDict')], ['epoch', 'K\x03'])),
  program(
    dict(['state_dict', dict(['model.diffusion_model.out.2.weight', tensor('0', [4])])], ['name', text('x')]),
  ),
];

const MODULES = [
  program(module(['unet', module(['weight', tensor('0', [2, 2])])], ['scale', tensor('1', [1])])),
];

const YAML_WORDS = [
  '&a ',
  '*a',
  '<<: *a\n',
  '!!binary ',
  '!!set ',
  '- ',
  ': ',
  '\n  ',
  '{',
  '}',
  '[',
  ']',
  '|\n',
  '"\\u',
  '---\n',
  '? ',
  '#',
  '%YAML 1.1\n',
  '~',
  '.nan',
  '0x',
  '__proto__: ',
  'loras:\n  - ',
  'seed: ',
  'hf:a/b',
  '\t',
];
const PROMPT_WORDS = [
  '<|endoftext|>',
  '<|startoftext|>',
  '<|',
  '\u00ad',
  '\u0130',
  '\ufeff',
  '\ud83d\ude00',
  "'s",
  '\u0301',
  '(a:1.2)',
  '\u2003',
  '\x1c',
].map((word) => Buffer.from(word));

const tokenizes = (input: Buffer): Promise<void> => {
  // Text arrives as UTF-16, whatever the user typed: halves of characters included.
  const prompt = input.length % 2 === 0 ? input.toString('utf8') : input.toString('utf16le');
  const { ids, length } = createTokenizer().tokenize(prompt);
  const sound = ids.length === SEQUENCE_LENGTH && ids.every((id) => id >= 0 && id < 49_408) && length >= 0;
  if (!sound) throw new Error(`${ids.length} ids of ${length} tokens`);
  return Promise.resolve();
};

/** All of them. Reading the seeds takes a moment. */
export const targets = (): readonly Target[] => [
  {
    name: 'safetensors',
    seeds: [
      small(MOTION_LORA),
      ...Object.values(LORAS).map(small),
      small(new Map([['emb_params', [1, 768]]])),
    ],
    mutations: [...BYTE_MUTATIONS, ...SAFETENSORS_MUTATIONS, ...SAFETENSORS_MUTATIONS],
    run: inspectBytes,
  },
  {
    name: 'checkpoint',
    seeds: ['nested.zip.pt', 'averaged.zip.pt', 'embedding.zip.pt', 'lightning.protocol4.pt'].map(fixture),
    mutations: [
      ...BYTE_MUTATIONS,
      insertWord(['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07']),
    ],
    run: inspectBytes,
  },
  {
    name: 'checkpoint pickle',
    seeds: PICKLES,
    mutations: [...PICKLE_MUTATIONS, ...PICKLE_MUTATIONS, ...BYTE_MUTATIONS],
    run: (input, scratch) => {
      const storages = Object.entries(STORAGES).map(([key, data]) => ({ name: `m/data/${key}`, data }));
      return inspects(writeZip(scratch, [{ name: 'm/data.pkl', data: input }, ...storages]));
    },
  },
  {
    name: 'legacy checkpoint',
    seeds: ['nested.legacy.pt', 'averaged.legacy.pt', 'proto-key.legacy.pt'].map(fixture),
    mutations: [...BYTE_MUTATIONS, ...PICKLE_MUTATIONS],
    run: inspectBytes,
  },
  {
    name: 'TorchScript',
    seeds: ['scripted.pt', 'runs-on-load.pt'].map(fixture),
    mutations: BYTE_MUTATIONS,
    run: inspectBytes,
  },
  {
    name: 'TorchScript pickle',
    seeds: MODULES,
    mutations: [...PICKLE_MUTATIONS, ...PICKLE_MUTATIONS, ...BYTE_MUTATIONS],
    run: (input, scratch) =>
      inspects(
        writeModuleArchive(scratch, 'N', {
          storages: STORAGES,
          entries: [{ name: 'archive/data.pkl', data: input }],
        }),
      ),
  },
  {
    name: 'configuration',
    seeds: ['example', 'toonyou'].map((name) => readFileSync(path.join(ROOT, 'configs', `${name}.yaml`))),
    mutations: [...BYTE_MUTATIONS, insertWord(YAML_WORDS), insertWord(YAML_WORDS)],
    run: (input) => answers(() => parseConfig(input.toString('utf8'), 'fuzz.yaml'), ['ERR_CONFIG']),
  },
  {
    name: 'prompt',
    seeds: ["masterpiece, best quality, 1girl's", 'a café 東京 <|endoftext|> ①²'].map((prompt) =>
      Buffer.from(prompt),
    ),
    mutations: [...BYTE_MUTATIONS, insertWord(PROMPT_WORDS)],
    run: tokenizes,
  },
];

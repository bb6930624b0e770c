/**
 * The fuzzer finds what is there to find, and a short run of it over all readers finds nothing. The long run is
 * `npm run fuzz -- --seconds 600`.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { fuzz } from './support/fuzzer.ts';
import { BYTE_MUTATIONS } from './support/mutate-bytes.ts';
import { splitPickle } from './support/mutate-pickle.ts';
import { readPlanted } from './support/planted.ts';
import { READERS, type Target, targets } from './support/targets.ts';

const scratch = path.join(temporaryFolder(), 'input');

describe('the fuzzer', () => {
  const planted = (run: Target['run']): Target => ({
    name: 'planted',
    seeds: [Buffer.from('????????')],
    mutations: BYTE_MUTATIONS,
    run,
  });
  const find = (target: Target, modules: RegExp, executions: number) =>
    fuzz({ targets: [target], modules, seed: 7, seconds: 60, executions, scratch });

  it('is led by coverage to a fault that chance would not find', async () => {
    const reader = planted(async (input) => void readPlanted(input));
    const { findings, corpus, executions } = await find(reader, /support\/planted\.ts$/, 200_000);
    assert.equal(findings.length, 1, `after ${executions} inputs`);
    assert.match(findings[0]?.reason ?? '', /planted fault/);
    assert.deepEqual([...(findings[0]?.input.subarray(0, 4) ?? [])], [0x41, 0x7f, 0x13, 0xee]);
    assert.ok((corpus.planted ?? 0) >= 4, 'each branch is a step');
  });

  it('finds nothing of it without coverage', async () => {
    const { findings } = await find(
      planted(async (input) => void readPlanted(input)),
      /no such module/,
      20_000,
    );
    assert.equal(findings.length, 0);
  });

  it('tells an input that takes too much memory', async () => {
    const kept: Buffer[] = [];
    const greedy = planted(async () => void kept.push(Buffer.alloc(300 << 20, 1)));
    const { findings } = await find(greedy, /support\/planted\.ts$/, 2);
    assert.match(findings[0]?.reason ?? '', /took \d+ MiB/);
  });

  it('keeps the instructions of a pickle whole', () => {
    const instructions = [
      '\x80\x02',
      '}',
      '(',
      'X\x01\0\0\0a',
      'K\x05',
      'cos\nsystem\n',
      'I12\n',
      '\x8c\x01b',
      'u',
      '.',
    ];
    const bytes = Buffer.from(instructions.join(''), 'latin1');
    assert.deepEqual(
      splitPickle(bytes).map((part) => part.toString('latin1')),
      instructions,
    );
  });
});

describe('the readers', () => {
  it('give an answer or an error with a code to everything that 12 seconds of fuzzing make', async () => {
    const all = targets();
    const report = await fuzz({ targets: all, modules: READERS, seed: 1, seconds: 12, scratch });
    const { findings, executions, coverage, corpus } = report;
    assert.deepEqual(
      findings.map(({ target, reason, input }) => `${target}: ${reason}\n${input.toString('base64')}`),
      [],
    );
    assert.ok(executions > 300, `${executions} inputs`);
    assert.ok(coverage.functions.ran > 200, `${coverage.functions.ran} functions ran`);
    const grown = all.filter(({ name, seeds }) => (corpus[name] ?? 0) > seeds.length);
    assert.ok(
      grown.length >= 4,
      `coverage led to new inputs for ${grown.map(({ name }) => name).join(', ')}`,
    );
  });
});

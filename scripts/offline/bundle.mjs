/**
 * Packs the package for machines without Node and network: `npm run bundle:offline`. The archive is unpacked there,
 * `./install.sh` compiles it against the machine's LibTorch, and `./animatediff-native` runs it.
 *
 *   npm run bundle:offline -- [--out FILE] [--no-models] [--with-tests] [--check]
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { Failure, main, ROOT, run, say, versionOf } from '../run.mjs';
import { buildTypescript } from '../typescript.mjs';
import { checkBundle } from './check.mjs';
import { bundleContents } from './contents.mjs';

/** Copies the files into `folder`, with Node stripped of its symbols and the commit in package.json. */
function stage(folder, files) {
  for (const { from, to } of files) {
    mkdirSync(path.join(folder, path.dirname(to)), { recursive: true });
    copyFileSync(from, path.join(folder, to));
  }
  const [node, description] = ['bin/node', 'package.json'].map((name) => path.join(folder, name));
  execFileSync('strip', [node]);
  const gitHead = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: ROOT,
    encoding: 'utf8',
  }).trim();
  const content = { ...JSON.parse(readFileSync(description, 'utf8')), gitHead };
  writeFileSync(description, `${JSON.stringify(content, undefined, 2)}\n`);
  for (const program of ['install.sh', 'animatediff-native', 'bin/node'])
    execFileSync('chmod', ['755', path.join(folder, program)]);
}

function requireTools() {
  if (process.config.variables.node_shared) {
    throw new Failure('This Node keeps itself in a shared library. Run this with one of nodejs.org.');
  }
  for (const tool of ['strip', 'tar', 'xz']) {
    if (!versionOf(tool))
      throw new Failure(`There is no ${tool}. Debian: apt-get install binutils tar xz-utils`);
  }
}

async function pack(folder, name, target) {
  const owner = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mode=u+rw,go+r'];
  await run('tar', [...owner, '-cJf', target, '-C', folder, name], {
    env: { ...process.env, XZ_OPT: '-9' },
  });
}

await main(async () => {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      'no-models': { type: 'boolean' },
      'with-tests': { type: 'boolean' },
      check: { type: 'boolean' },
    },
  });
  requireTools();
  await buildTypescript();
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const name = `animatediff-native-${version}-linux-${process.arch}`;
  const target = path.resolve(values.out ?? path.join(ROOT, 'build', `${name}-offline.tar.xz`));
  const folder = mkdtempSync(path.join(os.tmpdir(), 'animatediff-bundle-'));
  try {
    say(`packing ${path.basename(target)}`);
    stage(
      path.join(folder, name),
      bundleContents({ models: !values['no-models'], tests: values['with-tests'] ?? false }),
    );
    mkdirSync(path.dirname(target), { recursive: true });
    await pack(folder, name, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const hash = createHash('sha256').update(readFileSync(target)).digest('hex');
  say(`${(statSync(target).size / 2 ** 20).toFixed(1)} MiB, sha256 ${hash}`);
  if (values.check) await checkBundle(target, { models: !values['no-models'] });
  console.log(path.relative(process.cwd(), target));
});

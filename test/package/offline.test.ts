/** What `npm run bundle:offline` packs. That it builds and runs without Node and network is `-- --check`: minutes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { bundleContents } from '../../scripts/offline/contents.mjs';
import { ROOT } from './support/npm.ts';

const names = (options: Parameters<typeof bundleContents>[0]) => bundleContents(options).map(({ to }) => to);

describe('the offline bundle', () => {
  const usual = names({});

  it('holds what builds and runs the package', () => {
    for (const name of [
      ...['install.sh', 'animatediff-native', 'bin/node', 'package.json', 'LICENSE', 'README.md'],
      ...['CMakeLists.txt', 'native/engine/animatediff.h', 'native/addon/addon.cc', 'dist/cli/index.js'],
      ...['native/graphs/manifest.json', 'native/graphs/sd15-unet_motion_mid.pt', 'configs/demo.yaml'],
      ...['native/vocabulary/clip-merges.txt.gz', 'models/demo/base.safetensors'],
      ...['node_modules/node-addon-api/napi.h', 'node_modules/node-addon-api/index.js'],
      ...['node_modules/node-api-headers/include/node_api.h', 'scripts/offline/find-libtorch.mjs'],
    ])
      assert.ok(usual.includes(name), `${name} is missing`);
  });

  it('holds every production package, with its licence, and no other', () => {
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(path.join(ROOT, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>;
    const has = (name: string) => usual.includes(`node_modules/${name}/package.json`);
    assert.deepEqual(
      Object.keys(dependencies ?? {}).filter((name) => !has(name)),
      [],
    );
    const build = ['node-addon-api', 'node-api-headers'];
    assert.deepEqual(
      Object.keys(devDependencies ?? {}).filter((name) => has(name) && !build.includes(name)),
      [],
    );
    assert.ok(usual.some((name) => /^node_modules\/zod\/LICENSE/i.test(name)));
  });

  it('holds nothing that was built here, no tests and no documentation of packages', () => {
    const unwanted =
      /^(build|test|bench|lib|prebuilds|samples)\/|^native\/test\/|\.(node|map|tgz)$|^node_modules\/.*\.d\.ts$/;
    const sharp = /^node_modules\/@img\/sharp-/;
    assert.deepEqual(
      usual.filter((name) => unwanted.test(name) && !sharp.test(name)),
      [],
    );
  });

  it('leaves the models out, or takes the tests and what runs them along', () => {
    assert.ok(!names({ models: false }).some((name) => name.startsWith('models/')));
    const tests = names({ tests: true });
    for (const name of [
      ...['test/parity/pipeline.test.ts', 'test/fixtures/reference/unet.safetensors', 'lib/animatediff.ts'],
      ...['bench/main.ts', 'scripts/device-check/check-device.mjs', 'scripts/run.mjs', 'native/test/check.h'],
      ...['node_modules/tsx/package.json', 'node_modules/esbuild/package.json'],
    ])
      assert.ok(tests.includes(name), `${name} is missing`);
  });

  it('has every file that one of its own imports', () => {
    const contents = bundleContents({ tests: true });
    const all = new Set(contents.map(({ to }) => to));
    const own = contents.filter(({ to }) =>
      /^(dist|lib|bench|test|scripts)\/.*(?<!\.d)\.(ts|mjs|js)$/.test(to),
    );
    const missing = own.flatMap(({ from, to }) =>
      [...readFileSync(from, 'utf8').matchAll(/^(?:import|export|\} from)[^'\n]*'(\.[^']+)';$/gm)]
        .map(([, name = '']) => path.posix.join(path.posix.dirname(to), name))
        .filter((name) => !all.has(name))
        .map((name) => `${to}: ${name}`),
    );
    assert.deepEqual(missing, []);
  });

  it('is made of files that are there, once each', () => {
    const contents = bundleContents({ tests: true });
    for (const { from } of contents) assert.ok(statSync(from).isFile(), from);
    assert.equal(new Set(contents.map(({ to }) => to)).size, contents.length);
  });

  it('has programs for any POSIX shell', () => {
    for (const name of ['install.sh', 'launcher.sh']) {
      const { status, stderr } = spawnSync('sh', ['-n', path.join(ROOT, 'scripts', 'offline', name)], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
    }
  });
});

/** What an offline bundle holds: everything that builds and runs the package where nothing can be downloaded. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { Failure, ROOT } from '../run.mjs';

/** Files and folders of the repository, and what only `tests` or `models` asks for. */
const SOURCES = {
  always: [
    ...['package.json', 'LICENSE', 'README.md', 'CHANGELOG.md', 'CMakeLists.txt', 'native', 'configs'],
    'scripts/offline/find-libtorch.mjs',
  ],
  models: ['models/demo'],
  tests: [
    'lib',
    'test',
    'bench',
    'tsconfig.json',
    'scripts/run.mjs',
    'scripts/typescript.mjs',
    'scripts/full-check',
    'scripts/device-check',
  ],
};
/** Results, and what only a checkout can run. */
const LEFT_OUT = /^(bench\/(results\/|bench\.mjs)|test\/(demo|fuzz|package)\/|scripts\/full-check\/check-)/;

/** Files at the top of the bundle. */
const PROGRAMS = { 'install.sh': 'install.sh', 'animatediff-native': 'launcher.sh' };

/** Packages that compile the addon, with the part of each that does. */
const BUILD_PACKAGES = {
  'node-addon-api': /^(package\.json|LICENSE.*|index\.js|napi.*\.h)$/,
  'node-api-headers': /^(package\.json|LICENSE.*|include\/)/,
};

/** Of no use to a program that runs; licences stay. */
const DOCUMENTATION = /\.(map|markdown|[cm]?ts|flow)$|^(?!licen[cs]e)[^/]*\.md$/i;

/**
 * Files of a bundle as pairs of where they lie and their path in it, in order. `dist/` must be built.
 *
 * @param {{ models?: boolean, tests?: boolean }} options
 * @returns {{ from: string, to: string }[]}
 */
export function bundleContents({ models = true, tests = false } = {}) {
  const wanted = [...SOURCES.always, ...(models ? SOURCES.models : []), ...(tests ? SOURCES.tests : [])];
  const sources = sourceFiles(wanted).filter((name) => !LEFT_OUT.test(name));
  const own = sources.filter((name) => tests || !name.startsWith('native/test/'));
  const files = new Map([
    ...[...own, ...filesIn('dist')].map((name) => [name, path.join(ROOT, name)]),
    ...packageFiles(tests),
    ...Object.entries(PROGRAMS).map(([to, from]) => [to, path.join(ROOT, 'scripts', 'offline', from)]),
    ['bin/node', process.execPath],
  ]);
  return [...files].map(([to, from]) => ({ from, to })).sort((a, b) => (a.to < b.to ? -1 : 1));
}

function sourceFiles(names) {
  // With those that are new: all but what git ignores.
  const listed = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...names];
  const text = execFileSync('git', listed, { cwd: ROOT, encoding: 'utf8' });
  return text.split('\0').filter((name) => name !== '' && existsSync(path.join(ROOT, name)));
}

function filesIn(folder) {
  const root = path.join(ROOT, folder);
  if (!existsSync(root)) throw new Failure(`There is no ${folder}/. Run \`npm run build:ts\` first.`);
  const inside = readdirSync(root, { recursive: true }).map(String);
  return inside
    .filter((name) => statSync(path.join(root, name)).isFile())
    .map((name) => path.join(folder, name));
}

function packageFiles(tests) {
  const { packages } = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
  const production = Object.entries(packages).filter(([place, { dev }]) => place !== '' && dev !== true);
  const places = new Set(
    production.map(([place]) => place).filter((place) => existsSync(path.join(ROOT, place))),
  );
  if (tests) addClosure('tsx', packages, places);
  const whole = [...places].flatMap((place) =>
    filesIn(place).filter((file) => {
      const inside = path.relative(place, file);
      return !inside.includes('node_modules') && !DOCUMENTATION.test(inside);
    }),
  );
  const parts = Object.entries(BUILD_PACKAGES).flatMap(([name, part]) => {
    const place = path.join('node_modules', name);
    return filesIn(place).filter((file) => part.test(path.relative(place, file)));
  });
  return [...whole, ...parts].map((name) => [name, path.join(ROOT, name)]);
}

/** A package with everything that it needs and that is installed here. */
function addClosure(name, packages, places) {
  const place = `node_modules/${name}`;
  const entry = packages[place];
  if (entry === undefined || places.has(place) || !existsSync(path.join(ROOT, place))) return;
  places.add(place);
  for (const needed of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
    addClosure(needed, packages, places);
  }
}

/**
 * Installs a tarball of this package into an empty project with npm, from a lockfile with the same
 * dependencies as this checkout. Their archives are in npm's cache since the checkout was installed, so that
 * nothing is downloaded.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { NPM, ROOT } from './npm.ts';

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly resolved?: string;
  readonly [key: string]: unknown;
}

/** Makes the folder `project` a project that has `tarball` installed, as a user's `npm ci` does it. */
export function installTarball(tarball: string, project: string): void {
  mkdirSync(project);
  const specifier = `file:${path.relative(project, tarball)}`;
  const name = 'project';
  const dependencies = { 'animatediff-native': specifier };
  writeJson(path.join(project, 'package.json'), { name, private: true, dependencies });
  const packages = { '': { name, dependencies }, ...lockedPackages(specifier) };
  writeJson(path.join(project, 'package-lock.json'), { name, lockfileVersion: 3, requires: true, packages });
  npm(['ci', '--prefer-offline', '--no-audit', '--no-fund'], project);
}

/** What npm would write into the lockfile of a project that depends on the tarball. */
function lockedPackages(specifier: string): Record<string, LockedPackage> {
  const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const { version, license, bin, dependencies, engines, os } = lock.packages[''] ?? {};
  const own: LockedPackage = {
    version: version as string,
    resolved: specifier,
    license,
    bin,
    dependencies,
    engines,
    os,
  };
  const registry = npm(['config', 'get', 'registry'], ROOT).trim().replace(/\/*$/, '/');
  const entries = Object.entries(lock.packages)
    .filter(([place, { dev }]) => place !== '' && dev !== true)
    .map(([place, entry]) => [place, { resolved: archiveOf(place, entry, registry), ...entry }] as const);
  return { 'node_modules/animatediff-native': own, ...Object.fromEntries(entries) };
}

/** Address of a package's archive, which the lockfile of this checkout leaves out. */
function archiveOf(place: string, { version }: LockedPackage, registry: string): string {
  const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
  return `${registry}${name}/-/${path.posix.basename(name)}-${version}.tgz`;
}

function npm(args: readonly string[], cwd: string): string {
  const [command, ...first] = NPM;
  return execFileSync(command, [...first, ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function writeJson(file: string, content: unknown): void {
  writeFileSync(file, `${JSON.stringify(content, undefined, 2)}\n`);
}

/**
 * The packages only benchmarks need (bench/package.json): installed on the first run, loaded by name.
 *
 *   1. bench/package.json and its lockfile are copied to node_modules/.cache/stratakv-bench
 *   2. `npm ci --ignore-scripts` runs there, else `npm install` (a registry may lack the binaries of other platforms)
 *   3. whatever then can't be loaded is reported as absent and left out; nothing here fails a run
 *
 * They are no devDependencies, because `npm test` of a fresh clone would then download 150 MB of other people's
 * databases. Install scripts don't run: each peer ships binaries, and where it has none for a platform it is absent
 * rather than compiled.
 *
 * Not chosen: bench/node_modules: the house rules, the build and the linter read all of bench/.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT: string = findRoot();
const SOURCE: string = join(ROOT, 'bench');
const HOME: string = join(ROOT, 'node_modules', '.cache', 'stratakv-bench');
const STAMP: string = join(HOME, '.installed');
const FILES = ['package.json', 'package-lock.json'] as const;

/** The checkout: this file lies in dist/bench. */
function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** Installs what is missing. Returns what went wrong, if anything. */
export function installPackages(say: (line: string) => void): string | undefined {
  const wanted = FILES.map((file) => readFileSync(join(SOURCE, file), 'utf8')).join('\n');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return undefined;
  mkdirSync(HOME, { recursive: true });
  for (const file of FILES) copyFileSync(join(SOURCE, file), join(HOME, file));
  say('installing the peers into node_modules/.cache/stratakv-bench (once)');
  if (!npm('ci') && !npm('install', '--no-save'))
    return 'npm could not install the peers; its messages are above';
  writeFileSync(STAMP, wanted);
  return undefined;
}

function npm(...command: string[]): boolean {
  const args = [...command, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const cli = process.env['npm_execpath'] ?? '';
  const stdio: ['ignore', 2, 2] = ['ignore', 2, 2];
  const result = /^npm-cli\.c?js$/.test(basename(cli))
    ? spawnSync(process.execPath, [cli, ...args], { cwd: HOME, stdio })
    : // npm is a .cmd file on Windows, which only a shell can start. The arguments are constants.
      spawnSync(`npm ${args.join(' ')}`, { cwd: HOME, stdio, shell: true });
  return result.status === 0;
}

/** Throws when it is not installed, or has no binary for this platform. */
export function loadPackage<T>(name: string): T {
  return createRequire(join(HOME, 'package.json'))(name) as T;
}

/** The file by which a package is loaded, for another process. */
export function loadedFrom(name: string): string {
  return createRequire(join(HOME, 'package.json')).resolve(name);
}

/** Why a package can't be loaded; undefined when it can, or when there is none to load. */
export function absence(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  try {
    loadPackage(name);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : String(error);
  }
}

/** Its version, or undefined when it is not installed. */
export function packageVersion(name: string): string | undefined {
  const file = join(HOME, 'node_modules', ...name.split('/'), 'package.json');
  if (!existsSync(file)) return undefined;
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
}

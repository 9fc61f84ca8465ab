/**
 * The rows of compat.mjs: packages that a project takes beside ours, and what is run in it.
 *
 * Each row writes records, flushes, compacts, reads and closes; what is bundled has to be refused by open(), and to work with
 * `threads: 0`.
 *
 * Invariants: a row works in the project it is given, and throws what went wrong.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { APPLICATION, USE } from './compat-projects.mjs';

const ROW_TIMEOUT_MS = 180_000;
/** The packed package, in each project. */
export const TARBALL = 'stratakv.tgz';

/** A row: what it is, the packages that it takes, and what it runs in its project; that gives what there is to say. */
export const ROWS = [
  row('Node, import', [], (p) => works(p, ['node', 'app.mjs'])),
  row('Node, require', [], (p) => works(p, ['node', 'app.cjs'])),
  row('Node, import and require', [], (p) => works(p, ['node', 'both.cjs'])),
  row('Node, --permission', [], (p) =>
    works(p, [
      'node',
      permissionFlag(),
      '--allow-fs-read=*',
      `--allow-fs-write=${p}/*`,
      '--allow-worker',
      'app.mjs',
    ]),
  ),
  row('Deno', ['@deno/linux-x64-glibc'], (p) =>
    works(p, ['node_modules/@deno/linux-x64-glibc/deno', 'run', '-A', 'app.mjs']),
  ),
  row('Bun', ['@oven/bun-linux-x64'], (p) =>
    refused(
      p,
      ['node_modules/@oven/bun-linux-x64/bin/bun', 'app.mjs'],
      /STRATA_UNSUPPORTED .*does not run on Bun/,
    ),
  ),
  row('node:test', [], (p) => works(p, ['node', '--test', 'runner.test.cjs'])),
  row('jest, CommonJS', ['jest@29'], (p) =>
    works(p, ['node', bin('jest'), 'runner.test.cjs', '--testMatch=**/*.cjs']),
  ),
  row('jest, ES modules', ['jest@29'], (p) =>
    works(p, ['node', '--experimental-vm-modules', bin('jest'), 'runner.test.mjs', '--testMatch=**/*.mjs']),
  ),
  row('jest 30, CommonJS', ['jest@30'], (p) =>
    works(p, ['node', bin('jest'), 'runner.test.cjs', '--testMatch=**/*.cjs']),
  ),
  row('mocha', ['mocha'], (p) =>
    works(p, ['node', 'node_modules/mocha/bin/mocha.js', 'runner.test.cjs', '--timeout', '60000']),
  ),
  ...['forks', 'threads', 'vmThreads', 'vmForks'].map((pool) =>
    row(`vitest, ${pool}`, ['vitest@3'], (p) =>
      works(p, [
        'node',
        'node_modules/vitest/vitest.mjs',
        'run',
        `--pool=${pool}`,
        '--globals',
        'runner.test.mjs',
      ]),
    ),
  ),
  ...['esm', 'cjs'].map((format) =>
    row(`esbuild, ${format}`, ['esbuild'], (p) =>
      bundled(p, format, (out, external) => [
        'node_modules/.bin/esbuild',
        'app.mjs',
        '--bundle',
        '--platform=node',
        `--format=${format}`,
        `--outfile=${out}`,
        ...(external ? ['--external:stratakv'] : []),
      ]),
    ),
  ),
  row(
    'Rollup',
    ['rollup', '@rollup/plugin-node-resolve', '@rollup/plugin-commonjs', '@rollup/plugin-json'],
    (p) => bundled(p, 'esm', () => ['node_modules/.bin/rollup', '-c', 'rollup.config.mjs', '--silent']),
  ),
  row('webpack', ['webpack', 'webpack-cli'], (p) =>
    bundled(p, 'cjs', () => ['node_modules/.bin/webpack', '-c', 'webpack.config.cjs']),
  ),
  row('rspack', ['@rspack/core', '@rspack/cli'], (p) =>
    bundled(p, 'cjs', () => ['node_modules/.bin/rspack', '-c', 'webpack.config.cjs']),
  ),
  row('Vite', ['vite@7'], (p) =>
    bundled(p, 'esm', () => ['node_modules/.bin/vite', 'build', '-c', 'vite.build.mjs']),
  ),
  row('Rolldown', ['rolldown'], (p) =>
    bundled(p, 'esm', (out, external) => [
      'node_modules/.bin/rolldown',
      'app.mjs',
      '--platform=node',
      '--format=esm',
      `--dir=${dirname(out)}`,
      '--entry-file-names=[name].mjs',
      `--external=${external ? 'stratakv' : '@aws-sdk/client-s3'}`,
    ]),
  ),
  row('tsx', ['tsx'], (p) => {
    writeFileSync(join(p, 'app.ts'), APPLICATION['app.mjs']);
    return works(p, ['node_modules/.bin/tsx', 'app.ts']);
  }),
  row('pnpm', ['pnpm@10'], (p) =>
    managed(p, ['node', join(p, 'node_modules/pnpm/bin/pnpm.cjs'), 'install'], ['node', 'app.mjs']),
  ),
  row('Yarn 1', ['yarn@1'], (p) =>
    managed(
      p,
      ['node', join(p, 'node_modules/yarn/bin/yarn.js'), 'install', '--ignore-scripts'],
      ['node', 'app.mjs'],
    ),
  ),
  row('Yarn 4, node_modules', ['@yarnpkg/cli-dist@4'], (p) => yarn(p, 'node-modules')),
  row("Yarn 4, Plug'n'Play", ['@yarnpkg/cli-dist@4'], (p) => yarn(p, 'pnp')),
  ...['5.0', '5.4', '5.9', 'latest'].map((version) =>
    row(
      `TypeScript ${version}`,
      [`typescript@${version}`, version < '5.9' ? '@types/node@20.11' : '@types/node'],
      compiled,
    ),
  ),
];

function row(name, packages, run) {
  return { name, packages, run };
}

function works(project, command, env = {}) {
  rmSync(join(project, 'store'), { recursive: true, force: true });
  const done = shell(project, command, env);
  if (done.status !== 0 || !/STORE ok/.test(done.stdout + done.stderr)) throw new Error(lastLine(done));
  return 'works';
}

function refused(project, command, pattern) {
  const done = shell(project, command);
  if (!pattern.test(done.stdout)) throw new Error(lastLine(done));
  return `open() is refused: ${pattern.exec(done.stdout)[0]}`;
}

/** `command` makes the bundle in the file it is given, with the package in it or (EXTERNAL) not. */
function bundled(project, format, command) {
  for (const external of [true, false]) {
    const out = `out/${external ? 'external' : 'inside'}/app.${format === 'cjs' ? 'cjs' : 'mjs'}`;
    const built = shell(project, command(out, external), { EXTERNAL: external ? '1' : '', OUT: out });
    if (built.status !== 0) throw new Error(`no bundle: ${lastLine(built)}`);
    if (external) works(project, ['node', out]);
    else {
      refused(project, ['node', out], /STRATA_UNSUPPORTED stratakv was bundled/);
      works(project, ['node', out], { THREADS: '0' });
    }
  }
  return 'works as external; bundled: open() is refused, `threads: 0` works';
}

/** In a folder of its own, where another package manager installs. */
function managed(project, install, run, files = {}) {
  const inner = join(project, 'inner');
  mkdirSync(inner);
  const manifest = {
    name: 'inner',
    private: true,
    dependencies: { stratakv: `file:${join(project, TARBALL)}` },
  };
  for (const [file, text] of Object.entries({
    ...APPLICATION,
    ...files,
    'package.json': JSON.stringify(manifest),
  }))
    writeFileSync(join(inner, file), text);
  const done = shell(inner, install, { CI: '', YARN_ENABLE_IMMUTABLE_INSTALLS: '0' });
  if (done.status !== 0) throw new Error(`no install: ${lastLine(done)}`);
  return works(inner, run);
}

function yarn(project, linker) {
  const registry = shell(project, ['npm', 'config', 'get', 'registry']).stdout.trim();
  const settings = [
    `nodeLinker: ${linker}`,
    'enableTelemetry: false',
    'enableGlobalCache: false',
    'enableScripts: false',
    `npmRegistryServer: ${JSON.stringify(registry)}`,
    'unsafeHttpWhitelist:',
    '  - "*"',
    '',
  ];
  const cli = join(project, 'node_modules/@yarnpkg/cli-dist/bin/yarn.js');
  const files = { '.yarnrc.yml': settings.join('\n'), 'yarn.lock': '' };
  return managed(project, ['node', cli, 'install'], ['node', cli, 'node', 'app.mjs'], files);
}

function compiled(project) {
  const version = versionOf(project, 'typescript');
  for (const extension of ['cts', 'mts', 'ts']) writeFileSync(join(project, `use.${extension}`), USE);
  const kinds = [
    ['node16', 'node16', 'use.cts'],
    ['nodenext', 'nodenext', 'use.mts'],
    ['esnext', 'bundler', 'use.ts'],
  ];
  // The old way ended with version 6.
  if (Number(version.split(' ').at(-1).split('.')[0]) < 6) kinds.push(['commonjs', 'node10', 'use.ts']);
  for (const [place, [module, moduleResolution, file]] of kinds.entries()) {
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'es2022',
      lib: ['es2022'],
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      exactOptionalPropertyTypes: place % 2 === 0,
      types: ['node'],
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }));
    const done = shell(project, ['node', 'node_modules/typescript/bin/tsc', '-p', '.']);
    if (done.status !== 0) throw new Error(`${module}, ${moduleResolution}: ${done.stdout.slice(0, 200)}`);
  }
  return `compiles: ${kinds.map(([module, resolution]) => `${module}/${resolution}`).join(', ')}`;
}

export function shell(cwd, [command, ...args], env = {}) {
  const file = command === 'node' ? process.execPath : command;
  const done = spawnSync(file, args, {
    cwd,
    encoding: 'utf8',
    timeout: ROW_TIMEOUT_MS,
    env: { ...process.env, ...env },
  });
  return { ...done, stdout: done.stdout ?? '', stderr: done.stderr ?? String(done.error) };
}

function bin(name) {
  return `node_modules/${name}/bin/${name}.js`;
}

function permissionFlag() {
  return Number(process.versions.node.split('.')[0]) < 23 ? '--experimental-permission' : '--permission';
}

/** `name version` of an item as npm takes it; nothing where it could not be installed. */
export function versionOf(project, item) {
  const name = item.replace(/(.)@.*$/, '$1');
  const manifest = join(project, 'node_modules', name, 'package.json');
  return existsSync(manifest) ? `${name} ${JSON.parse(readFileSync(manifest, 'utf8')).version}` : name;
}

export function lastLine({ stdout, stderr, signal }) {
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => /error|STRATA|fail|cannot/i.test(line));
  return stripVTControlCharacters(lines[0] ?? `${stderr || stdout || signal}`)
    .trim()
    .slice(0, 200);
}

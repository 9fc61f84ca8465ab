/**
 * Makes a checkout ready to run: installs what is missing, builds what is stale, says nothing when there is nothing to do.
 *
 *   1. node is new enough, else one clear line
 *   2. every package of package-lock.json is in node_modules at that version, else `npm ci`, else `npm install`
 *   3. dist was built from exactly these sources, else tsc and bundle.mjs into a directory beside it, which then replaces dist
 *
 * Runs as `npm run setup`, and before start, test and pack. Plain Node without dependencies, as none may be there yet.
 *
 * Invariants: dist is replaced as a whole, so it never holds the output of a deleted source, and a failed build leaves
 *             the last good one in place. Every failing step is shown and ends the run. Nothing goes to stdout, which
 *             belongs to the caller (`tarball=$(npm pack)`).
 * Not chosen: comparing times. A checkout, a copy or a cache restore sets them at will; contents don't lie and reading
 *             a few hundred small files takes milliseconds.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = readJson('package.json');
/** What follows tsc. */
const BUILD_SCRIPTS = ['bundle', 'declarations', 'entries'].map((name) => `scripts/${name}.mjs`);

/** Installs and builds as needed. `rebuild` builds even when nothing changed. */
export function setUp({ rebuild = false } = {}) {
  requireNode();
  if (findMissingPackage() !== undefined) install();
  const fingerprint = fingerprintSources();
  if (rebuild || readStamp() !== fingerprint) build(fingerprint);
}

function requireNode() {
  const wanted = manifest.engines.node.replace(/^>=/, '').split('.').map(Number);
  const found = process.versions.node.split('.').map(Number);
  const isOld = found[0] < wanted[0] || (found[0] === wanted[0] && found[1] < (wanted[1] ?? 0));
  if (isOld) fail(`stratakv needs Node ${manifest.engines.node}; this is ${process.version}`);
}

/** The first package that is absent or of another version than the lockfile says. Optional ones may be absent. */
function findMissingPackage() {
  if (!existsSync(join(root, 'package-lock.json'))) {
    const direct = { ...manifest.dependencies, ...manifest.devDependencies };
    return Object.keys(direct).find((name) => !existsSync(join(root, 'node_modules', name, 'package.json')));
  }
  for (const [path, locked] of Object.entries(readJson('package-lock.json').packages)) {
    if (path === '' || locked.link) continue;
    const file = join(root, path, 'package.json');
    if (!existsSync(file)) {
      if (locked.optional || locked.devOptional || locked.peer) continue;
      return path;
    }
    if (JSON.parse(readFileSync(file, 'utf8')).version !== locked.version) return path;
  }
  return undefined;
}

function install() {
  const hasLock = existsSync(join(root, 'package-lock.json'));
  let result = hasLock ? npm('ci') : npm('install');
  if (hasLock && result.status !== 0) {
    // npm 11 refuses a lockfile that leaves out the binaries of other platforms, which a registry may not carry.
    // `install` takes the same versions from it; --no-save leaves the lockfile as it is.
    say(`npm ci failed${reason(result)}, for the reason above; trying npm install`);
    result = npm('install', '--no-save');
  }
  if (result.status !== 0) fail(`npm install failed${reason(result)}, for the reason above`);
  const missing = findMissingPackage();
  if (missing !== undefined) fail(`npm reported success but ${missing} is not what package-lock.json says`);
}

function npm(command, ...options) {
  // --include=dev: the build needs its tools under NODE_ENV=production too.
  const args = [command, ...options, '--include=dev', '--no-audit', '--no-fund'];
  say(`npm ${args.join(' ')}`);
  const env = { ...process.env };
  // What was meant for the npm that called us: `npm pack --dry-run` would make this install a dry run as well.
  for (const name of Object.keys(env)) {
    if (/^npm_config_(dry_run|json|global|location|workspaces?|include_workspace_root)$/i.test(name))
      delete env[name];
  }
  const stdio = ['ignore', 2, 2];
  const cli = process.env.npm_execpath ?? '';
  if (/^npm-cli\.c?js$/.test(basename(cli))) {
    return spawnSync(process.execPath, [cli, ...args], { cwd: root, env, stdio });
  }
  // npm is a .cmd file on Windows, which only a shell can start. The arguments are constants.
  return spawnSync(`npm ${args.join(' ')}`, { cwd: root, env, stdio, shell: true });
}

function build(fingerprint) {
  say('building dist');
  const next = join(root, `dist-next-${process.pid}`);
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', next];
  const result = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    remove(next);
    fail(`the build failed${reason(result)}; the messages of tsc are above`);
  }
  // A process of its own, as tsc is: setUp() is for callers that don't wait for promises.
  const bundled = spawnSync(process.execPath, [join(root, 'scripts', 'bundle.mjs'), next], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (bundled.status !== 0) {
    remove(next);
    fail(`the build failed${reason(bundled)}; the messages of bundle.mjs are above`);
  }
  for (const file of Object.values(manifest.bin)) {
    const path = join(next, relative('dist', file));
    if (existsSync(path)) chmodSync(path, 0o755);
  }
  writeFileSync(join(next, '.sources'), fingerprint);
  replaceDirectory(next, join(root, 'dist'));
}

/** A digest of everything the output depends on. */
function fingerprintSources() {
  const { include } = readJson('tsconfig.json');
  const settings = ['tsconfig.json', 'package.json', 'package-lock.json', ...BUILD_SCRIPTS];
  const files = [...settings, ...include.flatMap(listSources)];
  const hash = createHash('sha256');
  for (const file of files) {
    if (existsSync(join(root, file)))
      hash
        .update(`${file}\0`)
        .update(readFileSync(join(root, file)))
        .update('\0');
  }
  return hash.digest('hex');
}

function listSources(folder) {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name).split(sep).join('/'))
    .sort();
}

function readStamp() {
  const path = join(root, 'dist', '.sources');
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/** Virus scanners on Windows hold fresh files for a moment, and a rename then fails: try for two seconds. */
function replaceDirectory(from, to) {
  remove(to);
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(from, to);
      return;
    } catch (error) {
      if (attempt === 20) fail(`cannot rename ${from} to ${to}: ${error.message}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
}

function remove(path) {
  rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

function readJson(name) {
  return JSON.parse(readFileSync(join(root, name), 'utf8'));
}

function reason(result) {
  if (result.error) return ` (${result.error.message})`;
  return result.signal ? ` (${result.signal})` : ` (exit code ${result.status})`;
}

function say(message) {
  process.stderr.write(`setup: ${message}\n`);
}

function fail(message) {
  say(message);
  process.exit(1);
}

// The real path: on macOS /tmp is a link, and a setup that took itself for an import would do nothing, silently.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  setUp({ rebuild: process.argv.includes('--rebuild') });
}

/**
 * The entry points of the package, in one table: what bundle.mjs builds, and what package.json's `exports` and
 * `typesVersions` have to say of it (test/package.test.ts compares them; `node scripts/entries.mjs` prints both).
 *
 * To add one: a line here, then that output into package.json.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Subpath of the package -> its module in src, without the extension. */
export const ENTRIES = {
  '.': 'main/index',
  './worker': 'client/index',
  './backup': 'main/backup',
  './backup-s3': 'backup/s3/index',
  './level': 'level/index',
  './keyv': 'adapters/keyv',
  './unstorage': 'adapters/unstorage',
};

/**
 * Entries whose declarations import a package that need not be installed, and the folder of src that does: what is declared there
 * is in a file of its own, so that the other entries compile without that package.
 */
export const WITH_PEER = { './level': 'level' };

/** The name of an entry's files in dist/lib. */
export function nameOf(subpath) {
  return subpath === '.' ? 'index' : subpath.slice(2);
}

/**
 * Both forms for whoever tells them apart. `module-sync` is known to the versions of Node that can require() an ES module:
 * there both ways lead to the same file, and there is one set of classes in a process.
 */
function conditionsOf(subpath) {
  const path = `./dist/lib/${nameOf(subpath)}`;
  const esm = { types: `${path}.d.ts`, default: `${path}.js` };
  return { 'module-sync': esm, import: esm, require: { types: `${path}.d.cts`, default: `${path}.cjs` } };
}

export function packageExports() {
  const entries = Object.keys(ENTRIES).map((subpath) => [subpath, conditionsOf(subpath)]);
  return { ...Object.fromEntries(entries), './package.json': './package.json' };
}

/** For a TypeScript that does not read `exports` (moduleResolution node10). */
export function typesVersions() {
  const subpaths = Object.keys(ENTRIES).filter((subpath) => subpath !== '.');
  return {
    '*': Object.fromEntries(
      subpaths.map((subpath) => [subpath.slice(2), [`./dist/lib/${nameOf(subpath)}.d.cts`]]),
    ),
  };
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify({ exports: packageExports(), typesVersions: typesVersions() }, undefined, 2));
}

/**
 * Makes fewer and larger files of what tsc wrote.
 *
 *   dist/src/workers/worker-thread.js   what it imports, in its place: tests start its threads by the hundred
 *   dist/lib                            what the package ships: its entries (entries.mjs) as ES modules and as CommonJS,
 *                                       the command line, the two files that run in threads, and the declarations
 *                                       (declarations.mjs)
 *
 * An `import()` of the sources stays one: what it loads, and nothing else needs, is a file of its own.
 *
 * Invariants: packages, and what is loaded by a name that is known at run time alone (`import(spec.module)`), stay outside.
 *             All of dist/lib lies side by side: a thread's file is found beside whichever file starts it, and the CommonJS
 *             files start the same threads as the others.
 *             Names stay, so that a stack trace can be read; comments go, but for those of licences.
 */
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeDeclarations } from './declarations.mjs';
import { ENTRIES, nameOf } from './entries.mjs';

const WORKER_THREAD = 'src/workers/worker-thread.js';
/** One file each, which no other file imports. */
const THREADS = [WORKER_THREAD, 'src/shared/disk/reader-thread.js'];
const COMMAND_LINE = 'src/main/cli/cli.js';

/** Where the sources say that the file of a thread lies, by the file that says so. */
const PLACES = {
  'src/main/jobs/worker-pool.js': ['../../workers/worker-thread', './worker-thread.js'],
  'src/shared/disk/reader-threads.js': ['./reader-thread', './reader-thread.js'],
};

/** An import at the beginning of a line, as tsc writes it; not `import('x')`. */
const STATIC_IMPORT = /^(?:import\s*|(?:import|export)\s[^;'"()=]*?\sfrom\s*)['"]([^'"]+)['"];/gm;

/** Bundles what lies in `dist`, the output of tsc. Rejects with what rolldown has to say. */
export async function bundle(dist) {
  // Loaded late: the package may have been installed by the caller a moment ago.
  const { rolldown } = await import('rolldown');
  const write = async (input, output, plugins = []) => {
    const build = await rolldown({
      input,
      cwd: dist,
      platform: 'node',
      external: (id) => !id.startsWith('.') && !isAbsolute(id),
      plugins,
      logLevel: 'warn',
      onLog: (_level, log) => {
        throw new Error(log.message);
      },
    });
    await build.write({
      minify: false,
      sourcemap: false,
      comments: { legal: true, annotation: true, jsdoc: false },
      ...output,
    });
    await build.close();
  };
  const lib = join(dist, 'lib');
  const inputs = Object.fromEntries(
    Object.entries(ENTRIES).map(([subpath, module]) => [nameOf(subpath), join(dist, 'src', `${module}.js`)]),
  );
  const cli = join(dist, COMMAND_LINE);
  const toChunks = { dir: lib, codeSplitting: { groups: groupsOf(dist) } };
  const esm = { format: 'esm', chunkFileNames: '[name]-[hash].js' };
  await write({ ...inputs, cli }, { ...toChunks, ...esm }, [placesIn(dist)]);
  const cjs = { entryFileNames: '[name].cjs', chunkFileNames: '[name]-[hash].cjs', exports: 'named' };
  await write(inputs, { ...toChunks, ...cjs, format: 'cjs', dynamicImportInCjs: false }, [placesIn(dist)]);
  for (const entry of THREADS) {
    const file = join(lib, entry.slice(entry.lastIndexOf('/') + 1));
    await write(join(dist, entry), { file, format: 'esm', codeSplitting: false });
  }
  writeDeclarations(dist);
  const file = join(dist, WORKER_THREAD);
  await write(file, { file, format: 'esm', codeSplitting: false });
}

/**
 * What is loaded together is one file:
 *
 *   base    what the command line and the package begin with      reads   of the code of a store, what a client has too
 *   front   the rest of what importing the package loads          store   the rest of it
 *
 * Left to itself, each combination of entries that needs a module would make a file: 70 small ones.
 */
function groupsOf(dist) {
  const [index, core, client, cli] = ['main/index', 'main/engine-core', 'client/index', 'main/cli/cli'].map(
    (module) => loadedBy(join(dist, 'src', `${module}.js`)),
  );
  const sets = {
    base: (id) => index.has(id) && cli.has(id),
    front: (id) => index.has(id),
    reads: (id) => core.has(id) && client.has(id),
    store: (id) => core.has(id),
  };
  const names = Object.keys(sets);
  return names.map((name, place) => ({ name, test: sets[name], priority: names.length - place }));
}

/** The files that are loaded with `entry`, itself included. */
function loadedBy(entry, files = new Set()) {
  if (files.has(entry)) return files;
  files.add(entry);
  for (const [, specifier] of readFileSync(entry, 'utf8').matchAll(STATIC_IMPORT))
    if (specifier.startsWith('.')) loadedBy(resolve(dirname(entry), specifier), files);
  return files;
}

/** Has the files of threads looked for where dist/lib has them. */
function placesIn(dist) {
  const found = new Set();
  return {
    name: 'places-of-threads',
    transform(code, id) {
      const place = PLACES[relative(dist, id).split(sep).join('/')];
      if (place === undefined) return null;
      const from = `new URL(\`${place[0]}\${extname(import.meta.url)}\`, `;
      if (code.split(from).length !== 2) throw new Error(`${id} names no file of a thread by ${from}`);
      found.add(id);
      return code.replace(from, `new URL('${place[1]}', `);
    },
    buildEnd() {
      const missing = Object.keys(PLACES).filter((path) => !found.has(join(dist, path)));
      if (missing.length > 0) throw new Error(`${missing.join(', ')} was not bundled`);
    },
  };
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await bundle(resolve(process.argv[2]));
}

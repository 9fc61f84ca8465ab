/**
 * Makes fewer and larger files of what tsc wrote.
 *
 *   dist/src                            every module in its place still, but most of them only name what lies in a few files
 *                                       beside them: tests start processes and threads by the thousand, and each loads hundreds
 *                                       of modules
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
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeDeclarations } from './declarations.mjs';
import { ENTRIES, nameOf } from './entries.mjs';

/** One file each, which no other file imports. */
const THREADS = ['src/workers/worker-thread.js', 'src/shared/disk/reader-thread.js'];
const COMMAND_LINE = 'src/main/cli/cli.js';

/** Where the sources say that the file of a thread lies, by the file that says so. */
const PLACES = {
  'src/main/jobs/worker-pool.js': '../../workers/worker-thread',
  'src/shared/disk/reader-threads.js': './reader-thread',
};

/** An import at the beginning of a line, as tsc writes it; not `import('x')`. */
const STATIC_IMPORT = /^(?:import\s*|(?:import|export)\s[^;'"()=]*?\sfrom\s*)['"]([^'"]+)['"];/gm;

/** Bundles what lies in `dist`, the output of tsc. Rejects with what rolldown has to say. */
export async function bundle(dist) {
  // Loaded late: the package may have been installed by the caller a moment ago.
  const { rolldown } = await import('rolldown');
  const write = async (input, output, plugins = [], accepted = []) => {
    const build = await rolldown({
      input,
      cwd: dist,
      platform: 'node',
      external: (id) => !id.startsWith('.') && !isAbsolute(id),
      plugins,
      logLevel: 'warn',
      onLog: (_level, log) => {
        if (!accepted.includes(log.code)) throw new Error(log.message);
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
  const beside = placesIn(dist, (file) => `./${file.slice(file.lastIndexOf('/') + 1)}`);
  await write({ ...inputs, cli }, { ...toChunks, ...esm }, [beside]);
  const cjs = { entryFileNames: '[name].cjs', chunkFileNames: '[name]-[hash].cjs', exports: 'named' };
  await write(inputs, { ...toChunks, ...cjs, format: 'cjs', dynamicImportInCjs: false }, [beside]);
  for (const entry of THREADS) {
    const file = join(lib, entry.slice(entry.lastIndexOf('/') + 1));
    await write(join(dist, entry), { file, format: 'esm', codeSplitting: false });
  }
  writeDeclarations(dist);
  const threads = await Promise.all(
    THREADS.map(async (entry) => [entry, await readFile(join(lib, entry.slice(entry.lastIndexOf('/') + 1)))]),
  );
  await write(
    modulesOf(dist),
    {
      dir: join(dist, 'src'),
      format: 'esm',
      chunkFileNames: '[name]-[hash].chunk.js',
      codeSplitting: { groups: testGroupsOf(dist) },
    },
    [placesIn(dist, (file) => `./${file.slice('src/'.length)}`)],
    // What a test loads at once anyway, the package loads when it needs it.
    ['INEFFECTIVE_DYNAMIC_IMPORT'],
  );
  for (const [entry, text] of threads) await writeFile(join(dist, entry), text);
}

/** Every module of dist/src that is no thread's, by its path without the extension. */
function modulesOf(dist) {
  const names = readdirSync(join(dist, 'src'), { recursive: true })
    .map((name) => name.split(sep).join('/'))
    .filter((name) => name.endsWith('.js') && !THREADS.includes(`src/${name}`));
  return Object.fromEntries(names.map((name) => [name.slice(0, -3), join(dist, 'src', name)]));
}

/** As groupsOf() has it, for tests of single modules: what clients, jobs and backups need stands apart. */
function testGroupsOf(dist) {
  const sets = ['main/index', 'main/engine-core', 'client/index', 'workers/worker', 'main/backup'].map(
    (module) => loadedBy(join(dist, 'src', `${module}.js`)),
  );
  return ['front', 'store', 'client', 'work', 'backup'].map((name, place) => ({
    name,
    test: (id) => sets[place].has(id),
    priority: sets.length - place,
  }));
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

/** Has the files of threads looked for where `placeOf` says that the code finds them. */
function placesIn(dist, placeOf) {
  const found = new Set();
  return {
    name: 'places-of-threads',
    transform(code, id) {
      const path = relative(dist, id).split(sep).join('/');
      const specifier = PLACES[path];
      if (specifier === undefined) return null;
      const from = `new URL(\`${specifier}\${extname(import.meta.url)}\`, `;
      if (code.split(from).length !== 2) throw new Error(`${id} names no file of a thread by ${from}`);
      found.add(id);
      return code.replace(from, `new URL('${placeOf(`${posix.join(posix.dirname(path), specifier)}.js`)}', `);
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

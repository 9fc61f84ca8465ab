/**
 * Makes fewer and larger files of what tsc wrote: one for the thread that carries out jobs, which tests start by the hundred.
 *
 * Invariants: packages and what is loaded with a name that is known at run time alone (`import(spec.module)`) stay outside.
 *             Names and comments stay: a stack trace is to be read.
 */
import { isAbsolute, join, resolve } from 'node:path';

/** The entries of threads, from dist: each becomes one file, in its place. */
const THREADS = ['src/workers/worker-thread.js'];

/** Bundles what lies in `dist`, the output of tsc. Rejects with what rolldown has to say. */
export async function bundle(dist) {
  // Loaded late: the package may have been installed by the caller a moment ago.
  const { rolldown } = await import('rolldown');
  for (const entry of THREADS) {
    const file = join(dist, entry);
    const build = await rolldown({
      input: file,
      cwd: dist,
      platform: 'node',
      external: (id) => !id.startsWith('.') && !isAbsolute(id),
      logLevel: 'warn',
    });
    await build.write({
      file,
      format: 'esm',
      codeSplitting: false,
      minify: false,
      comments: { legal: true, annotation: true, jsdoc: false },
    });
    await build.close();
  }
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1])
  await bundle(resolve(process.argv[2]));

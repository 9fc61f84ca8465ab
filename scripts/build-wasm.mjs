/**
 * Compiles src/shared/wasm/assembly into src/shared/wasm/blocks-binary.ts: `npm run build:wasm`, after a change of the former. A
 * test holds the two together, so nobody needs the compiler to install, build or run.
 *
 * Invariants: the same sources give the same bytes, with the exact version of the compiler that package.json names. A warning of
 *             the compiler is an error.
 */
import { realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = new URL('../src/shared/wasm/blocks-binary.ts', import.meta.url);
const OUTPUT = 'blocks.wasm';
/** `stub`: nothing of the sources is an object, so no runtime is part of the module. */
const OPTIONS = [
  ['--baseDir', root],
  ['--runtime', 'stub'],
  ['--optimizeLevel', '3'],
  ['--shrinkLevel', '0'],
  ['--noAssert'],
  ['--enable', 'simd'],
  ['--initialMemory', '1'],
  ['--outFile', OUTPUT],
].flat();

/** The module's bytes in base64. */
export async function compileBlocks() {
  let bytes;
  const writeFile = (name, contents) => {
    if (name === OUTPUT) bytes = contents;
  };
  const entry = 'src/shared/wasm/assembly/blocks.ts';
  const { error, stderr } = await asc.main([entry, ...OPTIONS], { writeFile });
  const said = stderr.toString();
  if (error || said !== '') throw new Error(said || error.message, { cause: error });
  return Buffer.from(bytes).toString('base64');
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const lines = (await compileBlocks()).match(/.{1,100}/g).map((line) => `  '${line}',`);
  writeFileSync(
    target,
    `/**
 * The sources in assembly/, compiled by scripts/build-wasm.mjs; a test compares the two. A string, so that it is there wherever
 * the code is, bundled or not.
 */
const LINES: readonly string[] = [
${lines.join('\n')}
];

/** The module's bytes in base64. */
export const BLOCKS_WASM: string = LINES.join('');
`,
  );
}

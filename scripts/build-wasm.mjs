/**
 * Assembles src/shared/wasm/snappy.wat into src/shared/wasm/snappy-binary.ts: `npm run build:wasm`, after a change of the
 * former. A test holds the two together, so nobody builds WebAssembly to install, build or test.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const source = new URL('../src/shared/wasm/snappy.wat', import.meta.url);
const target = new URL('../src/shared/wasm/snappy-binary.ts', import.meta.url);
const features = { simd: true };

const assembler = await wabt();
const module = assembler.parseWat('snappy.wat', readFileSync(source, 'utf8'), features);
module.validate(features);
const binary = Buffer.from(module.toBinary({}).buffer).toString('base64');
const lines = binary.match(/.{1,100}/g).map((line) => `  '${line}',`);
writeFileSync(
  target,
  `/**
 * snappy.wat, assembled by scripts/build-wasm.mjs; a test compares the two. A string, so that it is there wherever the code
 * is, bundled or not.
 */
const LINES: readonly string[] = [
${lines.join('\n')}
];

/** The module's bytes in base64. */
export const SNAPPY_WASM: string = LINES.join('');
`,
);

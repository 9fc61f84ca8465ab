/**
 * Assembles src/shared/wasm/blocks.wat into src/shared/wasm/blocks-binary.ts: `npm run build:wasm`, after a change of the
 * former. A test holds the two together, so nobody builds WebAssembly to install, build or test.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const source = new URL('../src/shared/wasm/blocks.wat', import.meta.url);
const target = new URL('../src/shared/wasm/blocks-binary.ts', import.meta.url);
const features = { simd: true };

const assembler = await wabt();
const module = assembler.parseWat('blocks.wat', readFileSync(source, 'utf8'), features);
module.validate(features);
const binary = Buffer.from(module.toBinary({}).buffer).toString('base64');
const lines = binary.match(/.{1,100}/g).map((line) => `  '${line}',`);
writeFileSync(
  target,
  `/**
 * blocks.wat, assembled by scripts/build-wasm.mjs; a test compares the two. A string, so that it is there wherever the code
 * is, bundled or not.
 */
const LINES: readonly string[] = [
${lines.join('\n')}
];

/** The module's bytes in base64. */
export const BLOCKS_WASM: string = LINES.join('');
`,
);

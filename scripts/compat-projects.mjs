/**
 * The files of the projects in which compat.mjs tries the package.
 */
/** What a row does with a store: all of it is there after flush and compaction, and after the store was opened again. */
const BODY = `
  const count = Number(process.env.RECORDS || 10_000);
  const directory = join(process.cwd(), 'store');
  const options = process.env.THREADS ? { threads: Number(process.env.THREADS) } : {};
  const engine = await StorageEngine.open(directory, options);
  for (let i = 0; i < count; i++) engine.put('key ' + i, 'value '.repeat(20)).catch(() => undefined);
  await engine.flush();
  await engine.compact();
  const records = [...engine.scan()].length;
  if (records !== count) throw new Error(records + ' records');
  await engine.close();
  const again = await StorageEngine.open(directory, options);
  if (again.getSync('key ' + (count - 1)) === undefined) throw new Error('a record is lost');
  await again.close();
`;

/** Says `STORE ok`, or what went wrong. */
const SCRIPT = `
import { join } from 'node:path';
import { StorageEngine } from 'stratakv';
async function main() {${BODY}}
main().then(
  () => console.log('STORE ok'),
  (error) => console.log(error.code + ' ' + error.message),
);
`;

const TEST = `
${BODY}
  require('node:fs').writeSync(1, '\\nSTORE ok\\n');
`;

function toRequire(text) {
  return text.replace(/import (\{[^}]+\}) from ('[^']+');/g, 'const $1 = require($2);');
}

/** Both forms in one process: what the one makes, the other takes. */
const BOTH = `
const required = require('stratakv');
const { join } = require('node:path');
async function main() {
  const imported = await import('stratakv');
  const { StorageEngine } = required;
  const mixed = await StorageEngine.open(join(process.cwd(), 'mixed'));
  await mixed.write(new imported.WriteBatch().put('a', '1'));
  const error = await imported.StorageEngine.open(mixed.path).catch((e) => e);
  if (!required.StorageError.is(error) || error.code !== 'STRATA_LOCKED') throw error;
  await mixed.close();
${BODY}}
main().then(() => console.log('STORE ok'), (error) => console.log(error));
`;

export const APPLICATION = { 'app.mjs': SCRIPT, 'app.cjs': toRequire(SCRIPT), 'both.cjs': BOTH };

const isLong = ', 60_000';
export const RUNNER_TEST = {
  'runner.test.cjs': `
const { join } = require('node:path');
const { StorageEngine } = require('stratakv');
const run = globalThis.it ?? require('node:test').it;
if (typeof jest !== 'undefined') jest.setTimeout(60_000);
run('a store', async function () {${TEST}});
`,
  'runner.test.mjs': `
import { join } from 'node:path';
import { writeSync } from 'node:fs';
import { StorageEngine } from 'stratakv';
it('a store', async () => {${TEST.replace("require('node:fs').writeSync", 'writeSync')}}${isLong});
`,
};

const OPTIONAL = "['koffi', 'lz4-napi', '@aws-sdk/client-s3']";
export const BUNDLE_CONFIGS = {
  'rollup.config.mjs': `
const external = process.env.EXTERNAL ? [/^stratakv(\\/|$)/] : ${OPTIONAL};
const plugins = [];
try {
  const resolve = (await import('@rollup/plugin-node-resolve')).default;
  const commonjs = (await import('@rollup/plugin-commonjs')).default;
  const json = (await import('@rollup/plugin-json')).default;
  plugins.push(json(), resolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs({ ignoreDynamicRequires: true }));
} catch {}
const output = { file: process.env.OUT, format: 'esm', inlineDynamicImports: true };
export default { input: 'app.mjs', plugins, external, output };
`,
  'webpack.config.cjs': `
const outside = process.env.EXTERNAL ? ['stratakv'] : ${OPTIONAL};
const externals = Object.fromEntries(outside.map((name) => [name, 'commonjs ' + name]));
const { dirname, resolve } = require('node:path');
const output = { path: resolve(dirname(process.env.OUT)), filename: 'app.cjs', chunkFilename: '[id].cjs' };
module.exports = { mode: 'production', target: 'node20', entry: './app.mjs', externals, output, stats: 'errors-only' };
`,
  'vite.build.mjs': `
import { dirname } from 'node:path';
const external = process.env.EXTERNAL ? ['stratakv'] : ${OPTIONAL};
const rollupOptions = { output: { entryFileNames: 'app.mjs' } };
const build = { ssr: 'app.mjs', outDir: dirname(process.env.OUT), minify: false, rollupOptions };
export default { build, ssr: { noExternal: true, external }, logLevel: 'error' };
`,
};

export const USE = `
import { StorageEngine, StorageError, WriteBatch, type ScanOptions, type Snapshot } from 'stratakv';
import { StorageClient } from 'stratakv/worker';
import { backup, directoryTarget } from 'stratakv/backup';
export async function main(cursor: string | undefined): Promise<void> {
  const engine = await StorageEngine.open('x', { threads: 1 });
  await engine.write(new WriteBatch().put('a', '1'));
  const value: Buffer | undefined = await engine.get('a');
  engine.on('flush', ({ bytes }) => bytes.toFixed());
  const snapshot: Snapshot = engine.snapshot();
  const options: ScanOptions = { gt: cursor, snapshot };
  for (const [key] of engine.scan(options)) key.equals(value ?? key);
  const client = await StorageClient.attach(engine.share());
  await client.put('a', 'b').catch((error: unknown) => StorageError.is(error) && error.code === 'STRATA_BUSY');
  await backup(engine, directoryTarget('y'));
  await engine.close();
}
`;

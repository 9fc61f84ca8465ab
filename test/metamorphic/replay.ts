/**
 * Plays a history from a file again, under all option sets or those whose name contains a word.
 *
 *   node dist/test/metamorphic/replay.js <file> [word of an option set]
 *
 * Prints the first divergence under each set; exits with 1 when there is one.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Piscina } from 'piscina';
import { expectedDigests } from './model-player.ts';
import { readHistory } from './operations.ts';
import { canMap, optionSets } from './option-sets.ts';
import { findDivergence } from './run-history.ts';

const [file, word = ''] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: replay.js <file> [word of an option set]');
const { origin, operations } = readHistory(readFileSync(file, 'utf8'));
const root = mkdtempSync(join(tmpdir(), 'stratakv-replay-'));
const pool = new Piscina({ minThreads: 0, maxThreads: 2 });
const sets = optionSets(pool, await canMap(join(root, 'probe'))).filter(({ name }) => name.includes(word));
const expected = expectedDigests(operations);
process.stdout.write(`${operations.length} operations (${origin}), ${sets.length} option sets\n`);
for (const set of sets) {
  const divergence = await findDivergence(operations, expected, set, root);
  if (divergence === undefined) {
    process.stdout.write(`as the model: ${set.name}\n`);
    continue;
  }
  process.exitCode = 1;
  const { at, operation, found, wanted } = divergence;
  process.stdout.write(
    `DIVERGES: ${set.name}\n  operation ${at}: ${JSON.stringify(operation)}\n  answer: ${found}\n  model:  ${wanted}\n`,
  );
}
await pool.destroy();
rmSync(root, { recursive: true, force: true });

/**
 * `npm run bench -- level`: StrataLevel beside classic-level, through the same calls of abstract-level, ten rows of warm data.
 *
 *   level-rows.ts    what is done                   level-child.ts    one store, all rows, in a process of its own
 *
 * The stores take turns, so that what else the machine does falls on both; a row's figure is the best of all rounds. Each row has
 * a goal for the ratio; the processor time of an operation stands beside it, for a machine that is not idle.
 *
 * Exit codes: 0 measured, whatever the ratios; 1 a store failed; 2 usage.
 */
import { fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { absence, installPackages } from '../packages.ts';
import { rate, type Table, toText } from '../report/tables.ts';
import { makeWorkDirectory } from '../temp-directories.ts';
import type { Measured } from './level-child.ts';
import { ROWS } from './level-rows.ts';

const USAGE = `npm run bench -- level [--quick] [--rounds N] [--records N] [--rows A,B] [--directory DIR]
rows: ${ROWS.map(({ name }) => name).join(', ')}`;
const STORES = ['stratakv/level', 'classic-level'] as const;
const CHILD: string = fileURLToPath(new URL('./level-child.js', import.meta.url));

type Say = (line: string) => void;
type Store = (typeof STORES)[number];

export async function runLevel(argv: readonly string[], say: Say, warn: Say): Promise<void> {
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    const options = { quick: flag, help: flag, rounds: text, records: text, rows: text, directory: text };
    values = parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    warn(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  if (values['help'] === true) return say(USAGE);
  const problem = installPackages(warn) ?? absence('classic-level');
  if (problem !== undefined) warn(`classic-level is absent: ${problem}`);
  const stores = problem === undefined ? STORES : STORES.slice(0, 1);
  const isQuick = values['quick'] === true;
  const rounds = Number(values['rounds'] ?? (isQuick ? 1 : 3));
  const records = String(values['records'] ?? (isQuick ? 50_000 : 200_000));
  const home = makeWorkDirectory(String(values['directory'] ?? tmpdir()));
  const best = new Map<string, Measured>();
  for (let round = 0; round < rounds; round++)
    for (const store of stores) {
      const directory = join(home, `${store.replace('/', '-')}-${round}`);
      for (const measured of await runStore(store, directory, records, String(values['rows'] ?? ''))) {
        const key = `${store} ${measured.row}`;
        if (measured.opsPerSecond > (best.get(key)?.opsPerSecond ?? 0)) best.set(key, measured);
      }
      say(`round ${round + 1} of ${rounds}: ${store}`);
    }
  say(`\n${toText(tableOf(best))}`);
}

function tableOf(best: ReadonlyMap<string, Measured>): Table {
  const head = ['row', 'operation', ...STORES, 'ratio', 'goal', 'ratio of processor time'];
  const rows: string[][] = [];
  for (const { name, operation, goal } of ROWS) {
    const [ours, theirs] = STORES.map((store) => best.get(`${store} ${name}`));
    if (ours === undefined) continue;
    const ratio = theirs === undefined ? '' : `${(ours.opsPerSecond / theirs.opsPerSecond).toFixed(2)}x`;
    const cpu = theirs === undefined ? '' : `${(theirs.cpuMicros / ours.cpuMicros).toFixed(2)}x`;
    const peer = theirs === undefined ? '' : rate(theirs.opsPerSecond);
    rows.push([name, operation, rate(ours.opsPerSecond), peer, ratio, `${goal}x`, cpu]);
  }
  return { head, rows };
}

function runStore(store: Store, directory: string, records: string, rows: string): Promise<Measured[]> {
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [store, directory, records, rows]);
    let results: Measured[] | undefined;
    child.on('message', (message) => {
      results = message as Measured[];
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      if (results !== undefined && code === 0) resolve(results);
      else reject(new Error(`${store} ended with code ${code}`));
    });
  });
}

/**
 * `npm run bench -- startup [--rounds N] [--check]`: what a new process pays before it has done anything.
 *
 *   node        Node itself, and nothing else
 *   import      the package, ours and classic-level's
 *   first put   import, open a new store, put, close
 *   get         `stratakv get KEY` of a store that holds it;  `stratakv --version`
 *
 * Each figure is the median of processes that alternate, so that whatever slows the machine down slows all of them. Ours is what
 * the package publishes: the files that its package.json names.
 *
 * With --check the exit code is 1 when a first put takes more than {@link MOST_FIRST_PUT} times what classic-level's takes on top
 * of Node, or a `get` more than {@link MOST_GET} times Node.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { absence, installPackages, loadedFrom, ROOT } from '../packages.ts';
import { makeWorkDirectory } from '../temp-directories.ts';

const PEER = 'classic-level';
const DEFAULT_ROUNDS = 15;
export const MOST_FIRST_PUT = 2;
export const MOST_GET = 1.6;
const USAGE_ERROR = 2;

type Say = (line: string) => void;

/** Arguments of Node, for the round of that number. */
type Command = (round: number) => readonly string[];

export interface StartupFigures {
  /** Median milliseconds by the name of the command. */
  readonly medians: ReadonlyMap<string, number>;
}

export async function runStartup(argv: readonly string[], say: Say, warn: Say): Promise<void> {
  let rounds: number;
  let isCheck: boolean;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { rounds: { type: 'string' }, check: { type: 'boolean', default: false } },
    });
    rounds = Number(values.rounds ?? DEFAULT_ROUNDS);
    isCheck = values.check;
    if (!Number.isSafeInteger(rounds) || rounds < 1) throw new RangeError('--rounds takes a whole number');
  } catch (error) {
    warn(error instanceof Error ? error.message : String(error));
    process.exitCode = USAGE_ERROR;
    return;
  }
  const problem = installPackages(warn);
  if (problem !== undefined) warn(problem);
  const reason = absence(PEER);
  if (reason !== undefined) warn(`${PEER} is absent and left out: ${reason}`);
  const figures = measureStartup(commands(makeWorkDirectory(tmpdir()), reason === undefined), rounds);
  const { lines, isHeld } = reportStartup(figures);
  for (const line of lines) say(line);
  if (isCheck && !isHeld) process.exitCode = 1;
}

function commands(home: string, hasPeer: boolean): ReadonlyMap<string, Command> {
  const { entry, cli } = published();
  const script = (code: string): string[] => ['--input-type=module', '-e', code];
  const ours = (path: string): string =>
    `import { StorageEngine } from ${JSON.stringify(entry)};
     const engine = await StorageEngine.open(${JSON.stringify(path)}); await engine.put('a', '1'); await engine.close();`;
  const kept = join(home, 'kept');
  spawnSync(process.execPath, script(ours(kept)));
  const all = new Map<string, Command>([
    ['node', () => script('0')],
    ['import', () => script(`import ${JSON.stringify(entry)}`)],
    ['first put', (round) => script(ours(join(home, `ours-${round}`)))],
    ['version', () => [cli, '--version']],
    ['get', () => [cli, '--db', kept, 'get', 'a']],
  ]);
  if (!hasPeer) return all;
  const peer = JSON.stringify(pathToFileURL(loadedFrom(PEER)).href);
  all.set(`import ${PEER}`, () => script(`import ${peer}`));
  all.set(`first put ${PEER}`, (round) =>
    script(`import peer from ${peer};
     const db = new peer.ClassicLevel(${JSON.stringify(join(home, 'peer-'))} + ${round});
     await db.open(); await db.put('a', '1'); await db.close();`),
  );
  return all;
}

/** The files that package.json names. */
function published(): { readonly entry: string; readonly cli: string } {
  const { exports, bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly exports: Readonly<Record<string, unknown>>;
    readonly bin: Readonly<Record<string, string>>;
  };
  return { entry: pathToFileURL(join(ROOT, fileOf(exports['.']))).href, cli: join(ROOT, bin['stratakv']!) };
}

/** What an import finds under a key of `exports`. */
function fileOf(target: unknown): string {
  if (typeof target === 'string') return target;
  const conditions = target as Readonly<Record<string, unknown>>;
  return fileOf(conditions['module-sync'] ?? conditions['import'] ?? conditions['default']);
}

export function measureStartup(all: ReadonlyMap<string, Command>, rounds: number): StartupFigures {
  const times = new Map<string, number[]>(Array.from(all.keys(), (name) => [name, []]));
  // The first round fills the caches of the file system.
  for (let round = 0; round <= rounds; round++)
    for (const [name, command] of all) {
      const startedAt = performance.now();
      const { status, stderr } = spawnSync(process.execPath, command(round), { encoding: 'utf8' });
      const elapsed = performance.now() - startedAt;
      if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`);
      if (round > 0) times.get(name)!.push(elapsed);
    }
  return { medians: new Map(Array.from(times, ([name, all]) => [name, median(all)])) };
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1]!;
}

/** The table, and whether both targets hold. */
export function reportStartup({ medians }: StartupFigures): {
  readonly lines: readonly string[];
  readonly isHeld: boolean;
} {
  const node = medians.get('node')!;
  const lines = [`${'process'.padEnd(26)}${'ms'.padStart(7)}${'of Node'.padStart(9)}${'on top'.padStart(9)}`];
  for (const [name, ms] of medians)
    lines.push(
      `${name.padEnd(26)}${ms.toFixed(0).padStart(7)}${(ms / node).toFixed(2).padStart(9)}${(ms - node).toFixed(0).padStart(9)}`,
    );
  const get = medians.get('get')! / node;
  lines.push(`get: ${get.toFixed(2)} times Node, at most ${MOST_GET}`);
  const peer = medians.get(`first put ${PEER}`);
  if (peer === undefined) return { lines, isHeld: get <= MOST_GET };
  const first = (medians.get('first put')! - node) / Math.max(1, peer - node);
  lines.push(
    `first put: ${first.toFixed(2)} times what ${PEER} takes on top of Node, at most ${MOST_FIRST_PUT}`,
  );
  return { lines, isHeld: get <= MOST_GET && first <= MOST_FIRST_PUT };
}

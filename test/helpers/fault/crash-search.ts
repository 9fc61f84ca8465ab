/**
 * Opens the crash states of a traced run with the real engine and compares what they hold with the history.
 *
 * Each state is opened once however often it comes up; at every crash point it comes up at, it is judged by the bounds of
 * that point. Positions that the run gave out before the crash are asked for: what follows them leads to what the store holds,
 * or they are refused, for ever, as they were lost (lost-positions.ts). Most states are opened read-only, which writes nothing;
 * some for writing, go on with a synced write, are closed and opened again; and some are put on a real disk and opened without
 * any seam.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEngine } from '../../../src/main/engine.ts';
import type { EngineOptions } from '../../../src/main/store/open-request.ts';
import type { ModuleSpec } from '../../../src/shared/files/file-system.ts';
import { seededRandom } from '../rng.ts';
import { SMALL_PAGES } from '../small-pages.ts';
import { type CrashState, fateOf } from './disk-model.ts';
import { type AskedPositions, checkPositions, checkRefused } from './lost-positions.ts';
import { mountMemory } from './memory-file-system.ts';
import type { TracedRun } from './traced-run.ts';
import { StateHash } from './write-model.ts';

export interface SearchOptions {
  /** An empty directory, for the lock and for the states that are put on a disk. */
  readonly scratch: string;
  readonly seed: number;
  /** How many (crash point, fate) pairs are looked at, spread evenly. */
  readonly states: number;
  /** Only crash points around changes of names. */
  readonly onlyEntryMoments?: boolean;
  /** Stop at the first violation. */
  readonly stopEarly?: boolean;
}

export interface SearchResult {
  /** Pairs of a crash point and a fate. */
  readonly states: number;
  /** Different directories among them. */
  readonly distinct: number;
  readonly violations: readonly string[];
}

/** Nothing kept, everything kept, and six times chance. */
const VARIANTS = 8;
const OPTIONS: EngineOptions = {
  threads: 0,
  cacheSize: 0,
  writeBufferSize: 65_536,
  retainChanges: { bytes: 2 ** 40 },
};
const EVERY_WRITABLE = 10;
const EVERY_ON_DISK = 100;
/** Ten thousand times what a state takes: a machine may have other work. */
const HANG_MS = 60_000;

/** The hash of what the state holds, or what went wrong when it was opened. */
interface Found {
  readonly hash?: string;
  readonly error?: string;
}

export async function searchCrashes(run: TracedRun, options: SearchOptions): Promise<SearchResult> {
  const random = seededRandom(options.seed);
  const found = new Map<string, Found>();
  const violations: string[] = [];
  const points = crashPoints(run, options);
  // Few points, many fates: or many points, fates enough for the number asked for.
  const total = Math.min(options.states, points.length * VARIANTS * 8);
  const step = (points.length * VARIANTS) / total;
  let states = 0;
  for (let i = 0; i < total; i++) {
    const index = Math.floor(i * step + random.next() * Math.min(1, step)) % (points.length * VARIANTS);
    const moment = points[Math.floor(index / VARIANTS)]!;
    const variant = index % VARIANTS;
    const state = run.disk.stateAt(moment, fateOf(variant, random.next));
    let result = found.get(state.key);
    if (result === undefined) {
      const asked = askedPositions(run, moment, random.next);
      result = await inspect(state, found.size, options.scratch, asked);
      found.set(state.key, result);
    }
    states++;
    const problem = result.error ?? run.model.problem(result.hash!, moment);
    if (problem === undefined) continue;
    violations.push(`at moment ${moment} of ${run.moments}, fate ${variant}: ${problem}; ${listing(state)}`);
    if (options.stopEarly === true) break;
  }
  return { states, distinct: found.size, violations };
}

function crashPoints(run: TracedRun, options: SearchOptions): number[] {
  const all = Array.from({ length: run.moments + 1 }, (_, k) => k);
  if (options.onlyEntryMoments !== true) return all;
  const wanted = new Set(run.disk.entryMoments());
  return all.filter((k) => wanted.has(k));
}

function listing(state: CrashState): string {
  if (state.files === undefined) return 'the directory is gone';
  return [...state.files].map(([name, file]) => `${name} (${file.bytes().length} bytes)`).join(', ');
}

/** Of those that were given out by then some, the newest among them: which a power failure may have lost. */
function askedPositions(run: TracedRun, moment: number, chance: () => number): AskedPositions {
  const given = run.positions.filter((one) => one.moment <= moment);
  const { least } = run.model.boundsAt(moment);
  const any = [0, 1].flatMap(() => given[Math.floor(chance() * given.length)] ?? []);
  return { positions: [...any, ...given.slice(-2)], least, model: run.model };
}

/** Opening must end, one way or the other. */
async function inspect(
  state: CrashState,
  ordinal: number,
  scratch: string,
  asked: AskedPositions,
): Promise<Found> {
  let timer: NodeJS.Timeout | undefined;
  const stuck = new Promise<Found>((resolve) => {
    timer = setTimeout(() => resolve({ error: 'hangs' }), HANG_MS);
  });
  const found = await Promise.race([inspectNow(state, ordinal, scratch, asked), stuck]);
  clearTimeout(timer);
  return found;
}

async function inspectNow(
  state: CrashState,
  ordinal: number,
  scratch: string,
  asked: AskedPositions,
): Promise<Found> {
  if (ordinal % EVERY_ON_DISK === EVERY_ON_DISK - 1) return await inspectOnDisk(state, scratch, asked);
  const disk = mountMemory(scratch, state.files);
  try {
    // A directory without a manifest holds no store yet: opening it for reading only is an error, and rightly so.
    const hasManifest = state.files?.has('manifest.json') === true;
    if (hasManifest && ordinal % EVERY_WRITABLE !== 0) return { hash: await read(scratch, disk.spec, asked) };
    return { hash: await goOn(scratch, disk.spec, asked) };
  } catch (error) {
    return { error: describe(error) };
  } finally {
    disk.unmount();
  }
}

async function inspectOnDisk(state: CrashState, scratch: string, asked: AskedPositions): Promise<Found> {
  const directory = join(scratch, 'state');
  rmSync(directory, { recursive: true, force: true });
  if (state.files !== undefined) mkdirSync(directory);
  for (const [name, file] of state.files ?? []) writeFileSync(join(directory, name), file.bytes());
  try {
    return { hash: await goOn(directory, undefined, asked) };
  } catch (error) {
    return { error: describe(error) };
  }
}

async function read(
  directory: string,
  fileSystem: ModuleSpec | undefined,
  asked: AskedPositions | undefined,
): Promise<string> {
  const readOnly = asked !== undefined;
  const engine = await openEngine(directory, { ...OPTIONS, readOnly }, { fileSystem });
  try {
    const hash = new StateHash();
    for (const [key, value] of engine.scan()) hash.add(key, value);
    if (asked !== undefined) await checkPositions(engine, asked, hash.toString());
    return hash.toString();
  } finally {
    await engine.close();
  }
}

/** Opens, writes one more key and takes it back, flushes, closes, reopens: the state must be the same throughout. */
async function goOn(
  directory: string,
  fileSystem: ModuleSpec | undefined,
  asked: AskedPositions,
): Promise<string> {
  const engine = await openEngine(directory, OPTIONS, { fileSystem, pageLimits: SMALL_PAGES });
  const hash = new StateHash();
  try {
    for (const [key, value] of engine.scan()) hash.add(key, value);
    const refused = await checkPositions(engine, asked, hash.toString());
    await engine.put('after the crash', 'works', { sync: true });
    for (const position of refused) await checkRefused(engine, position);
    await engine.flush();
    await engine.delete('after the crash', { sync: true });
    await engine.verify();
  } finally {
    await engine.close();
  }
  const again = await read(directory, fileSystem, undefined);
  if (again !== hash.toString()) throw new Error(`holds ${again} after reopening, and ${hash} before`);
  return again;
}

function describe(error: unknown): string {
  const code = (error as { code?: string }).code;
  return `could not be opened: ${code ?? ''} ${error instanceof Error ? error.message : String(error)}`;
}

/**
 * The history of a machine's runs, and whether the last one is a regression.
 *
 *   bench/results/history.jsonl   a line per run: when, which machine and sizes, and our ratio to each peer
 *
 * Ratios, not speeds, are compared, as the peers were measured in the same minutes: what slows everyone is the machine.
 * Per workload the geometric mean over the peers common to both runs is taken, which one noisy peer moves less.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { OURS } from '../stores/store.ts';
import { geometricMean, type WorkloadSummary } from './statistics.ts';

export interface HistoryEntry {
  readonly at: string;
  /** Runs are comparable when this is equal: machine, sizes. */
  readonly machine: string;
  readonly version: string;
  /** workload -> peer -> ours / theirs */
  readonly ratios: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface Regression {
  readonly workload: string;
  readonly before: number;
  readonly now: number;
}

export function toRatios(summaries: readonly WorkloadSummary[]): HistoryEntry['ratios'] {
  return Object.fromEntries(
    summaries.map(({ workload, stores }) => [
      workload,
      Object.fromEntries(
        stores.flatMap(({ store, ratio }) => (store === OURS || ratio === null ? [] : [[store, ratio]])),
      ),
    ]),
  );
}

export function readHistory(file: string): HistoryEntry[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as HistoryEntry);
}

export function appendHistory(file: string, entry: HistoryEntry): void {
  appendFileSync(file, `${JSON.stringify(entry)}\n`);
}

/** For each workload of `now`, the last run of the same machine that has it is what it is compared with. */
export function findRegressions(
  history: readonly HistoryEntry[],
  now: HistoryEntry,
  tolerance: number,
): Regression[] {
  const regressions: Regression[] = [];
  const earlier = history.filter(({ machine }) => machine === now.machine).reverse();
  for (const [workload, ratios] of Object.entries(now.ratios)) {
    const last = earlier.find((entry) => entry.ratios[workload] !== undefined)?.ratios[workload];
    if (last === undefined) continue;
    const peers = Object.keys(ratios).filter((peer) => last[peer] !== undefined);
    if (peers.length === 0) continue;
    const mean = geometricMean(peers.map((peer) => ratios[peer]!));
    const before = geometricMean(peers.map((peer) => last[peer]!));
    if (mean < before * (1 - tolerance)) regressions.push({ workload, before, now: mean });
  }
  return regressions;
}

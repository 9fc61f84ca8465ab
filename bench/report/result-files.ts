/**
 * What a run leaves in bench/results: in git is only `published/`, which docs/benchmarks.md shows.
 *
 *   latest.json, <time>.json   stamp, summaries, outcomes      history.jsonl   a line per run
 *   latest/*.svg               a picture per group             published/*.svg, summary.json   with --write-docs
 *
 * Files called cold* beside them are those of bench/cold.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from '../measure/measurement.ts';
import { ROOT } from '../packages.ts';
import { drawCharts } from './charts.ts';
import { RESULT_MARKS, replaceResults, resultsSection } from './docs.ts';
import {
  appendHistory,
  findRegressions,
  type HistoryEntry,
  type Regression,
  readHistory,
  toRatios,
} from './history.ts';
import { machineOf, type Stamp } from './stamp.ts';
import type { WorkloadSummary } from './statistics.ts';

export const RESULTS: string = join(ROOT, 'bench', 'results');
const HISTORY: string = join(RESULTS, 'history.jsonl');
export const PAGE: string = join(ROOT, 'docs', 'benchmarks.md');
export const PUBLISHED_FROM_DOCS = '../bench/results/published';
/** What the cold benchmark writes is called so, and is not touched here. */
export const COLD = 'cold';

export interface Result {
  readonly stamp: Stamp;
  readonly summaries: readonly WorkloadSummary[];
  readonly outcomes: readonly Outcome[];
}

export function readResult(file: string): Result {
  return JSON.parse(readFileSync(file, 'utf8')) as Result;
}

/** Returns the path of the result. */
export function writeResult(result: Result): string {
  mkdirSync(RESULTS, { recursive: true });
  const text = `${JSON.stringify(result, undefined, 1)}\n`;
  const file = join(RESULTS, `${result.stamp.at.replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(file, text);
  writeFileSync(join(RESULTS, 'latest.json'), text);
  return file;
}

/** Returns what regressed against earlier runs, and adds this one to them. */
export function compareAndRemember({ stamp, summaries }: Result, tolerance: number): Regression[] {
  const entry: HistoryEntry = {
    at: stamp.at,
    machine: machineOf(stamp),
    version: stamp.commit,
    ratios: toRatios(summaries),
  };
  const regressions = findRegressions(readHistory(HISTORY), entry, tolerance);
  appendHistory(HISTORY, entry);
  return regressions;
}

/** Writes an SVG per group into a folder of bench/results; returns their names. */
export function writePictures(
  summaries: readonly WorkloadSummary[],
  folder: 'latest' | 'published',
): string[] {
  const pictures = drawCharts(summaries);
  const target = join(RESULTS, folder);
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(target)) if (!name.startsWith(COLD)) rmSync(join(target, name));
  for (const [name, svg] of pictures) writeFileSync(join(target, `${name}.svg`), `${svg}\n`);
  return [...pictures.keys()];
}

export function writeDocs({ stamp, summaries }: Result): void {
  const pictures = writePictures(summaries, 'published');
  const summary = `${JSON.stringify({ stamp, summaries }, undefined, 1)}\n`;
  writeFileSync(join(RESULTS, 'published', 'summary.json'), summary);
  const section = resultsSection(stamp, summaries, pictures, PUBLISHED_FROM_DOCS);
  writeFileSync(PAGE, replaceResults(readFileSync(PAGE, 'utf8'), section, RESULT_MARKS));
}

/**
 * What a cold run leaves in bench/results: in git is only `published/`, which docs/benchmarks.md shows.
 *
 *   cold-latest.json, cold-<time>.json   stamp, conditions, outcomes
 *   latest/cold*.svg                     pictures
 *   published/cold*.svg, cold.json       with --write-docs
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceResults } from '../report/docs.ts';
import { COLD, PAGE, PUBLISHED_FROM_DOCS, RESULTS } from '../report/result-files.ts';
import type { Stamp } from '../report/stamp.ts';
import { drawColdCharts } from './cold-charts.ts';
import { COLD_MARKS, coldSection } from './cold-docs.ts';
import type { ColdOutcome } from './cold-task.ts';

/** What made the disk slow and the data cold, or why nothing did. */
export interface Conditions {
  readonly valueBytes: number;
  /** null: no limits. */
  readonly limits: {
    readonly cgroupVersion: 1 | 2;
    readonly readsPerSecond: number;
    readonly memoryMib: number;
  } | null;
  /** Of the disk, as the kernel is set: what a page fault in a mapping reads around it. null: unknown. */
  readonly readAheadKib: number | null;
  /** Why there are no limits, or the page cache was not dropped. */
  readonly notes: readonly string[];
}

export interface ColdResult {
  readonly stamp: Stamp;
  readonly conditions: Conditions;
  readonly outcomes: readonly ColdOutcome[];
}

export function readColdResult(file: string): ColdResult {
  return JSON.parse(readFileSync(file, 'utf8')) as ColdResult;
}

/** Returns the path of the result. */
export function writeColdResult(result: ColdResult): string {
  mkdirSync(RESULTS, { recursive: true });
  const file = join(RESULTS, `${COLD}-${result.stamp.at.replaceAll(/[:.]/g, '-')}.json`);
  for (const path of [file, join(RESULTS, `${COLD}-latest.json`)]) writeFileSync(path, toJson(result));
  return file;
}

/** Returns their names, without .svg. */
export function writeColdPictures(result: ColdResult, folder: 'latest' | 'published'): string[] {
  const target = join(RESULTS, folder);
  mkdirSync(target, { recursive: true });
  const pictures = drawColdCharts(result.outcomes);
  for (const [name, svg] of pictures) writeFileSync(join(target, `${name}.svg`), `${svg}\n`);
  return [...pictures.keys()];
}

export function writeColdDocs(result: ColdResult): void {
  const pictures = writeColdPictures(result, 'published');
  writeFileSync(join(RESULTS, 'published', `${COLD}.json`), toJson(result));
  const section = coldSection(result, pictures, PUBLISHED_FROM_DOCS);
  writeFileSync(PAGE, replaceResults(readFileSync(PAGE, 'utf8'), section, COLD_MARKS));
}

function toJson(result: ColdResult): string {
  return `${JSON.stringify(result, undefined, 1)}\n`;
}

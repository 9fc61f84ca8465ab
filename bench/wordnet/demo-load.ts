/**
 * Loads WordNet: batches of a thousand, several under way, while the pool builds and merges tables behind them.
 */

import { Progress } from '../../src/main/cli/progress.ts';
import {
  formatByteRate,
  formatBytes,
  formatCount,
  formatDuration,
  formatRate,
} from '../../src/main/cli/quantities.ts';
import type { StorageEngine } from '../../src/main/index.ts';
import { BatchWriter } from './batch-writer.ts';
import { type DemoReport, timed } from './demo-report.ts';
import type { WordNetSource } from './wordnet-source.ts';

/** Without a terminal, a line each time so many rows are in. */
const ROWS_PER_LINE = 100_000;

interface Loaded {
  readonly rows: number;
  /** Keys and values. */
  readonly rawBytes: number;
}

export async function loadWordNet(
  engine: StorageEngine,
  source: WordNetSource,
  report: DemoReport,
): Promise<void> {
  const events = { flushes: 0, compactions: 0 };
  engine.on('flush', () => events.flushes++);
  engine.on('compaction', () => events.compactions++);
  const { result, elapsedMs } = await timed(() => copyAll(engine, source, report));
  report.say(
    `${formatCount(result.rows)} records, ${formatBytes(result.rawBytes)} of keys and values, in ` +
      `${formatDuration(elapsedMs)}: ${formatRate(result.rows, elapsedMs)} rows/s, ` +
      `${formatByteRate(result.rawBytes, elapsedMs)} (parsing included)`,
  );
  report.say(`meanwhile on the pool: ${events.flushes} flushes, ${events.compactions} compactions`);
}

async function copyAll(engine: StorageEngine, source: WordNetSource, report: DemoReport): Promise<Loaded> {
  const progress = new Progress({
    label: '   loading',
    totalBytes: source.sizeBytes,
    unit: 'rows',
    isShown: process.stderr.isTTY,
  });
  const writer = new BatchWriter(engine);
  let rows = 0;
  let rawBytes = 0;
  let lineBytes = 0;
  try {
    for (const record of source.records()) {
      writer.put(record.key, record.value);
      rows++;
      // The data is ASCII: characters are bytes.
      rawBytes += record.key.length + record.value.length;
      lineBytes += record.lineBytes;
      if (writer.isFull) await writer.makeRoom();
      progress.update(lineBytes, rows);
      if (!process.stderr.isTTY && rows % ROWS_PER_LINE === 0) report.say(`${formatCount(rows)} rows ...`);
    }
    await writer.finish();
  } finally {
    progress.stop();
  }
  return { rows, rawBytes };
}

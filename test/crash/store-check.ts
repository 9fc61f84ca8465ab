/**
 * What must hold of a store that was killed: it opens, says one thing however it is asked, and has only its own files.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { loadManifest } from '../../src/main/manifest/manifest.ts';
import { parseFileName } from '../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { type ModelEntry, SortedModel, toBytes, toText } from '../helpers/sorted-model.ts';

/** Opens the store twice and returns what it holds. */
export async function checkedContent(directory: string, options: EngineOptions): Promise<SortedModel> {
  const first = await readAllWays(directory, options);
  const second = await readAllWays(directory, options);
  assert.equal(first.difference(second), undefined, 'opened again, the store holds something else');
  return first;
}

async function readAllWays(directory: string, options: EngineOptions): Promise<SortedModel> {
  const engine = await StorageEngine.open(directory, options);
  try {
    checkFiles(directory);
    await engine.verify();
    const entries = [...engine.scan()].map(([key, value]): ModelEntry => [toText(key), toText(value)]);
    const backward = [...engine.scan({ reverse: true })].map(([key, value]) => [toText(key), toText(value)]);
    assert.deepEqual(backward.reverse(), entries, 'a scan backward');
    const keys = entries.map(([key]) => key);
    const found = await engine.getMany(keys.map(toBytes));
    assert.deepEqual(
      found.map((value) => value && toText(value)),
      entries.map(([, value]) => value),
      'point reads',
    );
    return new SortedModel(entries);
  } finally {
    await engine.close();
  }
}

/** Every file is one that the manifest counts. Called right after opening; background work may only add tables. */
function checkFiles(directory: string): void {
  const manifest = loadManifest(nodeFileSystem, directory);
  assert.ok(manifest !== undefined);
  const { keptLogs, keptTables } = manifest;
  const live = manifest.levels.flat();
  const tables = new Set<number>([...live, ...keptTables].map((table) => table.number));
  const logs = new Set<number>(keptLogs.map((log) => log.number));
  const pages = new Set(manifest.pages.map((page) => page.number));
  for (const name of readdirSync(directory)) {
    const file = parseFileName(name);
    assert.ok(file !== undefined, `a foreign file: ${name}`);
    if (file.kind === 'log')
      assert.ok(
        file.number >= manifest.logNumber || logs.has(file.number),
        `a log that is no longer needed: ${name}`,
      );
    if (file.kind === 'page' || file.kind === 'new-page')
      assert.ok(
        pages.has(file.number) || file.number >= manifest.nextFileNumber,
        `an orphaned page: ${name}`,
      );
    if (file.kind === 'new-table')
      assert.ok(
        file.number >= manifest.nextFileNumber,
        `a table that no manifest has named is left: ${name}`,
      );
    if (file.kind === 'table' && file.number < manifest.nextFileNumber)
      assert.ok(tables.has(file.number), `an orphaned table: ${name}`);
  }
}

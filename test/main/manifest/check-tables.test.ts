/**
 * Tables that a manifest names and that are missing, cut or something else, are found at open; of very many the newest are looked
 * into.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkTables } from '../../../src/main/manifest/check-tables.ts';
import { CorruptionError } from '../../../src/shared/base/errors.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';
import type { TableInfo } from '../../../src/shared/base/version-edit.ts';
import { newTablePath, tablePath } from '../../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const SIZE = 100;

test('every missing table is found, and every one of the newest that is cut or no file', (t) => {
  const directory = join(temporaryDirectory(t), 'db');
  // As in levels: not in the order of their numbers.
  const numbers = [9, 3, 8, 1, 5, 2];
  const tables = numbers.map((number) => ({ number: fileNumber(number), sizeBytes: SIZE }) as TableInfo);
  const check = (fullyChecked: number): void => checkTables(nodeFileSystem, directory, tables, fullyChecked);
  const pathOf = (number: number): string => tablePath(directory, fileNumber(number));
  const rebuild = (): void => {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    for (const number of numbers) writeFileSync(pathOf(number), Buffer.alloc(SIZE));
  };
  for (const fullyChecked of [0, 3, 6, 100]) {
    const newest = [...numbers].sort((a, b) => b - a).slice(0, fullyChecked);
    for (const number of numbers) {
      const isNewest = newest.includes(number);
      const expect = (isFound: boolean, what: string): void => {
        const where = `${what}: ${number}, ${fullyChecked} fully checked`;
        if (isFound) assert.throws(() => check(fullyChecked), CorruptionError, where);
        else assert.doesNotThrow(() => check(fullyChecked), where);
        rebuild();
      };
      rebuild();
      expect(false, 'sound');
      rmSync(pathOf(number));
      expect(true, 'missing');
      truncateSync(pathOf(number), SIZE - 1);
      expect(isNewest, 'cut');
      rmSync(pathOf(number));
      mkdirSync(pathOf(number));
      expect(isNewest, 'a directory');
      renameSync(pathOf(number), newTablePath(directory, fileNumber(number)));
      expect(false, 'under its first name');
    }
  }
});

/**
 * Versions: scenarios in testdata/version.txt, and what text can't say: sharing, assertions, agreement with a scan.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { fileNumber, type Level, level } from '../../../src/shared/base/ids.ts';
import type { LeveledTable, VersionEdit } from '../../../src/shared/base/version-edit.ts';
import { type InclusiveRange, Version } from '../../../src/shared/read/version.ts';
import { runScenarios } from '../../helpers/datadriven.ts';
import { parseTable, parseVersion, showTables, showVersion, tableMeta } from '../../helpers/table-meta.ts';

const encoder = new TextEncoder();

function range(args: ReadonlyMap<string, string>): InclusiveRange {
  const bound = (name: string): Uint8Array | undefined => {
    const text = args.get(name);
    return text === undefined ? undefined : encoder.encode(text);
  };
  return { start: bound('start'), end: bound('end') };
}

/** `L1 3:[a-b]`, after a plus or minus. */
function parseEdit(lines: readonly string[]): VersionEdit {
  const parse = (sign: string): LeveledTable[] =>
    lines
      .filter((line) => line.startsWith(sign))
      .map((line) => ({ level: level(Number(line[2])), table: parseTable(line.slice(4)) }));
  return {
    added: parse('+'),
    removed: parse('-').map((removed) => ({ level: removed.level, number: removed.table.number })),
  };
}

runScenarios('version.txt', ({ command, args, input }) => {
  const version = parseVersion(input.filter((line) => line.startsWith('L')));
  const at = level(Number(args.get('level') ?? 0));
  switch (command) {
    case 'apply':
      try {
        return showVersion(version.apply(parseEdit(input)));
      } catch (error) {
        return (error as Error).message;
      }
    case 'containing': {
      const table = version.tableContaining(at, encoder.encode(args.get('key')!));
      return showTables(table === undefined ? [] : [table]);
    }
    case 'overlapping': {
      const found = version.overlapping(at, range(args), { transitive: args.has('transitive') });
      assert.equal(version.hasOverlap(at, range(args)), found.length > 0);
      return showTables(found);
    }
    case 'bytes':
      return `${version.approximateBytes(range(args))} of ${version.sizeBytes}`;
    default:
      throw new Error(`unknown command ${command}`);
  }
});

test('Version.apply() shares the levels that an edit leaves alone', () => {
  const before = parseVersion(['L0: 1:[a-c]', 'L1: 2:[a-c]', 'L7: 3:[a-z]']);
  const after = before.apply(parseEdit(['+L1 4:[d-e]']));
  assert.equal(after.levels[0], before.levels[0]);
  assert.equal(after.levels[7], before.levels[7]);
  assert.notEqual(after.levels[1], before.levels[1]);
  assert.equal(before.tableCount, 3);
  assert.equal(after.tableCount, 4);
  assert.ok(after.hasFile(fileNumber(4)) && !before.hasFile(fileNumber(4)));
  assert.throws(() => (after.levels[1] as unknown[]).push(1), TypeError);
});

test('Version.apply() refuses to add a table twice in one edit', () => {
  const table = tableMeta(1, 'a', 'b');
  const edit = { added: [1, 2].map((n) => ({ level: level(n), table })), removed: [] };
  assert.throws(() => Version.empty.apply(edit), /adds a table twice/);
});

test('Version.empty has eight levels and nothing in them', () => {
  assert.equal(Version.empty.levels.length, 8);
  assert.equal(Version.empty.tableCount, 0);
  assert.equal(Version.empty.sizeBytes, 0);
  assert.equal(Version.empty.deepestLevel, undefined);
  assert.deepEqual(Version.empty.overlapping(level(0), {}), []);
  assert.equal(Version.empty.tableContaining(level(7), new Uint8Array(0)), undefined);
});

test('Version.tableContaining() and overlapping() agree with a scan over every table', () => {
  const key = (n: number): string => n.toString(36).padStart(3, '0');
  const tables = Array.from({ length: 100 }, (_, i) => tableMeta(i + 1, key(i * 10 + 2), key(i * 10 + 6)));
  const version = Version.fromLevels(Version.empty.levels.with(3, tables));
  const at: Level = level(3);
  for (let i = 0; i < 1010; i++) {
    const probe = encoder.encode(key(i));
    const end = encoder.encode(key(i + 13));
    const holds = tables.filter(
      (t) => compareKeys(t.smallestKey, probe) <= 0 && compareKeys(probe, t.largestKey) <= 0,
    );
    assert.equal(version.tableContaining(at, probe), holds[0]);
    const meets = tables.filter(
      (t) => compareKeys(t.smallestKey, end) <= 0 && compareKeys(probe, t.largestKey) <= 0,
    );
    assert.deepEqual(version.overlapping(at, { start: probe, end }), meets);
    assert.equal(version.hasOverlap(at, { start: probe, end }), meets.length > 0);
  }
});

/**
 * Repair in particular situations: what it must know, must not touch, and must survive.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { repairStore } from '../../src/main/repair/repair-store.ts';
import type { ModuleSpec } from '../../src/shared/files/file-system.ts';
import {
  contentsOf,
  failsWith,
  fill,
  keyOf,
  newPath,
  openAt,
  tableFiles,
  textsOf,
} from '../helpers/engines.ts';
import { createFileSystem as memoryDisk, mountMemory } from '../helpers/fault/memory-file-system.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { dyingDisk } from './dying-disk.ts';
import { lazyFiles, type Mutant, wholeFileMutants } from './mutants.ts';
import { makeSmallStore, SMALL, type SmallStore } from './small-store.ts';

const INLINE: EngineOptions = { ...SMALL, writeBufferSize: 1_000_000 };

async function written(
  t: TestContext,
  path: string,
  work: (engine: StorageEngine) => Promise<void>,
): Promise<void> {
  const engine = await openAt(t, path, INLINE);
  await work(engine);
  await engine.close();
}

async function contentOf(t: TestContext, path: string): Promise<[string, string][]> {
  const engine = await openAt(t, path, INLINE);
  await engine.verify();
  const texts = textsOf(engine.scan());
  await engine.close();
  return texts;
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 0x10;
  writeFileSync(path, bytes);
}

test('a lost manifest: deletions hide what older tables hold, and zeroed versions lose against any other', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 60, 40, 0);
    await engine.flush();
    await engine.compact();
    for (let i = 0; i < 60; i += 2) await engine.delete(keyOf(i));
    await engine.flush();
    for (let i = 1; i < 60; i += 4) await engine.put(keyOf(i), 'newer');
    await engine.flush();
    await engine.put(keyOf(2), 'in the log');
  });
  const before = await contentOf(t, path);
  rmSync(join(path, 'manifest.json'));
  await failsWith('STRATA_CORRUPTION', StorageEngine.open(path));
  const report = await StorageEngine.repair(path);
  assert.equal(report.manifest, 'rebuilt');
  assert.match(report.warnings.join('\n'), /the manifest is missing/);
  assert.deepEqual(await contentOf(t, path), before);
  // Compaction must come to the same.
  const engine = await openAt(t, path, INLINE);
  await engine.compact();
  assert.deepEqual(textsOf(engine.scan()), before);
});

/** Overwrites keys and compacts; returns what the tables were before: by name, their bytes. */
async function overwritten(t: TestContext, path: string, round: number): Promise<Map<string, Buffer>> {
  let tables = new Map<string, Buffer>();
  await written(t, path, async (engine) => {
    // Two of them, so that compaction merges and does not just move.
    for (let i = 0; i < 2; i++) {
      await fill(engine, 40, 40, round * 2 + i);
      for (let j = 0; j < 40; j += 5) await engine.delete(keyOf(j));
      await engine.flush();
    }
    tables = new Map(tableFiles(path).map((name) => [name, readFileSync(join(path, name))]));
    await engine.compact();
  });
  return tables;
}

test('a lost manifest: of two versions numbered zero, the later merge is believed', async (t) => {
  const path = newPath(t);
  await overwritten(t, path, 0);
  const old = tableFiles(path)[0]!;
  const bytes = readFileSync(join(path, old));
  await overwritten(t, path, 1);
  const before = await contentOf(t, path);
  assert.equal(tableFiles(path).length, 1);
  writeFileSync(join(path, old), bytes);
  rmSync(join(path, 'manifest.json'));
  const report = await StorageEngine.repair(path);
  assert.match(report.warnings.join('\n'), /nothing says which tables and logs were in use/);
  const after = await contentOf(t, path);
  const deleted = new Set(Array.from({ length: 8 }, (_, i) => keyOf(i * 5)));
  assert.deepEqual(
    after.filter(([key]) => !deleted.has(key)),
    before,
  );
});

test('a lost manifest: inputs of a compaction that a crash kept from being deleted bring nothing back', async (t) => {
  const path = newPath(t);
  await overwritten(t, path, 0);
  const inputs = [...(await overwritten(t, path, 1))];
  const before = await contentOf(t, path);
  const [kept] = tableFiles(path);
  const output = readFileSync(join(path, kept!));
  // They are deleted oldest data first, so a crash leaves the newest of them.
  assert.equal(inputs.length, 3);
  for (let deleted = 0; deleted <= inputs.length; deleted++) {
    for (const name of tableFiles(path)) rmSync(join(path, name));
    for (const [name, bytes] of inputs.slice(deleted)) writeFileSync(join(path, name), bytes);
    writeFileSync(join(path, kept!), output);
    rmSync(join(path, 'manifest.json'));
    await StorageEngine.repair(path);
    assert.deepEqual(await contentOf(t, path), before, `${deleted} of them deleted`);
  }
});

test('replaced tables that were not deleted yet are told by what is left of the manifest', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 40, 40, 0);
    await engine.flush();
  });
  const old = tableFiles(path)[0]!;
  const bytes = readFileSync(join(path, old));
  await written(t, path, async (engine) => {
    for (let i = 0; i < 20; i++) await engine.delete(keyOf(i));
    await engine.flush();
    await engine.compact();
  });
  const before = await contentOf(t, path);
  assert.equal(before.length, 20);
  // As after a crash between the manifest and the deletion, and then damage to the manifest's first lines.
  writeFileSync(join(path, old), bytes);
  flip(join(path, 'manifest.json'), 60);
  const report = await StorageEngine.repair(path);
  assert.match(report.warnings.join('\n'), new RegExp(`${old}: not in use any more`));
  assert.deepEqual(await contentOf(t, path), before);
  assert.ok(existsSync(join(path, `${old}.set-aside`)));
  assert.ok(existsSync(join(path, 'manifest.json.set-aside')));
});

test('the blocks before and behind a damaged one are kept, and the report says what is missing', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 100);
    await engine.flush();
  });
  const name = tableFiles(path)[0]!;
  flip(join(path, name), 700);
  const report = await StorageEngine.repair(path);
  const file = report.files.find((candidate) => candidate.name === name)!;
  assert.equal(file.outcome, 'salvaged');
  assert.equal(file.damage.length, 1);
  const [damage] = file.damage;
  assert.ok(damage!.offset <= 700 && damage!.offset + damage!.bytes > 700);
  assert.equal(file.entries + file.lostEntries!, 100);
  assert.ok(file.lostEntries! > 0 && file.lostEntries! < 10);
  assert.equal(file.lostTombstones, 0);
  assert.equal(file.setAside, `${name}.set-aside`);
  assert.equal((await contentOf(t, path)).length, file.entries);
});

test('a table without an index gives its blocks, whatever its codec', async (t) => {
  for (const compression of ['none', 'snappy', 'lz4'] as const) {
    const path = newPath(t);
    const engine = await openAt(t, path, { ...INLINE, compression, blockSize: 1024 });
    await fill(engine, 300, 60);
    await engine.flush();
    await engine.close();
    const before = await contentOf(t, path);
    const table = join(path, tableFiles(path)[0]!);
    const bytes = readFileSync(table);
    writeFileSync(table, bytes.subarray(0, bytes.length - 40));
    const report = await StorageEngine.repair(path);
    assert.deepEqual(await contentOf(t, path), before, `${compression}: ${JSON.stringify(report)}`);
  }
});

test('records behind damage in a log are kept, and the loss is said', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    for (let i = 0; i < 50; i++) await engine.put(keyOf(i), `value ${i}`);
  });
  const name = readdirSync(path).find((file) => file.endsWith('.log'))!;
  flip(join(path, name), 1000);
  await failsWith('STRATA_CORRUPTION', StorageEngine.open(path));
  const report = await StorageEngine.repair(path);
  const file = report.files.find((candidate) => candidate.name === name)!;
  assert.deepEqual([file.outcome, file.entries, file.damage.length], ['salvaged', 49, 1]);
  assert.match(report.warnings.join('\n'), /unknown number of entries are lost/);
  assert.equal((await contentOf(t, path)).length, 49);
  assert.ok(existsSync(join(path, `${name}.set-aside`)));
});

test('a dry run changes nothing, and says the same', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 100);
    await engine.flush();
    await engine.put('a', 'b');
  });
  flip(join(path, tableFiles(path)[0]!), 300);
  const before = contentsOf(path);
  const dry = await StorageEngine.repair(path, { dryRun: true });
  assert.deepEqual(contentsOf(path), before);
  const wet = await StorageEngine.repair(path);
  assert.deepEqual(
    dry.files.map(({ name, outcome, entries, damage }) => ({ name, outcome, entries, damage })),
    wet.files.map(({ name, outcome, entries, damage }) => ({ name, outcome, entries, damage })),
  );
  assert.deepEqual([dry.dryRun, dry.isSound, wet.dryRun], [true, false, false]);
});

test('an open store, no store, and what only looks like one are refused', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path, INLINE);
  await failsWith('STRATA_LOCKED', StorageEngine.repair(path));
  await engine.close();
  await failsWith('STRATA_NO_DATABASE', StorageEngine.repair(join(path, 'nothing')));
  await failsWith('STRATA_INVALID_ARGUMENT', StorageEngine.repair(path, { dryrun: true } as never));
  await failsWith('STRATA_INVALID_ARGUMENT', StorageEngine.repair(3 as never));
  rmSync(join(path, 'manifest.json'));
  writeFileSync(join(path, 'manifest.json'), '{"name": "a web application"}');
  writeFileSync(join(path, '000003.log'), 'a log of somebody else');
  const before = contentsOf(path);
  await failsWith('STRATA_CORRUPTION', StorageEngine.repair(path));
  assert.deepEqual(contentsOf(path), before);
});

test('files of others and symbolic links are not touched', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 50);
    await engine.flush();
  });
  const victim = join(path, '..', 'victim');
  writeFileSync(victim, 'not yours');
  symlinkSync(victim, join(path, '000900.sst'));
  for (const name of ['notes.txt', '12.sst', '000012.sst.bak', '0000012.log'])
    writeFileSync(join(path, name), 'x');
  rmSync(join(path, 'manifest.json'));
  await StorageEngine.repair(path);
  assert.equal(readFileSync(victim, 'utf8'), 'not yours');
  for (const name of ['notes.txt', '12.sst', '000012.sst.bak', '0000012.log'])
    assert.equal(readFileSync(join(path, name), 'utf8'), 'x', name);
  assert.ok(readdirSync(path).includes('000900.sst'));
  // A link in the place of a log keeps open and repair from going on: it says nothing about what belongs there.
  symlinkSync(victim, join(path, '000901.log'));
  assert.match((await failsWith('STRATA_IO', StorageEngine.repair(path))).message, /000901\.log/);
});

test('new files get numbers above those of all files, set aside or not', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 50);
    await engine.flush();
  });
  renameSync(join(path, tableFiles(path)[0]!), join(path, '004711.sst.set-aside'));
  writeFileSync(join(path, '000500.sst'), 'an orphan that is no table');
  await StorageEngine.repair(path);
  await written(t, path, async (engine) => {
    await fill(engine, 50);
    await engine.flush();
  });
  const numbers = tableFiles(path).map((name) => Number.parseInt(name, 10));
  assert.ok(
    numbers.every((number) => number > 4711),
    numbers.join(' '),
  );
});

test('destroy() deletes what was set aside, too', async (t) => {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 100);
    await engine.flush();
  });
  flip(join(path, tableFiles(path)[0]!), 300);
  await StorageEngine.repair(path);
  await StorageEngine.destroy(path);
  assert.equal(existsSync(path), false);
});

/** Somebody opens the store after a repair was killed: if it opens, the damaged file must not be deleted as an orphan. */
async function openBetween(directory: string, spec: ModuleSpec, mutant: Mutant): Promise<void> {
  const engine = await openEngine(directory, SMALL, { fileSystem: spec }).catch(() => undefined);
  await engine?.close();
  const disk = memoryDisk(spec.options as { id: number });
  // Swapped names lose nothing: all that those files hold is in new tables.
  const damaged = mutant.files.get(mutant.file);
  if (damaged === undefined) return;
  const isThere = disk.list(directory).some((name) => {
    const bytes = new Uint8Array(disk.stat(join(directory, name))?.sizeBytes ?? 0);
    const count = disk.openRead(join(directory, name)).readAt(bytes, 0);
    return count === damaged.length && Buffer.from(damaged).equals(bytes);
  });
  assert.ok(isThere, `${mutant.what}: ${mutant.file} is gone`);
}

/** What the repaired store holds, after a repair whose disk died at the `changes`-th change and one that came after. */
async function repairTwice(
  mutant: Mutant,
  changes: number,
  opensBetween = false,
): Promise<{ texts: unknown; died: boolean }> {
  const directory = '/stratakv-dying/db';
  const disk = mountMemory(directory, lazyFiles(mutant.files));
  try {
    const dying = dyingDisk(disk.spec, changes);
    await repairStore(directory, {}, { fileSystem: dying.spec, threads: 0 }).catch((error: unknown) => {
      assert.equal((error as { code?: unknown }).code, 'STRATA_IO');
    });
    if (opensBetween) await openBetween(directory, disk.spec, mutant);
    await repairStore(directory, {}, { fileSystem: disk.spec, threads: 0 });
    const engine = await openEngine(directory, SMALL, { fileSystem: disk.spec });
    await engine.verify();
    const texts = textsOf(engine.scan());
    await engine.close();
    return { texts, died: dying.isDead() };
  } finally {
    disk.unmount();
  }
}

test('killed at any change and run again, repair comes to the same result', async (t) => {
  const store: SmallStore = await makeSmallStore(newPath(t));
  const names = [...store.files.keys()];
  const damaged = (file: string, offset: number): Mutant => {
    const bytes = store.files.get(file)!.slice();
    bytes[offset]! ^= 0x40;
    return { what: `${file} at ${offset}`, file, files: new Map(store.files).set(file, bytes) };
  };
  const tables = names.filter((name) => name.endsWith('.sst'));
  const logs = names.filter((name) => name.endsWith('.log'));
  const mutants: Mutant[] = [
    damaged('manifest.json', 3),
    damaged('manifest.json', 700),
    ...tables.flatMap((name) => [damaged(name, 60), damaged(name, store.files.get(name)!.length - 5)]),
    ...logs.map((name) => damaged(name, 200)),
    ...[...wholeFileMutants(store)].filter(({ what }) => /deleted|swapped/.test(what)),
  ];
  // Damage of two kinds at once: a table, and the manifest that would know its place.
  const both = damaged(tables[1]!, 60);
  const manifest = damaged('manifest.json', 3).files.get('manifest.json')!;
  mutants.push({
    ...both,
    what: 'a table and the manifest',
    files: new Map(both.files).set('manifest.json', manifest),
  });
  // Another third of the damage from run to run; `npm run prove` has all.
  const offset = seededRandom(runSeed(t)).below(3);
  const chosen =
    process.env['STRATA_SWEEP'] === 'full' ? mutants : mutants.filter((_, i) => i % 3 === offset);
  let kills = 0;
  for (const mutant of chosen) {
    const { texts } = await repairTwice(mutant, Number.MAX_SAFE_INTEGER);
    for (let changes = 0; ; changes++) {
      const again = await repairTwice(mutant, changes);
      assert.deepEqual(again.texts, texts, `${mutant.what}, killed at change ${changes}`);
      const opened = await repairTwice(mutant, changes, true);
      assert.deepEqual(opened.texts, texts, `${mutant.what}, killed at change ${changes}, then opened`);
      if (!again.died) break;
      kills++;
    }
  }
  t.diagnostic(`FIGURE damaged-stores=${chosen.length} kills-in-repair=${kills} different=0`);
});

/** Which tables may go, against a model that looks at every pinned version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableInfo } from '../../../src/shared/base/version-edit.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { type PinnedVersion, VersionPins } from '../../../src/shared/read/version-pins.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

test('a table is obsolete in the step in which no version that has it is current or pinned any more, and never before', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 30; round++) {
    const gone = new Set<number>();
    const pins = new VersionPins((tables) => {
      for (const { number } of tables) {
        assert.ok(!gone.has(number), 'told twice');
        gone.add(number);
      }
    });
    let next = 1;
    let current: TableInfo[] = Array.from({ length: 5 }, () => tableMeta(next++, 'a', 'b'));
    const all = new Set(current.map(({ number }) => number as number));
    const pinned: { readonly pin: PinnedVersion; readonly tables: readonly TableInfo[] }[] = [];
    for (let step = 0; step < 200; step++) {
      const draw = random.next();
      if (draw < 0.35) pinned.push({ pin: pins.pin(Version.empty), tables: current });
      else if (draw < 0.7 && pinned.length > 0) {
        const [one] = pinned.splice(random.below(pinned.length), 1);
        one!.pin.release();
        one!.pin.release();
      } else {
        const removed = current.filter(() => random.chance(0.3));
        const added = Array.from({ length: random.below(3) }, () => tableMeta(next++, 'a', 'b'));
        for (const { number } of added) all.add(number);
        current = [...current.filter((table) => !removed.includes(table)), ...added];
        pins.advance(removed, added);
      }
      const held = new Set(
        [current, ...pinned.map(({ tables }) => tables)].flat().map(({ number }) => number as number),
      );
      assert.deepEqual(
        [...gone].sort((a, b) => a - b),
        [...all].filter((number) => !held.has(number)).sort((a, b) => a - b),
      );
    }
  }
});

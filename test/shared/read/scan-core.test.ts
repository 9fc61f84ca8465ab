/**
 * A scan that begins anew: behind the last key that was decided on, as often as it gets on; and after many times in a row at one
 *                          place
 * it waits in the call, once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { type Needed, WouldWait } from '../../../src/shared/disk/would-wait.ts';
import { ScanCore } from '../../../src/shared/read/scan-core.ts';
import type { UserIterator } from '../../../src/shared/read/user-iterator.ts';
import { NO_READ_AHEAD, scanReader } from '../../helpers/scan-reader.ts';

/** How often in a row it may begin anew at one key. */
const MOST = 64;
const NEEDED: Needed = { fetch: () => ({ ready: Promise.resolve(), release: () => undefined }) };

interface Scene {
  readonly core: ScanCore;
  /** Makes the move; false: it would have to wait. */
  move(): boolean;
  /** How often the move to this key would have to wait. */
  readonly waits: Map<number, number>;
  /** Keys that are passed on the way to the next one. */
  readonly dead: Set<number>;
  readonly begun: (number | undefined)[];
}

/** Over the keys 0, 1, 2 and so on, of one byte. */
function scene(): Scene {
  const waits = new Map<number, number>();
  const dead = new Set<number>();
  const begun: (number | undefined)[] = [];
  const open = (decided: Uint8Array | undefined): UserIterator => {
    begun.push(decided?.[0]);
    let at = decided?.[0] ?? -1;
    let hasMoved = false;
    const iterator = {
      entry: new Entry(),
      next(): boolean {
        do {
          const left = waits.get(at + 1) ?? 0;
          if (left > 0 && !core.mustWait) {
            waits.set(at + 1, left - 1);
            throw new WouldWait(NEEDED);
          }
          at++;
          hasMoved = true;
        } while (dead.has(at));
        return true;
      },
      decidedKey: () => (hasMoved ? Uint8Array.of(at) : undefined),
      close: () => undefined,
    };
    return iterator as unknown as UserIterator;
  };
  const core: ScanCore = new ScanCore(scanReader(), NO_READ_AHEAD, open, () => undefined);
  const move = (): boolean => {
    try {
      return core.next() !== undefined;
    } catch (error) {
      if (!(error instanceof WouldWait)) throw error;
      error.needed.fetch(true);
      return false;
    }
  };
  return { core, move, waits, dead, begun };
}

test('however often a scan waits, it does not wait in the call as long as it gets on', () => {
  const { core, move, waits, begun } = scene();
  for (let key = 0; key < 200; key++) waits.set(key, 1);
  let moves = 0;
  for (let key = 0; key < 200; moves++) {
    if (move()) key++;
    assert.equal(core.mustWait, false);
  }
  assert.equal(moves, 400);
  assert.deepEqual(begun.slice(0, 4), [undefined, undefined, 0, 1], 'each behind the last key');
});

test('a scan gets on as well where it only passes deleted keys', () => {
  const { core, move, waits, dead } = scene();
  for (let key = 0; key < 200; key++) {
    waits.set(key, 1);
    dead.add(key);
  }
  while (!move()) assert.equal(core.mustWait, false);
});

test('a scan that does not get on waits in the call, and once it does get on no more', () => {
  const { core, move, waits } = scene();
  for (const key of [0, 5, 6]) waits.set(key, Number.POSITIVE_INFINITY);
  let key = 0;
  for (const stuck of [0, 5, 6]) {
    while (key < stuck) {
      assert.ok(move());
      assert.equal(core.mustWait, false, `at ${key}`);
      key++;
    }
    let restarts = 0;
    while (!core.mustWait) {
      assert.equal(move(), false);
      restarts++;
    }
    assert.ok(restarts >= MOST && restarts <= MOST + 1, `${restarts} restarts`);
    assert.ok(move(), 'now it may wait');
    assert.equal(core.mustWait, false);
    key++;
  }
});

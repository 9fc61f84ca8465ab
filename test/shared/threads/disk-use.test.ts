/**
 * DiskUse: who is believed to want the disk, and a bucket that bounds bytes in any stretch of time. The clock is the test's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTROL_BLOCK_BYTES, ControlBlock } from '../../../src/shared/threads/control-block.ts';
import { DiskUse } from '../../../src/shared/threads/disk-use.ts';

const MIB = 1024 * 1024;
/** What the bucket holds, and how far flushes go ahead, in milliseconds. */
const BURST_MS = 50;
const LEAD_MS = 100;

function diskUseAt(start: number): { readonly use: DiskUse; pass(ms: number): void } {
  let moment = start;
  const use = new DiskUse(new SharedArrayBuffer(CONTROL_BLOCK_BYTES), () => moment);
  return {
    use,
    pass: (ms) => {
      moment += ms;
    },
  };
}

// The second: the word of the last read wraps in between.
for (const start of [5_000_000, 2 ** 31 - 30])
  test(`a read wants the disk while it waits and for a moment after it, from ${start} on`, () => {
    const { use, pass } = diskUseAt(start);
    assert.equal(use.isWanted, false, 'nobody has read');
    use.readBegan();
    pass(500);
    assert.equal(use.isWanted, true, 'it waits still');
    use.readEnded();
    pass(5);
    assert.equal(use.isWanted, true, 'the next one is on its way');
    pass(100);
    assert.equal(use.isWanted, false);
  });

test('of two reads the second wants the disk when the first has ended', () => {
  const { use, pass } = diskUseAt(1000);
  use.readBegan();
  use.readBegan();
  use.readEnded();
  pass(1000);
  assert.equal(use.isWanted, true);
  use.readEnded();
  pass(1000);
  assert.equal(use.isWanted, false);
});

test('a read of a thread that was terminated in the middle of it is forgotten, and later ones count as ever', () => {
  const { use, pass } = diskUseAt(1000);
  use.readBegan();
  pass(60_000);
  assert.equal(use.isWanted, false);
  use.readBegan();
  assert.equal(use.isWanted, true);
  use.readEnded();
  pass(60_000);
  assert.equal(use.isWanted, false);
});

test('in any stretch of time no more bytes are let through than the bound, and what the bucket holds', () => {
  const { use, pass } = diskUseAt(1000);
  use.setBound(MIB);
  // A long rest before it is not made up for.
  pass(3_600_000);
  const pieces: number[] = [];
  let elapsed = 0;
  while (elapsed < 10_000) {
    const delay = use.reserve(65_536, false);
    pass(delay);
    elapsed += delay;
    pieces.push(elapsed);
  }
  for (let from = 0; from < pieces.length; from += 7)
    for (let to = from; to < pieces.length; to += 13) {
      const bytes = (to - from + 1) * 65_536;
      const most = ((pieces[to]! - pieces[from]! + BURST_MS) / 1000) * MIB + 65_536;
      assert.ok(bytes <= most + 1, `${bytes} bytes in ${pieces[to]! - pieces[from]!} ms`);
    }
  assert.ok(pieces.length >= 160, 'and no fewer than the bound allows');
});

test('a thread that oversleeps makes up for it', () => {
  const { use, pass } = diskUseAt(1000);
  use.setBound(MIB);
  let elapsed = 0;
  let bytes = 0;
  for (; elapsed < 10_000; bytes += 4096) {
    const delay = use.reserve(4096, false);
    const slept = delay > 0 ? delay + 1 : 0;
    pass(slept);
    elapsed += slept;
  }
  assert.ok(bytes >= 9.9 * MIB, `${bytes} bytes in 10 s`);
});

test('a flush goes ahead of a compaction that waits, by the lead and no more', () => {
  const { use } = diskUseAt(1000);
  use.setBound(MIB);
  use.reserve(MIB, false);
  const merge = use.reserve(1024, false);
  const flush = use.reserve(1024, true);
  assert.ok(Math.abs(merge - (1000 - BURST_MS)) < 2, `${merge} ms`);
  assert.ok(flush < merge - LEAD_MS + 5 && flush > merge - LEAD_MS - 5, `${flush} ms`);
});

test('without a bound, and while the store closes, nothing waits for the bucket', () => {
  const { use } = diskUseAt(1000);
  assert.equal(use.bound, undefined);
  use.reserve(1000 * MIB, false);
  assert.equal(use.reserve(MIB, false), 0);
  use.setBound(65_536);
  use.reserve(1000 * MIB, false);
  assert.ok(use.reserve(0, false) > 1000);
  use.beginClose();
  assert.equal(use.reserve(MIB, false), 0);
});

test('a store that closes stays in haste, whatever its gate says', () => {
  const { use } = diskUseAt(1000);
  use.setHaste(true);
  use.setHaste(false);
  assert.equal(use.isUrgent, false);
  use.beginClose();
  use.setHaste(false);
  assert.deepEqual([use.isUrgent, use.isClosing], [true, true]);
});

test('what jobs do adds up, beyond 32 bits', () => {
  const { use } = diskUseAt(1000);
  use.noteRead(2 ** 40);
  use.noteRead(1);
  use.noteWritten(2 ** 33);
  use.notePaused(1.5);
  use.notePaused(0.25);
  assert.deepEqual(use.totals, { bytesRead: 2 ** 40 + 1, bytesWritten: 2 ** 33, pausedMs: 1.75 });
});

test('its words and those of jobs are apart', () => {
  const control = new ControlBlock();
  const use = control.diskUse;
  use.readBegan();
  use.setHaste(true);
  use.setBound(Number.MAX_SAFE_INTEGER);
  use.reserve(1, false);
  use.noteRead(2 ** 50);
  use.noteWritten(2 ** 50);
  use.notePaused(2 ** 30);
  assert.equal(control.isCancelled(0), false);
  assert.equal(control.heartbeat(0), 0);
  control.cancel(0);
  control.setProgress(0, 2 ** 30, 2 ** 30);
  assert.equal(use.bound, Number.MAX_SAFE_INTEGER);
  assert.deepEqual(use.totals, { bytesRead: 2 ** 50, bytesWritten: 2 ** 50, pausedMs: 2 ** 30 });
  assert.equal(control.versionCounter + control.viewEpoch + control.nextFileNumber, 0);
});

test('a cancelled job that pauses is called, and so are all when writers are in haste or the store closes', () => {
  const control = new ControlBlock();
  const { diskUse } = control;
  for (const [what, act] of [
    ['cancel', () => control.cancel(3)],
    ['haste', () => diskUse.setHaste(true)],
    ['close', () => diskUse.beginClose()],
  ] as const) {
    const { call } = diskUse;
    act();
    assert.notEqual(diskUse.call, call, what);
    // It returns, as the call has come since.
    diskUse.wait(call, 2 ** 30);
  }
});

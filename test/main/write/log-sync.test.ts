/**
 * LogSync: older logs first, one sync for all that wait, and a failure that reaches each of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommitGroup } from '../../../src/main/write/commit-group.ts';
import { LogSync, type SyncableLog } from '../../../src/main/write/log-sync.ts';
import { createMemtable, LiveMemtable } from '../../../src/main/write/memtable-list.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';

class FakeLog implements SyncableLog {
  readonly number;
  writtenUpTo = 1;
  readonly syncedUpTo = 0;
  readonly #calls: string[];
  error: Error | undefined;
  onSync: () => void = () => {};

  constructor(number: number, calls: string[]) {
    this.number = fileNumber(number);
    this.#calls = calls;
  }

  async sync(): Promise<void> {
    this.#calls.push(`sync ${this.number}`);
    await new Promise((resolve) => setImmediate(resolve));
    this.onSync();
    if (this.error !== undefined) throw this.error;
    this.#calls.push(`synced ${this.number}`);
  }
}

function group(): { readonly group: CommitGroup; readonly done: Promise<void> } {
  const live = new LiveMemtable(createMemtable(4096, 100, 1), undefined);
  const made = new CommitGroup(live);
  return { group: made, done: made.outcome.promise(true) };
}

test('recovered logs, older logs, then the newest; and only once', async () => {
  const calls: string[] = [];
  const [a, b, c] = [1, 2, 3].map((number) => new FakeLog(number, calls)) as [FakeLog, FakeLog, FakeLog];
  const sync = new LogSync([a], () => assert.fail());
  sync.written(b);
  sync.written(b);
  sync.written(c);
  const first = group();
  sync.request(first.group.outcome);
  await first.done;
  assert.deepEqual(calls, ['sync 1', 'synced 1', 'sync 2', 'synced 2', 'sync 3', 'synced 3']);
  sync.written(c);
  const second = group();
  sync.request(second.group.outcome);
  await second.done;
  assert.deepEqual(calls.slice(6), ['sync 3', 'synced 3']);
});

test('who comes while a sync runs waits for the next one, together with all others', async () => {
  const calls: string[] = [];
  const log = new FakeLog(1, calls);
  const sync = new LogSync([], () => assert.fail());
  sync.written(log);
  const waiting: Promise<void>[] = [];
  log.onSync = () => {
    log.onSync = () => {};
    for (let i = 0; i < 5; i++) {
      const late = group();
      log.writtenUpTo++;
      sync.written(log);
      sync.request(late.group.outcome);
      waiting.push(late.done);
    }
  };
  const first = group();
  sync.request(first.group.outcome);
  await first.done;
  await Promise.all(waiting);
  assert.deepEqual(calls, ['sync 1', 'synced 1', 'sync 1', 'synced 1']);
  await sync.idle();
});

test('a forgotten log is not synced', async () => {
  const calls: string[] = [];
  const [a, b] = [new FakeLog(1, calls), new FakeLog(2, calls)];
  const sync = new LogSync([a], () => assert.fail());
  sync.written(b);
  sync.forget(a.number);
  await sync.syncAll();
  assert.deepEqual(calls, ['sync 2', 'synced 2']);
});

test('nor is one that is forgotten while an older one is synced: its file may be gone', async () => {
  const calls: string[] = [];
  const [a, b] = [new FakeLog(1, calls), new FakeLog(2, calls)];
  const sync = new LogSync([a, b], () => assert.fail());
  a.onSync = () => sync.forget(b.number);
  const waiting = group();
  sync.request(waiting.group.outcome);
  await waiting.done;
  assert.deepEqual(calls, ['sync 1', 'synced 1']);
});

test('a failure reaches those it was for, tells once, and newer logs are left alone', async () => {
  const calls: string[] = [];
  const [a, b] = [new FakeLog(1, calls), new FakeLog(2, calls)];
  a.error = new Error('the disk is gone');
  const failures: unknown[] = [];
  const sync: LogSync = new LogSync([a], (error) => {
    failures.push(error);
    sync.fail(error);
  });
  sync.written(b);
  const first = group();
  sync.request(first.group.outcome);
  const second = group();
  a.onSync = () => sync.request(second.group.outcome);
  await assert.rejects(first.done, a.error);
  await assert.rejects(second.done, a.error);
  assert.deepEqual(failures, [a.error]);
  assert.deepEqual(calls, ['sync 1']);
  await sync.idle();
});

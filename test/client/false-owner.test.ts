/**
 * Whatever the owner of a store answers or sends: its client fails with an error of ours, and does not hang.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { MessageChannel, MessagePort } from 'node:worker_threads';
import { StorageClient } from '../../src/client/index.ts';
import { StorageError } from '../../src/main/index.ts';
import { CONTROL_BLOCK_BYTES } from '../../src/shared/threads/control-block.ts';
import { SHARE_PROTOCOL_VERSION } from '../../src/shared/threads/share-protocol.ts';
import { VIEW_SLOTS_BYTES } from '../../src/shared/threads/view-slots.ts';
import { failsWith } from '../helpers/engines.ts';

const raw = (value: unknown): object => ({ type: 'RAW', value });

/** An owner that answers each call with what the test says. */
function falseOwner(t: TestContext, answer: (id: string, name: string) => unknown): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage({ stratakv: 'share', protocolVersion: SHARE_PROTOCOL_VERSION });
  port1.on('message', ({ id, argumentList }: { id: string; argumentList: { value: string }[] }) =>
    port1.postMessage(answer(id, argumentList[0]!.value)),
  );
  t.after(() => port1.close());
  return port2;
}

const LEVELS: readonly unknown[][] = Array.from({ length: 8 }, () => []);
const ATTACHMENT = {
  directory: '/nowhere',
  control: new SharedArrayBuffer(CONTROL_BLOCK_BYTES),
  fileSystem: undefined,
  maxOpenFiles: 8,
  cacheBytes: 0,
  maxHeldBytes: 1 << 20,
  unitBytes: 1024,
  history: { storeId: '01234567-89ab-4cde-8f01-23456789abcd', closed: [], id: 'a1a1a1a1a1a1a1a1' },
  sync: false,
  slots: new SharedArrayBuffer(VIEW_SLOTS_BYTES),
  view: { number: 0, memtables: [], levels: LEVELS },
};
const attached = (id: string, change: object = {}): object => ({
  id,
  ...raw({ value: { ...ATTACHMENT, ...change } }),
});

const BAD_ATTACHMENTS: readonly ((id: string) => unknown)[] = [
  (id) => attached(id, { history: undefined }),
  (id) => attached(id, { history: { storeId: 1, closed: [], id: 'x' } }),
  () => null,
  () => 'x',
  () => ({ id: 'another', ...raw({ value: 1 }) }),
  (id) => ({ id }),
  (id) => ({ id, ...raw(5) }),
  (id) => ({ id, ...raw({}) }),
  (id) => ({ id, ...raw({ error: 5 }) }),
  (id) => ({ id, ...raw({ error: { name: 'x', message: 'y', code: 5 } }) }),
  (id) => ({ id, type: 'HANDLER', name: 'throw', value: { isError: true, value: {} } }),
  (id) => ({ id, type: 'HANDLER', name: 'proxy', value: 5 }),
  (id) => ({ id, ...raw({ value: 5 }) }),
  (id) => attached(id, { directory: 5 }),
  (id) => attached(id, { control: new SharedArrayBuffer(4) }),
  (id) => attached(id, { control: new SharedArrayBuffer(CONTROL_BLOCK_BYTES + 1) }),
  (id) => attached(id, { control: new ArrayBuffer(CONTROL_BLOCK_BYTES) }),
  (id) => attached(id, { fileSystem: { module: 'no:such' } }),
  (id) => attached(id, { fileSystem: { anchors: 5 } }),
  (id) => attached(id, { fileSystem: { anchors: [{ directory: '/db' }] } }),
  (id) => attached(id, { maxOpenFiles: Number.NaN }),
  (id) => attached(id, { slots: undefined }),
  (id) => attached(id, { slots: new SharedArrayBuffer(VIEW_SLOTS_BYTES - 4) }),
  (id) => attached(id, { view: 5 }),
  (id) => attached(id, { view: {} }),
  (id) => attached(id, { view: { number: Number.NaN, memtables: [], levels: LEVELS } }),
  (id) => attached(id, { view: { number: 0, memtables: [{}], levels: LEVELS } }),
  (id) => attached(id, { view: { number: 0, memtables: [], levels: [[{}]] } }),
  (id) => attached(id, { view: { number: 0, memtables: [], levels: [...LEVELS.slice(1), [{}]] } }),
];

for (const [i, answer] of BAD_ATTACHMENTS.entries()) {
  test(`attaching to what answers nonsense fails with an error of ours: ${i}`, {
    timeout: 30_000,
  }, async (t) => {
    const error = await StorageClient.attach(falseOwner(t, answer)).then(
      () => assert.fail('it attached'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof StorageError, String(error));
  });
}

test('a greeting that is none is refused', async () => {
  for (const greeting of [
    5,
    {},
    { stratakv: 'share' },
    { stratakv: 'share', protocolVersion: { toString: 5 } },
  ]) {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(greeting);
    await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(port2));
    port1.close();
  }
  const { port1, port2 } = new MessageChannel();
  port1.postMessage({ stratakv: 'share', protocolVersion: 1000 });
  await failsWith('STRATA_UNSUPPORTED', StorageClient.attach(port2));
  port1.close();
});

for (const nonsense of [5, null, {}, [], [{}], [{ index: -1, error: {} }], [{ index: 0, error: 5 }], 'x'])
  test(`a client whose owner answers ${JSON.stringify(nonsense)} ends with an error of ours`, {
    timeout: 30_000,
  }, async (t) => {
    const client = await StorageClient.attach(
      falseOwner(t, (id, name) => (name === 'attach' ? attached(id) : { id, ...raw({ value: nonsense }) })),
    );
    const calls = [client.put('a', 'b'), client.flush(), client.compact(), client.ingest([['a', 'b']])];
    for (const result of await Promise.allSettled(calls)) {
      // An empty list is what a write that has gone well answers.
      if (result.status === 'fulfilled') assert.deepEqual(nonsense, []);
      else assert.ok(result.reason instanceof StorageError, String(result.reason));
    }
    await client.close();
    await failsWith('STRATA_CLOSED', () => client.getSync('a'));
  });

for (const view of [
  null,
  5,
  {},
  { kind: 'edited', number: 7, edit: {} },
  { kind: 'edited', number: 1 },
  { kind: 'x', number: 1 },
  { kind: 'activated', number: 1, memtable: {} },
])
  test(`a client that is sent ${JSON.stringify(view)} for a view ends with an error of ours`, {
    timeout: 30_000,
  }, async (t) => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ stratakv: 'share', protocolVersion: SHARE_PROTOCOL_VERSION });
    port1.once(
      'message',
      ({ id, argumentList }: { id: string; argumentList: { value: MessagePort[] }[] }) => {
        const [views] = argumentList[1]!.value;
        assert.ok(views instanceof MessagePort);
        port1.postMessage(attached(id));
        views.postMessage(view);
      },
    );
    t.after(() => port1.close());
    const client = await StorageClient.attach(port2);
    const closed = once(port1, 'close');
    // Neither end of a port keeps the process alive.
    const alive = setInterval(() => undefined, 1000);
    t.after(() => clearInterval(alive));
    await closed;
    await failsWith('STRATA_CLOSED', () => client.getSync('a'));
    await failsWith('STRATA_CLOSED', client.put('a', 'b'));
    await client.close();
  });

/**
 * Symptom: an application that subscribed to a channel stopped hearing of flushes, once in a while.
 */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openTiny } from '../helpers/engines.ts';

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test('a subscriber to stratakv:flush hears every flush, whatever is collected in between', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const engine = await openTiny(t);
  let heard = 0;
  const note = (): void => {
    heard++;
  };
  t.after(() => unsubscribe('stratakv:flush', note));
  // Told to nobody: the first event comes before anyone listens.
  await engine.put('k', '0');
  await engine.flush();
  await turn();
  // Collected now, finalized in the next turn, when somebody has subscribed.
  collect();
  subscribe('stratakv:flush', note);
  for (let i = 1; i <= 5; i++) {
    await turn();
    collect();
    await engine.put('k', String(i));
    await engine.flush();
  }
  assert.equal(heard, 5);
});

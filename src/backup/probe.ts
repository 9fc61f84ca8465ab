/**
 * Finds out whether a target obeys conditions: some servers take the header and ignore it, and two owners would then overwrite
 * each other's history without a word.
 *
 *   1. create an object, twice: the second time must be refused
 *   2. replace it, naming a version that it does not have: must be refused
 *
 * Invariants: asked before the first write of a backup that relies on it. Leaves nothing but, when it is killed, a probe.
 * Thread:     main.
 * Not chosen: remembering the answer in the target. What is in front of it may be another server tomorrow.
 */

import { StorageError } from '../shared/base/errors.ts';
import { randomHex } from '../shared/base/random.ts';
import { PROBES } from './layout.ts';
import type { TargetSession } from './target-session.ts';

export async function probeConditions(session: TargetSession): Promise<void> {
  const { target } = session;
  if (target.conditions === undefined) return;
  const key = `${PROBES}${randomHex(6)}.json`;
  const bytes = (): Uint8Array => Buffer.from(JSON.stringify({ probe: randomHex(8) }));
  try {
    await session.create(key, bytes());
    if (await session.attempt('write', key, (call) => target.create(key, bytes(), call)))
      throw ignores(target.name, target.conditions.create);
    const found = await session.read(key);
    const other = bytes();
    if (found !== undefined && (await session.replace(key, other, otherVersion(found.version))))
      throw ignores(target.name, target.conditions.replace);
  } finally {
    if (!session.signal.aborted) await session.remove(key);
  }
}

/** A version that no object has had, spelled as this one is. */
function otherVersion(version: string): string {
  const digit = /[0-9a-f](?=[^0-9a-f]*$)/i.exec(version);
  if (digit === null) return `${version}0`;
  const other = digit[0] === '0' ? '1' : '0';
  return version.slice(0, digit.index) + other + version.slice(digit.index + 1);
}

function ignores(name: string, header: string): StorageError {
  return new StorageError(
    'STRATA_UNSUPPORTED',
    `${name} ignores the header ${header}: two writers could overwrite each other there`,
  );
}

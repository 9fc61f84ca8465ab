/**
 * branches/<branch>.json: where a history ends, as far as it has been backed up. Whoever adds a backup moves the end; who does
 * not come from there is refused, so two stores never share a history.
 *
 *   main     e1 ... 120 | e2 ... 300 | e3 ... 410          tip: e3, 410
 *                              \
 *   9f..     e1 ... 120 | e2 .. 250 | e7 ... 260           of a store restored from a backup at 250; the manifest names the
 *            branch
 *
 * A store comes from the tip if the tip's epoch is among its own, and went at least as far in it. So one that was reopened, after
 * whatever end, goes on at once; a copy that took another way, be it by a single write, has another epoch there.
 *
 * Invariants: the tip is moved before the description of the backup is written, in the place of the one that was looked at. A
 *             backup that ends between the two leaves a tip that its own store comes from.
 * Thread:     main.
 * Not chosen: a lease on the history, which a dead owner holds until it runs out: the epochs say who is who without one.
 */

import { StorageError } from '../shared/base/errors.ts';
import { randomHex } from '../shared/base/random.ts';
import { BRANCH_PATTERN, BRANCHES, branchKey, ID_PATTERN, MAIN_BRANCH } from './layout.ts';
import { openSealed, type SealedFields, sealText, TARGET_FORMAT } from './sealed-text.ts';
import type { TargetSession } from './target-session.ts';

/** An epoch that has ended, and its last sequence. */
export interface Epoch {
  readonly id: string;
  readonly end: number;
}

/** What a store that is backed up shows of its history. */
export interface History {
  readonly storeId: string;
  /** Up to its moment: the last one ends there. None: nothing was ever written. */
  readonly epochs: readonly Epoch[];
  /** The mark of {@link branchMark}; undefined: no restore has made this store. */
  readonly mark: string | undefined;
}

/** Where a branch ends, as far as the target knows. */
export interface Tip {
  readonly branch: string;
  /** undefined: of a store that nothing was ever written to. */
  readonly epoch: Epoch | undefined;
  readonly position: string;
  /** Up to this time nothing is missing, in milliseconds since 1970. */
  readonly coveredMs: number;
  /** All epochs of the history, up to the tip. */
  readonly epochs: readonly Epoch[];
  /** undefined: no restore has made this branch. */
  readonly parent: Parent | undefined;
}

/** Where a restored store comes from. */
export interface Parent {
  readonly branch: string;
  /** The backup that the restore began with. */
  readonly backup: string;
  /** Of the last write that it brought back. */
  readonly sequence: number;
  /** When it was restored, in milliseconds since 1970: what is asked of a time before that is asked of the parent. */
  readonly bornMs: number;
}

/** A place that a tip is moved to, and the time until which it is complete. */
export interface TipPlace {
  readonly position: string;
  readonly coveredMs: number;
}

const MARK = /^([0-9a-f]{16}):(main|[0-9a-f]{16}):([^:]+):(\d{1,16}):(\d{1,16})$/;
const EPOCH_ID = /^[0-9a-f]{16}$/;

/** What a restored store's manifest says: the branch that it goes on as, and where that begins. */
export function branchMark(branch: string, parent: Parent): string {
  return `${branch}:${parent.branch}:${parent.backup}:${parent.sequence}:${parent.bornMs}`;
}

export function branchOf({ mark }: Pick<History, 'mark'>): string {
  return (mark === undefined ? undefined : MARK.exec(mark)?.[1]) ?? MAIN_BRANCH;
}

/** Where the store was restored from. */
export function parentOf({ mark }: Pick<History, 'mark'>): Parent | undefined {
  const [, , branch, backup, sequence, bornMs] = (mark === undefined ? undefined : MARK.exec(mark)) ?? [];
  if (branch === undefined || backup === undefined || !ID_PATTERN.test(backup)) return undefined;
  return { branch, backup, sequence: Number(sequence), bornMs: Number(bornMs) };
}

/** @throws STRATA_CONFLICT for a store that does not come from the tip of its branch. */
export async function checkHistory(session: TargetSession, history: History): Promise<void> {
  const found = await readTip(session, branchOf(history));
  if (found !== undefined) checkSuccessor(session, history, found.tip);
}

/**
 * Makes the moment of `history` the tip of its branch, unless an archive has moved it further. `live` is what the store has been
 * through by now. @throws STRATA_CONFLICT likewise.
 */
export async function moveTip(
  session: TargetSession,
  history: History,
  place: TipPlace,
  live: History = history,
): Promise<void> {
  const branch = branchOf(history);
  const key = branchKey(branch);
  const end = history.epochs.at(-1)?.end ?? 0;
  for (;;) {
    const found = await readTip(session, branch);
    if (found !== undefined) {
      checkSuccessor(session, live, found.tip);
      const tipEnd = found.tip.epoch?.end ?? 0;
      if (tipEnd > end || (tipEnd === end && found.tip.coveredMs >= place.coveredMs)) return;
    }
    const text = encodeTip(history, place);
    const isMoved =
      found === undefined ? await session.create(key, text) : await session.replace(key, text, found.version);
    if (isMoved) return;
    // Somebody else has moved it: whether we come from there is to be seen anew.
  }
}

/** The tip of the branch that a store goes on as; undefined: it has none yet. */
export async function tipOf(session: TargetSession, history: History): Promise<Tip | undefined> {
  return (await readTip(session, branchOf(history)))?.tip;
}

/** Reads the tips of all branches, and so checks their objects. */
export async function readTips(session: TargetSession): Promise<Tip[]> {
  const keys = (await session.list(BRANCHES)).map(({ key }) => /^branches\/(.+)\.json$/.exec(key)?.[1] ?? '');
  const branches = keys.filter((name) => BRANCH_PATTERN.test(name));
  const tips: Tip[] = [];
  for (const branch of branches) {
    const found = await readTip(session, branch);
    if (found !== undefined) tips.push(found.tip);
  }
  return tips;
}

function checkSuccessor(session: TargetSession, history: History, { branch, epoch }: Tip): void {
  if (epoch === undefined) return;
  const own = history.epochs.find(({ id }) => id === epoch.id);
  if (own !== undefined && own.end >= epoch.end) return;
  throw new StorageError(
    'STRATA_CONFLICT',
    `the store does not come from the newest backup in ${session.target.name} (branch ${branch}): it is a copy that went ` +
      'another way, or an older state. Restore that backup, or give this store a target of its own',
  );
}

async function readTip(
  session: TargetSession,
  branch: string,
): Promise<{ readonly tip: Tip; readonly version: string } | undefined> {
  return await session.readSealed(branchKey(branch), ({ bytes, version }, file) => {
    const fields = openSealed(bytes, file);
    if (fields.text('branch') !== branch) fields.fail('branch');
    return { tip: decodeTip(fields, branch), version };
  });
}

function decodeTip(fields: SealedFields, branch: string): Tip {
  return {
    branch,
    epoch: fields.has('epoch') ? { id: fields.text('epoch', EPOCH_ID), end: fields.count('end') } : undefined,
    position: fields.text('position', /./),
    coveredMs: fields.count('coveredMs'),
    epochs: fields.list('epochs').map((item) => ({ id: item.text('id', EPOCH_ID), end: item.count('end') })),
    parent: fields.has('parent')
      ? {
          branch: fields.text('parentBranch', BRANCH_PATTERN),
          backup: fields.text('parent', ID_PATTERN),
          sequence: fields.count('parentSequence'),
          bornMs: fields.count('bornMs'),
        }
      : undefined,
  };
}

function encodeTip(history: History, { position, coveredMs }: TipPlace): Uint8Array {
  const last = history.epochs.at(-1);
  const parent = parentOf(history);
  return sealText({
    format: TARGET_FORMAT,
    branch: branchOf(history),
    storeId: history.storeId,
    position,
    coveredMs,
    ...(last === undefined ? {} : { epoch: last.id, end: last.end }),
    epochs: history.epochs,
    ...(parent === undefined
      ? {}
      : {
          parentBranch: parent.branch,
          parent: parent.backup,
          parentSequence: parent.sequence,
          bornMs: parent.bornMs,
        }),
    // Two that write the same tip are told apart by it.
    nonce: randomHex(8),
  });
}

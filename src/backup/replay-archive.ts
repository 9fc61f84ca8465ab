/**
 * Brings a store that a restore is making from its backup to a place behind it: replays what the archive has onto it, within the
 * stage of the restore.
 *
 *   1. the store is opened in the stage, and written to by its own path (replay.ts)    2. flushed and closed: it has no log then
 *   3. its manifest says whose writes these were: the epochs of the history that was archived, which end at the last write that
 *   was
 *      brought back. So positions from before that are taken, and none from behind
 *
 * Invariants: when it resolves, every write up to the goal is in a table that is durable, and none behind it.
 * Thread:     main.     Owns: the open store.
 */

import { loadManifest, type ManifestState } from '../main/manifest/manifest.ts';
import { assert } from '../shared/base/assert.ts';
import { CorruptionError, StorageError } from '../shared/base/errors.ts';
import { GENESIS } from '../shared/changes/history.ts';
import { encodePosition } from '../shared/changes/position.ts';
import { nodeFileSystem } from '../shared/files/node-file-system.ts';
import { epochsUpTo, type FoundPlan } from './find-plan.ts';
import { Replay, type ReplayedStore } from './replay.ts';
import { readSegment, type Segment, type SegmentName } from './segment.ts';
import type { Sink, TargetSession } from './target-session.ts';

/** Opens the store in that directory. */
export type OpenStore = (directory: string) => Promise<ReplayedStore>;

export interface ReachedPlace {
  readonly position: string;
  readonly time: number;
}

export interface Replayed {
  /** Of the store, without the mark of its branch. */
  readonly state: ManifestState;
  /** Of the last write that was brought back, as it was in the store that was archived. */
  readonly sequence: number;
  /** When that was made, in milliseconds since 1970. */
  readonly timeMs: number;
  /** What was downloaded. */
  readonly bytes: number;
}

export async function replayArchive(
  session: TargetSession,
  plan: FoundPlan,
  open: OpenStore,
  directory: string,
): Promise<Replayed> {
  const { base, goal, segments } = plan;
  const engine = await open(directory);
  let bytes = 0;
  let sequence: number;
  let timeMs: number;
  try {
    const limit =
      goal.kind === 'time'
        ? { sequence: Number.MAX_SAFE_INTEGER, timeMs: goal.timeMs }
        : {
            sequence: goal.kind === 'position' ? goal.sequence : Number.MAX_SAFE_INTEGER,
            timeMs: Number.MAX_SAFE_INTEGER,
          };
    const replay = new Replay(engine, base.sequence, limit);
    for (const { name, upTo } of segments) {
      const file = session.nameOf(name.key);
      const segment = await downloadSegment(session, name);
      bytes += name.sizeBytes;
      if (segment.header.storeId !== base.storeId)
        throw new CorruptionError('it is of another store', { file });
      await replay.add(segment, upTo, file);
    }
    await replay.end();
    sequence = replay.sequence;
    timeMs = replay.timeMs ?? base.timeMs;
    if (goal.kind === 'position' && sequence !== goal.sequence)
      throw new StorageError('STRATA_POSITION_LOST', 'the position lies within a write of the archive');
    await engine.flush();
  } finally {
    await engine.close();
  }
  return { state: stateAt(directory, plan, sequence), sequence, timeMs, bytes };
}

function stateAt(directory: string, { epochs }: FoundPlan, sequence: number): ManifestState {
  const state = loadManifest(nodeFileSystem, directory)!;
  assert(state.sealedLogs.length === 0, 'a store that was flushed has no log');
  const lastSequence = Math.max(state.lastSequence, sequence);
  return { ...state, lastSequence, epochs: epochsUpTo(epochs, sequence) };
}

/** Where a restored store is. `timeMs`: when the last write was made that was replayed. */
export function reachedBy(
  { goal, base, reachedMs }: FoundPlan,
  storeId: string,
  { epochs }: ManifestState,
  timeMs: number = base.timeMs,
): ReachedPlace {
  const last = epochs.at(-1);
  const place = { storeId, epochId: last?.id ?? GENESIS, sequence: last?.end ?? 0 };
  const times = { time: goal.kind === 'time' ? goal.timeMs : 0, position: timeMs, latest: reachedMs };
  return { position: encodePosition(place), time: times[goal.kind] };
}

/** Keeps the bytes of a segment, and reads them again when they were damaged on their way. */
class SegmentSink implements Sink {
  readonly #name: SegmentName;
  readonly #file: string;
  #parts: Uint8Array[] = [];
  segment: Segment | undefined;

  constructor(name: SegmentName, file: string) {
    this.#name = name;
    this.#file = file;
  }

  begin(): void {
    this.#parts = [];
  }

  write(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  end(): string | undefined {
    try {
      this.segment = readSegment(Buffer.concat(this.#parts), this.#name, this.#file);
      return undefined;
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      return error.message;
    }
  }
}

/** @throws {@link CorruptionError} for one that is missing or damaged. */
export async function downloadSegment(session: TargetSession, name: SegmentName): Promise<Segment> {
  const sink = new SegmentSink(name, session.nameOf(name.key));
  await session.download(name.key, name.sizeBytes, sink);
  return sink.segment!;
}

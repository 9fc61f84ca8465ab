/**
 * archive(): checks what it is given, and starts.
 *
 * Thread: main.
 */

import { integer } from '../shared/base/option-checks.ts';
import { Archive } from './archive.ts';
import { ArchiveShipper } from './archive-shipper.ts';
import { ChangeFrames } from './archive-source.ts';
import { type BackupSource, liveHistory, sourceOf } from './backup.ts';
import type { BackupTarget } from './target.ts';
import { checkTarget, resolveTransfer, type TransferOptions } from './transfer-options.ts';

export interface ArchiveOptions extends Pick<TransferOptions, 'timeoutMs' | 'bytesPerSecond'> {
  /**
   * As long as the target keeps up, a write is in it at most so long after it was acknowledged, in milliseconds. Default 10,000.
   */
  readonly intervalMs?: number | undefined;
}

const DEFAULT_INTERVAL_MS = 10_000;
const MAX_INTERVAL_MS: number = 24 * 60 * 60 * 1000;

/**
 * Ships the log of an open store into a backup target as it grows, from where the target's log or newest backup ends: what it has
 * can be restored to any position or time behind a backup. Losing the machine costs at most `intervalMs` of writes.
 *
 * Emits `shipped` for each segment, and `error`: when the target is away (once; it is tried again), when it has fallen behind
 * what the store retains (STRATA_POSITION_LOST: a gap, which the next backup closes), and when it has failed for good
 * (STRATA_CONFLICT for a store that does not come from there, say). Close it before the engine.
 *
 * @throws {@link StorageError} STRATA_INVALID_ARGUMENT, STRATA_CLOSED, STRATA_READ_ONLY, in the call.
 * @example
 * const log = archive(engine, directoryTarget('/mnt/backup/orders'), { intervalMs: 1_000 });
 * log.on('error', (error) => console.error(error.code, error.message));
 * // ... before the engine is closed:
 * await log.close();
 */
export function archive(engine: BackupSource, target: BackupTarget, options?: ArchiveOptions): Archive {
  const store = sourceOf(engine);
  checkTarget(target);
  const terms = resolveTransfer(options, 'options', ['intervalMs']);
  const intervalMs = integer(options ?? {}, 'intervalMs', DEFAULT_INTERVAL_MS, 1, MAX_INTERVAL_MS);
  store.checkWritable();
  const source = new ChangeFrames(store);
  const { history } = store.history.changes;
  const shipper = new ArchiveShipper(target, terms, {
    historyAt: (sequence) => ({ ...liveHistory(store), epochs: history.upTo(sequence) }),
    placeAt: (sequence) => history.placeAt(sequence),
    sequence: () => source.sequence(),
  });
  return new Archive({ source, shipper, intervalMs });
}

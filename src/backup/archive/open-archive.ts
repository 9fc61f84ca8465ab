/**
 * archive(): checks what it is given, and starts.
 *
 * Thread: main.
 */
import { integer } from '../../shared/base/option-checks.ts';
import { StorageEngine } from '../../main/engine.ts';
import { liveHistory } from '../backup.ts';
import type { BackupTarget } from '../target.ts';
import { checkTarget, resolveTransfer, type TransferOptions } from '../transfer-options.ts';
import { Archive } from './archive.ts';
import { ArchiveShipper } from './archive-shipper.ts';
import { changesOf } from './archive-source.ts';

export interface ArchiveOptions extends Pick<TransferOptions, 'timeoutMs' | 'bytesPerSecond'> {
  /** A write is in the target at most this long, in milliseconds, after it was acknowledged, as long as the target keeps up. Default 10,000. */
  readonly intervalMs?: number | undefined;
}

const DEFAULT_INTERVAL_MS = 10_000;
const MAX_INTERVAL_MS = 24 * 60 * 60 * 1000;

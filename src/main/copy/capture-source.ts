/**
 * From the public face of a store to what copies it: `backup(engine)` is given an engine, and lies below it.
 *
 * Invariants: an engine is known as long as somebody has it, to all copies of this version of the package.
 * Thread:     main.
 */
import { onePerThread } from '../../shared/base/one-per-thread.ts';
import { ENGINE_MARK, PACKAGE_VERSION } from '../../shared/base/package-version.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { ChangeSource } from '../changes/change-source.ts';
import type { Capture } from './capture.ts';

/** What of an open store a copy is made of. */
export interface CaptureSource {
  /** That of the store, for the paths of what is captured. */
  readonly fs: FileSystem;
  /** A moment, to be released. close() does not wait for that. */
  capture(): Promise<Capture>;
  /** Throws STRATA_CLOSED. */
  checkOpen(): void;
  /** Throws STRATA_CLOSED, STRATA_READ_ONLY. */
  checkWritable(): void;
  readonly history: StoreHistory;
  /** Makes all that was acknowledged survive power loss. */
  syncLogs(): Promise<void>;
}

/** What an archive follows. */
export interface StoreHistory {
  readonly storeId: string;
  /** Of a store that was restored: the mark of its branch. */
  readonly branch: string | undefined;
  readonly changes: ChangeSource;
  /** Of the last write that was acknowledged. */
  sequence(): number;
  /** Now, by the store's clock. */
  time(): number;
}

const sources = onePerThread('capture-sources', () => new WeakMap<object, CaptureSource>());

export function offerCapture(engine: object, source: CaptureSource): void {
  Object.defineProperty(engine, ENGINE_MARK, { value: PACKAGE_VERSION });
  sources.set(engine, source);
}

/** undefined: it is no engine. */
export function captureSourceOf(engine: object): CaptureSource | undefined {
  return sources.get(engine);
}

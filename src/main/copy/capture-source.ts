/**
 * From the public face of a store to what copies it: `backup(engine)` is given an engine, and lies below it.
 *
 * Invariants: an engine is known as long as somebody has it; what is no engine of this copy of the package is not.
 * Thread:     main.
 */
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { Capture } from './capture.ts';

/** What of an open store a copy is made of. */
export interface CaptureSource {
  /** That of the store, for the paths of what is captured. */
  readonly fs: FileSystem;
  /** A moment, to be released. close() does not wait for that. */
  capture(): Promise<Capture>;
  /** Throws STRATA_CLOSED. */
  checkOpen(): void;
}

const sources = new WeakMap<object, CaptureSource>();

export function offerCapture(engine: object, source: CaptureSource): void {
  sources.set(engine, source);
}

/** undefined: it is no engine. */
export function captureSourceOf(engine: object): CaptureSource | undefined {
  return sources.get(engine);
}

/**
 * A backup target: a place for immutable objects with names, and two conditional writes. directory-target.ts and s3/s3-target.ts
 * implement it; an application may bring its own.
 *
 * Names are made of `[A-Za-z0-9._-]` and `/`, at most 200 characters, never begin or end with `/`, and no part begins with a dot.
 *
 * What is asked of an implementation:
 *   - what resolved is durable, and whoever reads or lists afterwards, from wherever, sees it
 *   - an object appears whole or not at all, however the process that wrote it ends
 *   - `create` and `replace` are decided by the target, not by looking first: of two that race one wins
 *   - each method makes one attempt. An error with `retryable: true` is tried again, with pauses, by who calls
 *     (target-session.ts); everything else ends the call
 *
 * Invariants: nothing here knows what the objects are.
 * Thread:     main.
 */

/** What a method is given beside its arguments. */
export interface TargetCall {
  /** Aborted when nobody waits for the call any more. */
  readonly signal: AbortSignal;
  /** To be told of bytes that have moved, as a call that moves none for long is given up. */
  readonly onBytes: (count: number) => void;
}

/** A small object, whole. */
export interface StoredObject {
  readonly bytes: Uint8Array;
  /** What {@link BackupTarget.replace} compares. */
  readonly version: string;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was written, by the clock of the target. */
  readonly modifiedMs: number;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** Where to go on; undefined: this was the last page. */
  readonly next: string | undefined;
}

/** An object on its way to the target, part by part. */
export interface TargetUpload {
  /** Every part but the last has exactly this many bytes. */
  readonly partBytes: number;
  /** Parts come in order, from 0; one that failed may come again. */
  write(part: number, bytes: Uint8Array, call: TargetCall): Promise<void>;
  /** The object is there when this resolves, and not before. */
  finish(call: TargetCall): Promise<void>;
  /** Gives up what was written. Never rejects. */
  cancel(): Promise<void>;
}

export interface BackupTarget {
  /** For messages: a path, or `s3://bucket/prefix`. */
  readonly name: string;
  /** The headers that conditions are sent in. Where there are such, a probe finds out whether the target obeys them. */
  readonly conditions?: { readonly create: string; readonly replace: string } | undefined;
  /** An attempt that gets no answer for long is to be made again, as over a network: whatever came of the first one. */
  readonly isRemote?: boolean | undefined;
  /** A small object; undefined: there is none. */
  read(key: string, call: TargetCall): Promise<StoredObject | undefined>;
  /** The bytes of an object from `start` on; undefined: there is none. */
  download(key: string, start: number, call: TargetCall): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Writes an object, whatever is there under that name. */
  upload(key: string, sizeBytes: number, call: TargetCall): Promise<TargetUpload>;
  /** Writes a small object if there is none of that name; false: there is one. */
  create(key: string, bytes: Uint8Array, call: TargetCall): Promise<boolean>;
  /** Writes a small object in the place of the one with that version; false: there is another one by now, or none. */
  replace(key: string, bytes: Uint8Array, version: string, call: TargetCall): Promise<boolean>;
  /** One that is gone already is none to complain about. */
  remove(key: string, call: TargetCall): Promise<void>;
  /**
   * Objects whose names begin with `prefix`, in any order, page by page. An empty prefix: all, or at least one of each folder.
   */
  list(prefix: string, after: string | undefined, call: TargetCall): Promise<ListPage>;
}

const KEY = /^(?!.*(?:^|\/)(?:\.|\/|$))[A-Za-z0-9._/-]{1,200}$/;

/** Whether `key` may be the name of an object: what it leads to lies within the target. */
export function isKey(key: string): boolean {
  return KEY.test(key);
}

/**
 * What the owner of a store and its clients in other threads say to each other.
 *
 *   call port   the one that share() gives out. Waiting in it, from the start: {@link Hello}. Then calls (calls.ts)
 *   view port   made by the client when it attaches. Owner to client: {@link ViewChange}, each making view n + 1 of view n.
 *               Client to owner: a number, the view that the client has got to. Then the owner looks at the client's slots
 *               (view-slots.ts), which say what it reads with
 *
 * A *view* is what a read needs besides a sequence: the memtables and the version. Views are numbered. The owner posts a
 * change to every client, then puts its number into the control block (the view epoch), then publishes whatever sequence
 * needs it. A post is in the receiver's queue when postMessage returns, so a client that sees the epoch can take the changes
 * out by receiveMessageOnPort, within a synchronous read, and needs no turn of anybody's event loop.
 *
 * The view port is apart from the call port as receiveMessageOnPort takes whatever comes next, and must not take replies.
 *
 * Thread: any. Plain data only.
 */
import type { MessagePort } from 'node:worker_threads';
import type { CompactRange } from '../base/compact-range.ts';
import type { WireError } from '../base/errors.ts';
import type { FileNumber, SequenceNumber } from '../base/ids.ts';
import type { KeyRange as HalfOpenRange } from '../base/iterator.ts';
import type { KeyRange } from '../base/key-range.ts';
import type { TableInfo, VersionEdit } from '../base/version-edit.ts';
import type { FileSystemSpec } from '../files/file-system.ts';
import type { IngestReport } from '../ingest/ingest-options.ts';
import type { RunMeta } from '../ingest/run.ts';

/** Rises when owner and client no longer understand each other: both come from one package, but perhaps from two copies. */
export const SHARE_PROTOCOL_VERSION = 5;

/** The first message in a call port: shows that it is one, that nobody attached to it yet, and which protocol is spoken. */
export interface Hello {
  readonly stratakv: 'share';
  readonly protocolVersion: number;
}

export function isHello(message: unknown): message is Hello {
  return typeof message === 'object' && message !== null && (message as Hello).stratakv === 'share';
}

/** A memtable of a view. Only the last one of a view may still change. */
export interface MemtableState {
  /** Rises with each memtable of the store. Its memory may be another's as soon as no view in use has it: open it only then. */
  readonly id: number;
  readonly buffer: SharedArrayBuffer;
  /** Nothing will be added to it. */
  readonly isFrozen: boolean;
}

export interface ViewState {
  readonly number: number;
  /** Oldest first. */
  readonly memtables: readonly MemtableState[];
  readonly levels: readonly (readonly TableInfo[])[];
}

/** View `number`, as a change of the one before. */
export type ViewChange =
  /** A new memtable takes the writes: those before it are frozen. */
  | { readonly kind: 'activated'; readonly number: number; readonly memtable: MemtableState }
  /** Its entries are in the tables of the version. */
  | { readonly kind: 'removed'; readonly number: number; readonly id: number }
  | {
      readonly kind: 'edited';
      readonly number: number;
      readonly edit: Pick<VersionEdit, 'added' | 'removed'>;
    }
  /** The owner has given memory of memtables up: objects for it that are garbage in the client's heap still keep it. */
  | { readonly kind: 'reclaim'; readonly number: number }
  /** No change follows: the client is too far behind. */
  | { readonly kind: 'ended'; readonly number: number; readonly reason: string };

/** What positions are made of (changes/history.ts): it stays as it is for as long as the store is open. */
export interface HistoryState {
  readonly storeId: string;
  readonly closed: readonly { readonly id: string; readonly end: number }[];
  readonly id: string;
}

/** What a client gets once, when it attaches. */
export interface Attachment {
  readonly directory: string;
  readonly control: SharedArrayBuffer;
  readonly fileSystem: FileSystemSpec | undefined;
  readonly maxOpenFiles: number;
  readonly cacheBytes: number;
  /** What writes do that don't say. */
  readonly sync: boolean;
  /** When more bytes of its writes wait in its thread, the client refuses further ones. */
  readonly maxHeldBytes: number;
  /** Bytes at which a unit of writes takes no more (write-unit.ts). */
  readonly unitBytes: number;
  readonly history: HistoryState;
  /** A ViewSlots. */
  readonly slots: SharedArrayBuffer;
  readonly view: ViewState;
}

/** The writes of a turn, or of several, in their order, in the form of the log (log-format.ts). */
export interface WireWrites {
  readonly bytes: Uint8Array;
  /** Four words per unit of writes: bytes in `bytes`, entries, bytes of keys and values, MarkFlag bits. Each enters whole, or
   * fails. */
  readonly marks: Uint32Array;
}

export const MARK_WORDS = 4;
/** `Batch`: the unit is one write. Otherwise each of its entries is one. */
export const MarkFlag = { Sync: 1, Batch: 2 } as const;

/** What a transaction has read (transact/read-set.ts). */
export interface WireReads {
  /** The keys, one behind the other. */
  readonly keys: Uint8Array;
  /** Where each of them ends. */
  readonly ends: Uint32Array;
  /** Of keys from `start` on, up to `end` without it. */
  readonly ranges: readonly HalfOpenRange[];
  /** Something of it may expire. */
  readonly mayExpire: boolean;
}

/** A unit that failed: its place among those of the call. */
export interface FailedWrite {
  readonly index: number;
  readonly error: WireError;
}

/** Consecutive numbers of files: first .. first + count - 1. */
export interface NumberRange {
  readonly first: FileNumber;
  readonly count: number;
}

/** What a client needs to build the runs of an ingestion. */
export interface IngestTerms {
  /** Of the client's ingestions. */
  readonly id: number;
  readonly chunkBytes: number;
  /** An IngestLatch. */
  readonly latch: SharedArrayBuffer;
  /** For its first runs, to be used in their order. */
  readonly numbers: NumberRange;
}

/** What a client has made of its records. */
export interface WireRuns {
  /** Oldest first. */
  readonly runs: readonly RunMeta[];
  readonly recordCount: number;
  /** Of keys and values. */
  readonly byteCount: number;
}

/** A transaction that has begun. */
export interface TransactionStart {
  /** Of the client's transactions. */
  readonly id: number;
  /** Of the moment that it reads. */
  readonly sequence: SequenceNumber;
  /** By which what it reads expires; NOTHING_EXPIRES: nothing does. */
  readonly timeMs: number;
}

/** See changes/change-page.ts. */
interface ChangePage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly pieces: Float64Array<ArrayBuffer>;
}

/** What a client asks of the owner. */
export interface OwnerCalls {
  attach(viewPort: MessagePort): Attachment;
  /** Settled when every write of the turn is, each as durable as asked. The ones that failed. */
  write(writes: WireWrites): Promise<FailedWrite[]>;
  flush(): Promise<void>;
  /** A copy of what the client was given, with bytes for strings. */
  compact(range: KeyRange | CompactRange): Promise<void>;
  /** A transaction, whose moment is kept until it is committed or ended. `refused`: the run before, after which it waits for its
   * turn. */
  transactionBegin(refused: number | undefined): TransactionStart;
  /** Whether it was written, as `write` does; false: what it has read was written since. It has ended, whatever comes of it. */
  transactionCommit(id: number, reads: WireReads, writes: WireWrites): boolean;
  /** It writes nothing. */
  transactionEnd(id: number): void;
  /** An ingestion, whose runs the client builds. */
  ingestBegin(): IngestTerms;
  /** More file numbers, to be used when those before are used up. */
  ingestReserve(id: number): NumberRange;
  /** Merges and commits the runs. Progress goes to the port, if there is one. */
  ingestFinish(id: number, sorted: WireRuns, progressPort: MessagePort | undefined): Promise<IngestReport>;
  /** Settled when nothing of the ingestion is left. Meanwhile ingestFinish may have made it durable. */
  ingestAbort(id: number): Promise<void>;
  /** Changes behind a position are to be followed: their number. */
  changesBegin(after: string): number;
  /** The next page, once there is one. Its buffers come over. */
  changesNext(id: number): Promise<ChangePage>;
  changesEnd(id: number): void;
}

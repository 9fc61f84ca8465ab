/**
 * What can be asked for at the door of a store. Each command checks its arguments, which anybody of the same user may have sent,
 * and is one entry of {@link COMMANDS}: what is long tells its progress, and ends when the signal is aborted.
 *
 *   get         {key}                                         data: the value        result {found}
 *   scan        {gte?, lt?, prefix?, limit?, reverse, values} data: records          result {}
 *   stats       {}                                                                   result: EngineStats
 *   levels      {}                                            data: JSON (levels.ts) result {}
 *   flush       {}                                                                   result {}
 *   compact     {}                                                                   result {}
 *   checkpoint  {directory}                                                          result: CheckpointReport
 *   backup      {target}                                      progress               result: BackupInfo
 *
 * Keys are base64.
 *
 * Thread: main.
 */
import { isAbsolute } from 'node:path';
import { invalidArgument } from '../../shared/base/errors.ts';
import { nodeFileSystem } from '../../shared/files/node-file-system.ts';
import type { CheckpointReport } from '../copy/checkpoint.ts';
import { mapLevels } from '../inspect/level-map.ts';
import { findManifest, inspectManifest } from '../inspect/manifest-facts.ts';
import type { ScanOptions } from '../store/read-options.ts';
import { encodeLevels } from './levels.ts';
import { DATA_BYTES, encodeRecord } from './protocol.ts';

/** What of a StorageEngine is served. */
export interface ServedStore {
  readonly path: string;
  get(key: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Buffer | undefined>;
  scan(range?: ScanOptions): AsyncIterable<[Buffer, Buffer]>;
  stats(): object;
  flush(): Promise<void>;
  compact(): Promise<void>;
  checkpoint(directory: string): Promise<CheckpointReport>;
}

/** How a command speaks to whoever asked for it. */
export interface DoorTalk {
  /** Aborted when the visitor has gone. */
  readonly signal: AbortSignal;
  /** JSON. */
  progress(value: unknown): void;
  /** Resolves when more may be sent. */
  data(bytes: Uint8Array): Promise<void>;
}

type Args = Readonly<Record<string, unknown>>;

/** Resolves with the result, which is JSON. */
export type DoorCommand = (store: ServedStore, args: Args, talk: DoorTalk) => Promise<unknown>;

export const COMMANDS: ReadonlyMap<string, DoorCommand> = new Map<string, DoorCommand>([
  ['get', get],
  ['scan', scan],
  ['stats', (store) => Promise.resolve(store.stats())],
  ['levels', levels],
  ['flush', (store) => store.flush().then(() => ({}))],
  ['compact', (store) => store.compact().then(() => ({}))],
  ['checkpoint', checkpoint],
  ['backup', backUp],
]);

async function get(store: ServedStore, args: Args, talk: DoorTalk): Promise<unknown> {
  const key = bytesOf(args, 'key');
  if (key === undefined) throw invalidArgument('a key is missing');
  const value = await store.get(key, { signal: talk.signal });
  if (value !== undefined) await talk.data(value);
  return { found: value !== undefined };
}

async function scan(store: ServedStore, args: Args, talk: DoorTalk): Promise<unknown> {
  const values = flagOf(args, 'values');
  const range: ScanOptions = {
    gte: bytesOf(args, 'gte'),
    lt: bytesOf(args, 'lt'),
    prefix: bytesOf(args, 'prefix'),
    limit: countOf(args, 'limit'),
    reverse: flagOf(args, 'reverse'),
    values,
    signal: talk.signal,
  };
  let gathered: Buffer[] = [];
  let length = 0;
  for await (const [key, value] of store.scan(range)) {
    const record = encodeRecord(key, values ? value : undefined);
    gathered.push(record);
    length += record.length;
    if (length < DATA_BYTES) continue;
    await talk.data(Buffer.concat(gathered));
    gathered = [];
    length = 0;
  }
  await talk.data(Buffer.concat(gathered));
  return {};
}

async function levels(store: ServedStore, _: Args, talk: DoorTalk): Promise<unknown> {
  const facts = inspectManifest(nodeFileSystem, findManifest(nodeFileSystem, store.path));
  await talk.data(Buffer.from(encodeLevels({ ...facts, levels: mapLevels(facts) })));
  return {};
}

async function checkpoint(store: ServedStore, args: Args): Promise<unknown> {
  const { directory } = args;
  // What it would be relative to is not what the visitor means.
  if (typeof directory !== 'string' || !isAbsolute(directory))
    throw invalidArgument('the directory of a checkpoint must be an absolute path');
  return await store.checkpoint(directory);
}

async function backUp(store: ServedStore, args: Args, talk: DoorTalk): Promise<unknown> {
  const { target } = args;
  if (typeof target !== 'string' || !(isAbsolute(target) || target.startsWith('s3://')))
    throw invalidArgument('the target of a backup must be an absolute path, or s3://bucket/prefix');
  const { backup } = await import('../../backup/backup.ts');
  const { namedTarget } = await import('../../backup/s3/named-target.ts');
  return await backup(store, await namedTarget(target), {
    signal: talk.signal,
    onProgress: (step) => talk.progress(step),
  });
}

function bytesOf(args: Args, name: string): Buffer | undefined {
  const value = args[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw invalidArgument(`${name} must be base64`);
  return Buffer.from(value, 'base64');
}

function flagOf(args: Args, name: string): boolean {
  const value = args[name];
  if (typeof value !== 'boolean') throw invalidArgument(`${name} must be true or false`);
  return value;
}

function countOf(args: Args, name: string): number | undefined {
  const value = args[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number') throw invalidArgument(`${name} must be a number`);
  return value;
}

/**
 * The option sets under which every operation must give the same answers: each bends one part of the engine to its edge.
 */
import { createRequire } from 'node:module';
import type { EngineOptions } from '../../src/main/index.ts';
import { type KeyShape, MANY_VERSIONS, MIXED_KEYS } from '../helpers/key-generator.ts';

export interface OptionSet {
  readonly name: string;
  readonly options: EngineOptions;
  readonly keys: KeyShape;
  /** Operations relative to other sets: a syncing one is slower. */
  readonly weight: number;
}

const KIB = 1024;

function hasLz4(): boolean {
  try {
    createRequire(import.meta.url).resolve('lz4-napi');
    return true;
  } catch {
    return false;
  }
}

export const OPTION_SETS: readonly OptionSet[] = [
  {
    name: 'inline, everything tiny',
    options: { threads: 0, writeBufferSize: 4 * KIB, maxFileSize: 4 * KIB, blockSize: 64 },
    keys: MIXED_KEYS,
    weight: 1,
  },
  {
    name: 'inline, no codec, no bloom, no cache',
    options: { threads: 0, writeBufferSize: 16 * KIB, compression: 'none', bloomBitsPerKey: 0, cacheSize: 0 },
    keys: MIXED_KEYS,
    weight: 1.2,
  },
  {
    name: 'inline, many versions',
    options: { threads: 0, writeBufferSize: 12 * KIB, maxFileSize: 8 * KIB, blockSize: 256 },
    keys: MANY_VERSIONS,
    weight: 1.2,
  },
  {
    name: 'one thread, restart at every entry',
    options: { threads: 1, writeBufferSize: 8 * KIB, blockRestartInterval: 1, blockSize: 128 },
    keys: MIXED_KEYS,
    weight: 1,
  },
  {
    name: 'two threads, many versions, 8 open files',
    options: { threads: 2, writeBufferSize: 8 * KIB, maxFileSize: 4 * KIB, maxOpenFiles: 8, blockSize: 64 },
    keys: MANY_VERSIONS,
    weight: 1,
  },
  {
    name: 'two threads, 8 open files, tiny cache, long restarts',
    options: {
      threads: 2,
      writeBufferSize: 6 * KIB,
      maxFileSize: 4 * KIB,
      maxOpenFiles: 8,
      cacheSize: 2 * KIB,
      blockRestartInterval: 256,
    },
    keys: MIXED_KEYS,
    weight: 1,
  },
  {
    name: 'synced, one bloom bit',
    options: { threads: 1, sync: true, writeBufferSize: 16 * KIB, bloomBitsPerKey: 1 },
    keys: MIXED_KEYS,
    weight: 0.6,
  },
  {
    name: hasLz4() ? 'lz4, one thread' : 'no codec, one thread',
    options: {
      threads: 1,
      writeBufferSize: 24 * KIB,
      compression: hasLz4() ? 'lz4' : 'none',
      maxFileSize: 16 * KIB,
    },
    keys: MIXED_KEYS,
    weight: 1,
  },
  { name: 'defaults', options: {}, keys: MANY_VERSIONS, weight: 1 },
];

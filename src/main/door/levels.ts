/**
 * The levels of a store as text, for whoever asks at its door: JSON, with keys in base64 and faults as plain data.
 *
 * Thread: main. Pure.
 */
import {
  errorFromWire,
  errorToWire,
  isWireError,
  StorageError,
  type WireError,
} from '../../shared/base/errors.ts';
import type { MappedLevel } from '../inspect/level-map.ts';
import { isRecord } from './protocol.ts';

/** What the picture of a store's levels shows. */
export interface LevelPicture {
  /** Of the manifest. */
  readonly path: string;
  readonly isVerified: boolean;
  readonly faults: readonly StorageError[];
  readonly levels: readonly MappedLevel[];
}

type SentLevel = Omit<MappedLevel, 'score' | 'smallestKey' | 'largestKey'> & {
  readonly score: number | null;
  readonly smallestKey: string | null;
  readonly largestKey: string | null;
};

export function encodeLevels({ path, isVerified, faults, levels }: LevelPicture): string {
  const sent = levels.map(
    (level): SentLevel => ({
      ...level,
      score: level.score ?? null,
      smallestKey: textOf(level.smallestKey),
      largestKey: textOf(level.largestKey),
    }),
  );
  return JSON.stringify({
    path,
    isVerified,
    faults: faults.map((fault) => errorToWire(fault)),
    levels: sent,
  });
}

/** undefined: it is something else. */
export function decodeLevels(value: unknown): LevelPicture | undefined {
  if (!isRecord(value)) return undefined;
  const { path, isVerified, faults, levels } = value;
  if (typeof path !== 'string' || typeof isVerified !== 'boolean') return undefined;
  if (!Array.isArray(faults) || !faults.every((fault) => isWireError(fault)) || !Array.isArray(levels))
    return undefined;
  return {
    path,
    isVerified,
    faults: faults.map(faultFrom),
    levels: (levels as SentLevel[]).map(
      (level): MappedLevel => ({
        ...level,
        score: level.score ?? undefined,
        smallestKey: bytesOf(level.smallestKey),
        largestKey: bytesOf(level.largestKey),
      }),
    ),
  };
}

function faultFrom(wire: WireError): StorageError {
  const error = errorFromWire(wire);
  return error instanceof StorageError
    ? error
    : new StorageError('STRATA_IO', wire.message, { cause: error });
}

function textOf(key: Uint8Array | undefined): string | null {
  return key === undefined ? null : Buffer.from(key).toString('base64');
}

function bytesOf(text: string | null): Uint8Array | undefined {
  return text === null ? undefined : Buffer.from(text, 'base64');
}

/**
 * Branded numbers, so that a sequence number can never be passed where a file number is meant.
 *
 * Invariants: every one is a safe integer >= 0. A file number is borne by one file only, and never means age;
 *             age is known by sequence numbers and levels alone.
 * Not chosen: BigInt. 2^53 writes at a million a second last 285 years, and a BigInt allocates.
 */
import { assert } from './assert.ts';

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** The position of one write in the total order of all writes of a store; the first write has 1. */
export type SequenceNumber = Brand<number, 'SequenceNumber'>;
/** The number in the name of a log or table: `000012.sst`. */
export type FileNumber = Brand<number, 'FileNumber'>;
/** 0 (overlapping tables, straight from a flush) to {@link MAX_LEVEL} (disjoint tables, the bottom). */
export type Level = Brand<number, 'Level'>;

/**
 * Log records hold their log's number in 32 bits. Numbers are taken one for each file (control-block.ts): a store that flushes
 * once a second, which makes a log and a table, and compacts each table ten times reaches this after 5 years, one that flushes
 * once a minute after 340. A name with a larger number is not one of ours.
 */
export const MAX_FILE_NUMBER = 0x7fffffff;

/** The deepest level: L0..L7, as the seed names them. */
export const MAX_LEVEL: Level = 7 as Level;
export const LEVEL_COUNT = 8;

export function sequenceNumber(value: number): SequenceNumber {
  assert(Number.isSafeInteger(value) && value >= 0, 'sequence number out of range');
  return value as SequenceNumber;
}

export function fileNumber(value: number): FileNumber {
  assert(Number.isSafeInteger(value) && value >= 0 && value <= MAX_FILE_NUMBER, 'file number out of range');
  return value as FileNumber;
}

export function level(value: number): Level {
  assert(Number.isInteger(value) && value >= 0 && value <= MAX_LEVEL, 'level out of range');
  return value as Level;
}

/**
 * What is transferred between, and what a child is told.
 */
import type { EngineOptions } from '../../src/main/index.ts';

export const ACCOUNTS = 10;
export const BALANCE = 1000;
export const LANES = 8;

export interface TransferPlan {
  readonly directory: string;
  readonly seed: number;
  readonly round: number;
  /** Kill at this file operation; 0: from outside. */
  readonly killAfter: number;
  readonly options: EngineOptions;
}

export function accountKey(i: number): string {
  return `account-${i}`;
}

/** How many transfers a lane has made. */
export function laneKey(i: number): string {
  return `lane-${i}`;
}

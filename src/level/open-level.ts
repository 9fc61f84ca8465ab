/**
 * From a location and options to a store for StrataLevel: its own engine, or with `multithreading` one that it shares.
 *
 * Thread: that of the database.
 */
import type { GivenOptions } from './level-options.ts';
import { type OpenLevel, openShared, openUnshared } from './shared-stores.ts';

export type { OpenLevel };

export async function openLevel(location: string, given: GivenOptions): Promise<OpenLevel> {
  if (given['multithreading'] === true) return await openShared(location, given);
  return await openUnshared(location, given);
}

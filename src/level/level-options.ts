/**
 * The options of StrataLevel: those of classic-level by their names and with their defaults, and beyond them the engine's.
 *
 * Invariants: a number that LevelDB would take is never refused: as there, it is brought into the range that is possible. An
 *             option that neither knows is left alone, as in all abstract-level databases.
 * Thread:     any. Pure.
 */
import { type EngineOptions, OPTION_NAMES } from '../main/store/open-request.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** classic-level's, in bytes but for the last two. */
const SIZES: Readonly<
  Record<string, { readonly value: number; readonly least: number; readonly most: number }>
> = {
  cacheSize: { value: 8 * MIB, least: 0, most: Number.MAX_SAFE_INTEGER },
  writeBufferSize: { value: 4 * MIB, least: 4 * KIB, most: 2048 * MIB },
  blockSize: { value: 4 * KIB, least: 64, most: 64 * MIB },
  maxFileSize: { value: 2 * MIB, least: 4 * KIB, most: 1024 * MIB },
  maxOpenFiles: { value: 1000, least: 8, most: 1_000_000 },
  blockRestartInterval: { value: 16, least: 1, most: 256 },
};

/** What opening takes from abstract-level, as it comes out of the constructor and open(). */
export type GivenOptions = Readonly<Record<string, unknown>>;

/** The engine's options for what a Level user has asked for. */
export function engineOptionsOf(given: GivenOptions): EngineOptions {
  const options: Record<string, unknown> = {};
  for (const name of OPTION_NAMES)
    if (given[name] !== undefined && given[name] !== null) options[name] = given[name];
  for (const [name, { value, least, most }] of Object.entries(SIZES)) {
    const size = options[name];
    if (size === undefined) options[name] = value;
    else if (typeof size === 'number' && !Number.isNaN(size))
      options[name] = Math.trunc(Math.min(Math.max(size, least), most));
  }
  const { compression } = options;
  if (compression === undefined || compression === true) options['compression'] = 'snappy';
  else if (compression === false) options['compression'] = 'none';
  return options as EngineOptions;
}

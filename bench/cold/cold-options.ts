/**
 * The command line of `npm run bench -- cold ...`, checked.
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { OURS, type StoreName } from '../stores/store.ts';
import { COLD_ROWS, type ColdRow, chooseRows } from './cold-rows.ts';
import { contestant, type Mode } from './cold-task.ts';

const MIB: number = 1024 ** 2;
const RECORDS = 1_000_000;
const QUICK_RECORDS = 200_000;

export interface Contestant {
  readonly store: StoreName;
  readonly mode: Mode;
  readonly name: string;
}

/** In the order of the tables. */
const CONTESTANTS: readonly Contestant[] = (
  [
    [OURS, 'default'],
    [OURS, 'mmap-off'],
    [OURS, 'no-koffi'],
    ['classic-level', 'default'],
    ['lmdb', 'default'],
    ['rocksdb', 'default'],
  ] as const
).map(([store, mode]) => ({ store, mode, name: contestant(store, mode) }));

const MODE_NAMES: readonly string[] = ['default', 'mmap-off', 'no-koffi'];

export const COLD_USAGE: string = `npm run bench -- cold [options]     data that is not in memory, on a slow disk

  --only A,B           stores and our modes: ${OURS} (all three), ${MODE_NAMES.join(', ')}, classic-level, lmdb, rocksdb
  --rows A,B           of ${COLD_ROWS.map(({ name }) => name).join(', ')}
  --seconds S          for a measurement (default 6; quick 3)
  --records N          (default 1,000,000; quick 200,000)
  --value-bytes N      (default 1,000)
  --reads N            a second of the disk (default 2,000)
  --memory MIB         of a measured process, with its page cache (default 400; quick 160)
  --cache MIB          block cache of a store (default 64; quick 16)
  --no-limits          neither; the page cache is dropped all the same
  --quick              small sizes
  --directory DIR      where the stores are made (default: the system's temporary directory)
  --keep DIR           as --directory, and what was filled there stays, for the next run
  --write-docs         put tables and pictures into docs/benchmarks.md
  --from FILE          report a stored result instead of measuring
  --node-option=O      an option for the measuring processes, such as --cpu-prof; may be repeated
  --help               show this`;

export interface ColdOptions {
  readonly mode: 'run' | 'help';
  readonly isQuick: boolean;
  readonly contestants: readonly Contestant[];
  readonly rows: readonly ColdRow[];
  readonly seconds: number;
  readonly records: number;
  readonly valueBytes: number;
  readonly readsPerSecond: number;
  readonly memoryBytes: number;
  readonly cacheBytes: number;
  readonly isLimited: boolean;
  readonly directory: string;
  readonly isKept: boolean;
  readonly isWriteDocs: boolean;
  readonly from: string | undefined;
  readonly nodeOptions: readonly string[];
}

/** `argv` without the word cold. Throws RangeError or TypeError with what is wrong. */
export function parseColdOptions(argv: readonly string[]): ColdOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string' },
      rows: { type: 'string' },
      seconds: { type: 'string' },
      records: { type: 'string' },
      'value-bytes': { type: 'string' },
      reads: { type: 'string' },
      memory: { type: 'string' },
      cache: { type: 'string' },
      'no-limits': { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      directory: { type: 'string' },
      keep: { type: 'string' },
      'write-docs': { type: 'boolean', default: false },
      from: { type: 'string' },
      'node-option': { type: 'string', multiple: true },
      help: { type: 'boolean', default: false },
    },
  });
  const isQuick = values.quick;
  return {
    mode: values.help ? 'help' : 'run',
    isQuick,
    contestants: chooseContestants(list(values.only)),
    rows: chooseRows(list(values.rows)),
    seconds: number('--seconds', values.seconds, isQuick ? 3 : 6, 0.01),
    records: Math.floor(number('--records', values.records, isQuick ? QUICK_RECORDS : RECORDS, 1000)),
    valueBytes: Math.floor(number('--value-bytes', values['value-bytes'], 1000, 1)),
    readsPerSecond: Math.floor(number('--reads', values.reads, 2000, 1)),
    memoryBytes: Math.floor(number('--memory', values.memory, isQuick ? 160 : 400, 32)) * MIB,
    cacheBytes: Math.floor(number('--cache', values.cache, isQuick ? 16 : 64, 0) * MIB),
    isLimited: !values['no-limits'],
    directory: values.keep ?? values.directory ?? tmpdir(),
    isKept: values.keep !== undefined,
    isWriteDocs: values['write-docs'],
    from: values.from,
    nodeOptions: values['node-option'] ?? [],
  };
}

function list(text: string | undefined): readonly string[] | undefined {
  return text?.split(',').map((part) => part.trim());
}

function chooseContestants(names: readonly string[] | undefined): readonly Contestant[] {
  if (names === undefined) return CONTESTANTS;
  const isMeant = ({ store, mode }: Contestant, name: string): boolean =>
    MODE_NAMES.includes(name) ? store === OURS && mode === name : store === name;
  for (const name of names) {
    if (!CONTESTANTS.some((each) => isMeant(each, name)))
      throw new RangeError(`--only knows no "${name}"; --help shows what there is`);
  }
  return CONTESTANTS.filter((each) => names.some((name) => isMeant(each, name)));
}

function number(name: string, text: string | undefined, fallback: number, lowest: number): number {
  if (text === undefined) return fallback;
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isFinite(value) || value < lowest)
    throw new RangeError(`${name} takes a number of at least ${lowest}, not "${text}"`);
  return value;
}

/**
 * The command line of `npm run bench -- ...`, checked, and the sizes that follow from it.
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { DEFAULT_STORES, OURS, STORE_NAMES, type StoreName } from './stores/store.ts';

const MIB: number = 1024 * 1024;
const BUFFER_BYTES: number = 64 * MIB;
const RECORDS = 1_000_000;
const QUICK_RECORDS = 200_000;
/** As much of the data as in a full run. */
const QUICK_CACHE_BYTES: number = Math.round((BUFFER_BYTES * QUICK_RECORDS) / RECORDS / MIB) * MIB;

export const USAGE: string = `npm run bench -- [options] [workloads or groups ...]

  --quick           small sizes, fewer workloads: about 3 minutes on 2 cores
  --rounds N        rounds per workload (default 3; quick 2)
  --records N       records of a store (default 1,000,000; quick 200,000)
  --seconds S       time for a read workload (default 5; quick 0.5)
  --stores A,B      of ${STORE_NAMES.join(', ')}
  --directory DIR   where the stores are made (default: the system's temporary directory)
  --check           fail when a ratio to the peers fell against the last run of this machine
  --tolerance T     by how much it may fall (default 0.25)
  --write-docs      put tables and pictures into docs/benchmarks.md
  --from FILE       report a stored result instead of measuring
  --node-option=O   an option for the measuring processes, such as --cpu-prof; may be repeated
  --list            show the workloads
  --help            show this
  micro             as the only name: the micro-benchmarks of single structures
  cold              as the first word: data that is not in memory, see cold --help
  startup           as the first word: what a new process pays [--rounds N] [--check]
  level             as the first word: StrataLevel beside classic-level, see level --help`;

export interface BenchArguments {
  readonly mode: 'run' | 'list' | 'help' | 'micro';
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly records: number;
  readonly seconds: number;
  readonly stores: readonly StoreName[];
  readonly directory: string;
  readonly isCheck: boolean;
  readonly tolerance: number;
  readonly isWriteDocs: boolean;
  readonly from: string | undefined;
  readonly nodeOptions: readonly string[];
  readonly names: readonly string[];
  /** Also of quick runs: what a fill measures is how a buffer of the usual size is filled. */
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
}

/** Throws RangeError or TypeError with what is wrong. */
export function parseArguments(argv: readonly string[]): BenchArguments {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      records: { type: 'string' },
      seconds: { type: 'string' },
      stores: { type: 'string' },
      directory: { type: 'string' },
      check: { type: 'boolean', default: false },
      tolerance: { type: 'string' },
      'write-docs': { type: 'boolean', default: false },
      from: { type: 'string' },
      'node-option': { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const isQuick = values.quick;
  const records = Math.floor(number('--records', values.records, isQuick ? QUICK_RECORDS : RECORDS, 2000));
  const isMicro = positionals.includes('micro');
  if (isMicro && positionals.length > 1) throw new RangeError('micro is a run of its own: name nothing else');
  return {
    mode: values.help ? 'help' : values.list ? 'list' : isMicro ? 'micro' : 'run',
    isQuick,
    rounds: number('--rounds', values.rounds, isQuick ? 2 : 3, 1),
    records,
    seconds: number('--seconds', values.seconds, isQuick ? 0.5 : 5, 0.01),
    stores: stores(values.stores),
    directory: values.directory ?? tmpdir(),
    isCheck: values.check,
    tolerance: number('--tolerance', values.tolerance, 0.25, 0),
    isWriteDocs: values['write-docs'],
    from: values.from,
    nodeOptions: values['node-option'] ?? [],
    names: positionals,
    writeBufferBytes: BUFFER_BYTES,
    cacheBytes: isQuick ? QUICK_CACHE_BYTES : BUFFER_BYTES,
  };
}

function number(name: string, text: string | undefined, fallback: number, lowest: number): number {
  if (text === undefined) return fallback;
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isFinite(value) || value < lowest)
    throw new RangeError(`${name} takes a number of at least ${lowest}, not "${text}"`);
  return value;
}

/** Ours is always among them: ratios are to it. */
function stores(text: string | undefined): readonly StoreName[] {
  if (text === undefined) return DEFAULT_STORES;
  const named = text.split(',').map((part) => part.trim());
  for (const name of named) {
    if (!(STORE_NAMES as readonly string[]).includes(name))
      throw new RangeError(`there is no store "${name}"; there are ${STORE_NAMES.join(', ')}`);
  }
  return STORE_NAMES.filter((name) => name === OURS || named.includes(name));
}

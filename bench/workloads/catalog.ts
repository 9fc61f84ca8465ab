/**
 * All workloads, and their choice by name or group. Variants with other values and keys are made from the default ones.
 */
import type { Shape } from '../data/dataset.ts';
import { MIXED_WORKLOADS } from './mixed.ts';
import { READ_WORKLOADS } from './reads.ts';
import { SCAN_WORKLOADS } from './scans.ts';
import { SUSTAINED_WORKLOADS } from './sustained.ts';
import { THREAD_WORKLOADS } from './threads.ts';
import { TRANSACTION_WORKLOADS } from './transactions.ts';
import { DEFAULT_SHAPE, GROUPS, type Workload } from './workload.ts';
import { WRITE_WORKLOADS } from './writes.ts';
import { YCSB_WORKLOADS } from './ycsb.ts';

const LONG_PREFIX = 'tenant/0000000042/region/eu-central/collection/customer-documents/';

/** `divisor`: fewer records, so that the stored bytes stay about the same. */
const VARIANTS: readonly { readonly shape: Shape; readonly divisor: number; readonly says: string }[] = [
  { shape: { suffix: '+1k', keyPrefix: '', valueBytes: 1024 }, divisor: 8, says: 'values of 1 KiB' },
  { shape: { suffix: '+16k', keyPrefix: '', valueBytes: 16_384 }, divisor: 100, says: 'values of 16 KiB' },
  {
    shape: { ...DEFAULT_SHAPE, suffix: '+prefix', keyPrefix: LONG_PREFIX },
    divisor: 1,
    says: 'long shared prefixes',
  },
];
const VARIED = ['fillrandom-100', 'readrandom', 'readrandom-sync', 'readseq', 'seekrandom'];

const BASIC: readonly Workload[] = [
  ...WRITE_WORKLOADS,
  ...READ_WORKLOADS,
  ...SCAN_WORKLOADS,
  ...MIXED_WORKLOADS,
  ...TRANSACTION_WORKLOADS,
  ...YCSB_WORKLOADS,
  ...THREAD_WORKLOADS,
  ...SUSTAINED_WORKLOADS,
];

/** Ordered so that those with the same loaded store follow each other. */
export const CATALOG: readonly Workload[] = [
  ...BASIC,
  ...VARIANTS.flatMap(({ shape, divisor, says }) =>
    BASIC.filter(({ name }) => VARIED.includes(name)).map(
      (basic): Workload => ({
        ...basic,
        name: basic.name + shape.suffix,
        group: 'sizes',
        operation: `${basic.operation}; ${says}`,
        shape,
        records: (scale) => Math.max(1000, Math.floor(basic.records(scale) / divisor)),
        isQuick: false,
        dbBench: undefined,
      }),
    ),
  ),
];

/** The workloads that `names` (of workloads or groups) choose; without names, all, or the quick ones. */
export function chooseWorkloads(names: readonly string[], isQuick: boolean): readonly Workload[] {
  if (names.length === 0) return CATALOG.filter((each) => !isQuick || each.isQuick);
  for (const name of names) {
    if (!CATALOG.some((each) => each.name === name) && !(GROUPS as readonly string[]).includes(name))
      throw new RangeError(`there is no workload or group "${name}"; --list shows them`);
  }
  return CATALOG.filter(({ name, group }) => names.includes(name) || names.includes(group));
}

/**
 * dump-table: a table's file as lines or JSON lines.
 */
import { nodeFileSystem } from '../../shared/files/node-file-system.ts';
import type { RangeDeletes } from '../../shared/ranges/range-deletes.ts';
import { PreadSource } from '../../shared/table/block-source.ts';
import { numberInName, openInspected } from '../inspect/inspected-file.ts';
import { type BlockFacts, type TableEntryFacts, type TableFact, tableFacts } from '../inspect/table-facts.ts';
import type { MetaFacts } from '../inspect/table-parts.ts';
import type { CommandContext } from './context.ts';
import { bytesOf, Listing, type ListingOptions, row, verdict } from './listing.ts';
import { formatBytes, formatCount } from './quantities.ts';

export interface DumpTableOptions extends ListingOptions {
  readonly entries?: boolean;
  readonly summary?: boolean;
  readonly limit?: number;
}

const EXPECTED = {
  what: 'the file of a table (000013.sst)',
  kinds: ['table', 'new-table', 'set-aside'],
} as const;
const TABLE_KINDS = ['table', 'new-table'] as const;
const BLOCK_WIDTHS: readonly number[] = [7, 14, 12, 12, 9, 10, 10];
const BLOCK_TITLES: readonly string[] = ['block', 'offset', 'stored', 'raw', 'codec', 'entries', 'deletes'];
const BITS_PER_BYTE = 8;
const LINE_BYTES = 64;

export async function dumpTable(
  context: CommandContext,
  path: string,
  options: DumpTableOptions,
): Promise<void> {
  const file = openInspected(nodeFileSystem, path, EXPECTED);
  try {
    const listing = new TableListing(context, options);
    const number = numberInName(file.path, TABLE_KINDS);
    const facts = tableFacts(new PreadSource(file), number, () => listing.wantsEntries);
    await listing.printAll(facts);
  } finally {
    file.close();
  }
}

class TableListing {
  readonly #listing: Listing;
  readonly #hasEntries: boolean;
  readonly #hasBlocks: boolean;
  /** Blocks still to be listed, or entries where these are. */
  #left: number;
  #leftOut = 0;
  #hasTitles = false;

  constructor(context: CommandContext, options: DumpTableOptions) {
    this.#listing = new Listing(context, options);
    this.#hasBlocks = options.summary !== true;
    this.#hasEntries = this.#hasBlocks && (options.entries === true || options.values === true);
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
  }

  get wantsEntries(): boolean {
    return this.#hasEntries && this.#left > 0;
  }

  printAll(facts: Iterable<TableFact>): Promise<void> {
    return this.#listing.print(facts, (fact) => this.#show(fact));
  }

  #show(fact: TableFact): Promise<void> | undefined {
    switch (fact.kind) {
      case 'fault':
        return this.#listing.fault(fact.error);
      case 'block':
        return this.#block(fact);
      case 'entry':
        return this.#entry(fact);
      case 'meta':
        return this.#listing.isJson ? this.#metaObject(fact) : this.#meta(fact);
      default:
        return this.#listing.isJson ? this.#object(fact) : this.#text(fact);
    }
  }

  #object(fact: Extract<TableFact, { kind: 'file' | 'footer' | 'summary' }>): Promise<void> | undefined {
    const { kind, ...fields } = fact;
    const more = kind === 'summary' ? { notListed: this.#leftOut } : {};
    return this.#listing.object(kind, { ...fields, ...more });
  }

  #text(fact: Extract<TableFact, { kind: 'file' | 'footer' | 'summary' }>): Promise<void> | undefined {
    if (fact.kind === 'file') return this.#listing.line(`${fact.path}: ${bytesOf(fact.bytes)}`);
    if (fact.kind === 'footer') {
      const checksum = fact.isSound ? 'checksum ok' : 'not verified, so what it says is not proven';
      return this.#listing.line(
        `footer      at ${fact.offset}: ${checksum}; format version ${fact.formatVersion}, ` +
          `meta block at ${fact.metaOffset}, ${fact.metaBytes} bytes`,
      );
    }
    const { faults, blocks, damagedBlocks, entries, tombstones, storedBytes, rawBytes } = fact;
    if (this.#leftOut > 0) {
      const what = this.#hasEntries ? 'entries' : 'blocks';
      this.#listing.line(`... and ${formatCount(this.#leftOut)} more ${what} (--limit)`);
    }
    const damaged = damagedBlocks > 0 ? ` (${formatCount(damagedBlocks)} damaged)` : '';
    return this.#listing.line(
      `${verdict(faults)}: ${formatCount(blocks)} blocks${damaged}, ` +
        `${formatBytes(storedBytes)}; ${formatCount(entries)} entries, ${formatCount(tombstones)} of them deletes, ` +
        `${formatBytes(rawBytes)} of keys and values`,
    );
  }

  #meta(meta: MetaFacts): Promise<void> | undefined {
    const { properties, index, filter } = meta;
    const checksum = meta.isVerified ? 'checksum ok' : 'not verified, so what it says is not proven';
    const lines = [`meta block  at ${meta.offset}, ${meta.bytes} bytes: ${checksum}`];
    for (const { name, tag, offset, bytes } of meta.sections)
      lines.push(
        `  ${(name === 'unknown' ? `section ${tag}` : name).padEnd(12)}at ${offset}, ${bytes} bytes`,
      );
    if (properties !== undefined) {
      const { smallestKey, largestKey } = properties;
      const hint = this.#listing.showsKeys ? '' : '   (--keys shows them)';
      lines.push(
        `properties  table ${properties.number}, written in format version ${properties.creationFormatVersion}, ` +
          `compression ${properties.codec}`,
        `  entries     ${formatCount(properties.entryCount)}: ${formatCount(properties.tombstoneCount)} deletes, ` +
          `${formatCount(properties.shadowedCount)} older versions of a key; ` +
          `${bytesOf(properties.rawBytes)} of keys and values`,
        `  sequences   ${properties.smallestSequence} to ${properties.largestSequence}, counted from ${properties.baseSequence}`,
        `  keys        ${this.#listing.key(smallestKey)} .. ${this.#listing.key(largestKey)}${hint}`,
      );
    }
    if (index !== undefined)
      lines.push(
        `index       ${formatCount(index.blockCount)} blocks in ${bytesOf(meta.offset)}; ${meta.indexBytes} bytes`,
      );
    if (filter !== undefined) {
      const keys = properties === undefined ? 0 : properties.entryCount - properties.shadowedCount;
      const perKey =
        keys === 0 ? '' : `, ${((filter.lines * LINE_BYTES * BITS_PER_BYTE) / keys).toFixed(1)} bits a key`;
      lines.push(
        `filter      ${formatCount(filter.lines)} lines of ${LINE_BYTES} bytes, ${filter.probes} probes${perKey}`,
      );
    } else if (meta.isVerified && !meta.sections.some(({ name }) => name === 'filter'))
      lines.push('filter      none');
    if (meta.ranges !== undefined) lines.push(...this.#rangeLines(meta.ranges));
    return this.#listing.line(lines.join('\n'));
  }

  /** Each range with its first key, the first behind it, and the sequences of its deletes, where keys are shown. */
  #rangeLines(ranges: RangeDeletes): string[] {
    const [lowest, highest] = ranges.sequenceRange();
    const hint = this.#listing.showsKeys ? '' : '   (--keys shows them)';
    const lines = [
      `ranges      ${formatCount(ranges.count)} deleted, by sequences ${lowest} to ${highest}; ` +
        `${ranges.bytes.length} bytes${hint}`,
    ];
    if (!this.#listing.showsKeys) return lines;
    for (const { start, end, sequences } of rangesOf(ranges))
      lines.push(
        `  from ${this.#listing.key(start)} to ${this.#listing.key(end)}, by ${sequences.join(' ')}`,
      );
    return lines;
  }

  #metaObject(meta: MetaFacts): Promise<void> | undefined {
    const { offset, bytes, isVerified, sections, properties, index, filter } = meta;
    const { smallestKey, largestKey, ...numbers } = properties ?? {};
    return this.#listing.object('meta', {
      offset,
      bytes,
      isVerified,
      sections,
      properties: properties && {
        ...numbers,
        ...this.#listing.keyFields('smallestKey', smallestKey),
        ...this.#listing.keyFields('largestKey', largestKey),
      },
      index: index && { blocks: index.blockCount, dataBytes: offset, bytes: meta.indexBytes },
      filter,
      ranges: meta.ranges && {
        count: meta.ranges.count,
        bytes: meta.ranges.bytes.length,
        list: Array.from(rangesOf(meta.ranges), ({ start, end, sequences }) => ({
          ...this.#listing.keyFields('start', start),
          ...this.#listing.keyFields('end', end),
          sequences,
        })),
      },
    });
  }

  #block(fact: BlockFacts): Promise<void> | undefined {
    const isWithin = this.#left > 0;
    if (this.#hasEntries && !isWithin) this.#leftOut += fact.entries;
    if (!this.#hasBlocks || (!isWithin && fact.isSound)) {
      if (this.#hasBlocks && !this.#hasEntries) this.#leftOut++;
      return undefined;
    }
    if (!this.#hasEntries) this.#left--;
    const { kind, firstKey, lastKey, ...fields } = fact;
    if (this.#listing.isJson)
      return this.#listing.object(kind, {
        ...fields,
        ...this.#listing.keyFields('firstKey', firstKey),
        ...this.#listing.keyFields('lastKey', lastKey),
      });
    const cells = [
      fact.index,
      fact.offset,
      formatCount(fact.storedBytes),
      fact.rawBytes === undefined ? '-' : formatCount(fact.rawBytes),
      fact.codec ?? '-',
      formatCount(fact.entries),
      formatCount(fact.tombstones),
    ];
    const range =
      this.#listing.showsKeys && firstKey !== undefined && lastKey !== undefined
        ? `  ${this.#listing.key(firstKey)} .. ${this.#listing.key(lastKey)}`
        : '';
    const titles = this.#hasTitles ? '' : `${row(BLOCK_WIDTHS, BLOCK_TITLES)}\n`;
    this.#hasTitles = true;
    return this.#listing.line(`${titles}${row(BLOCK_WIDTHS, cells)}${range}`);
  }

  #entry(fact: TableEntryFacts): Promise<void> | undefined {
    if (this.#left <= 0) {
      this.#leftOut++;
      return undefined;
    }
    this.#left--;
    const { sequence, isSequenceRelative, entryKind, key, value } = fact;
    const entry = {
      entryKind,
      keyLength: key.length,
      valueLength: value.length,
      key: () => key,
      value: () => value,
    };
    if (!this.#listing.isJson)
      return this.#listing.line(
        this.#listing.entryLine(`${isSequenceRelative ? 'base+' : ''}${sequence}`, entry),
      );
    const relative = isSequenceRelative ? { isSequenceRelative } : {};
    return this.#listing.object('entry', {
      block: fact.block,
      sequence,
      ...relative,
      ...this.#listing.entryFields(entry),
    });
  }
}

interface ListedRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly sequences: readonly number[];
}

/** [start, end) of each stretch with something deleted. */
function* rangesOf(ranges: RangeDeletes): Generator<ListedRange> {
  for (let i = 0; i + 1 < ranges.boundaryCount; i++) {
    const sequences = Array.from(ranges.sequencesOf(i));
    if (sequences.length > 0) yield { start: ranges.key(i), end: ranges.key(i + 1), sequences };
  }
}

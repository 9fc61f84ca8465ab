/**
 * What a table's file holds, fact by fact, from a file that may be damaged.
 *
 *   file, footer, meta     how the file is made                      table-parts.ts
 *   block                  one fact each, in the order of the file; where entries are wanted, each block's follow it
 *   fault                  where it is met; what lies behind it goes on
 *   summary                what was read in all
 *
 * Where the index is lost, blocks are looked for from the start of the file on (block-finder.ts). Where the properties are not
 * proven, the number that every block is sealed with is taken from the file's name, and sequence numbers are relative to a base
 * that is not known.
 *
 * Invariants: entries come from blocks whose checksum matches, and from nothing else. One block is in memory at a time.
 * Lifetime:   the bytes of an entry's key and value are valid until the next fact.
 * Thread:     main. Owns: not the source.
 */
import { readU32 } from '../../shared/base/bytes.ts';
import { CorruptionError, type StorageError } from '../../shared/base/errors.ts';
import { Block } from '../../shared/table/block.ts';
import { DecodeRoom, openBlock } from '../../shared/table/block-codec.ts';
import type { BlockSource } from '../../shared/table/block-source.ts';
import { type CodecName, codecById } from '../../shared/table/compression.ts';
import { BLOCK_TRAILER_BYTES } from '../../shared/table/format.ts';
import { BlockFinder, type BlockPlace } from './block-finder.ts';
import { BlockWalker, type WalkedEntry } from './block-walk.ts';
import { faultOf, WrongFile } from './inspected-file.ts';
import {
  type FooterFacts,
  hasTableMagic,
  isNewerFormat,
  type MetaFacts,
  readFooter,
  readMeta,
  readRestOfMeta,
} from './table-parts.ts';

export interface BlockFacts {
  readonly kind: 'block';
  readonly index: number;
  readonly offset: number;
  readonly storedBytes: number;
  /** undefined where the checksum does not match: nothing of it can be believed. */
  readonly rawBytes: number | undefined;
  readonly codec: CodecName | undefined;
  readonly restarts: number;
  readonly entries: number;
  readonly tombstones: number;
  readonly firstKey: Uint8Array | undefined;
  readonly lastKey: Uint8Array | undefined;
  readonly isSound: boolean;
}

export interface TableEntryFacts extends WalkedEntry {
  readonly kind: 'entry';
  readonly block: number;
  /** Counted from 0, as the table's base is lost. */
  readonly isSequenceRelative: boolean;
}

export interface TableSummary {
  readonly kind: 'summary';
  readonly blocks: number;
  readonly damagedBlocks: number;
  readonly entries: number;
  readonly tombstones: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  /** Bytes between the last block that was found and the meta block or the end, where the index is lost. */
  readonly unreadBytes: number;
  readonly faults: number;
}

export type TableFact =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly bytes: number;
      readonly number: number | undefined;
    }
  | ({ readonly kind: 'footer' } & FooterFacts)
  | ({ readonly kind: 'meta' } & MetaFacts)
  | BlockFacts
  | TableEntryFacts
  | { readonly kind: 'fault'; readonly error: StorageError }
  | TableSummary;

/** The facts of the table in `source`; `nameNumber`: what its file's name says. `wantsEntries` is asked for each block. */
export function* tableFacts(
  source: BlockSource,
  nameNumber: number | undefined,
  wantsEntries: () => boolean = () => false,
): Generator<TableFact, void> {
  if (nameNumber === undefined && !hasTableMagic(source))
    throw new WrongFile(
      `${source.path} is no table: expected a file that ends with the footer of one, or the name of one (000013.sst)`,
    );
  yield* new TableWalk(source, nameNumber, wantsEntries).facts();
}

class TableWalk {
  readonly #source: BlockSource;
  readonly #nameNumber: number | undefined;
  readonly #wantsEntries: () => boolean;
  readonly #room = new DecodeRoom();
  readonly #walker = new BlockWalker();
  #faults = 0;
  #blocks = 0;
  #damagedBlocks = 0;
  #storedBytes = 0;
  #unreadBytes = 0;

  constructor(source: BlockSource, nameNumber: number | undefined, wantsEntries: () => boolean) {
    this.#source = source;
    this.#nameNumber = nameNumber;
    this.#wantsEntries = wantsEntries;
  }

  *facts(): Generator<TableFact, void> {
    const source = this.#source;
    yield { kind: 'file', path: source.path, bytes: source.sizeBytes, number: this.#nameNumber };
    const { footer, fault } = readFooter(source);
    if (fault !== undefined) yield this.#fault(fault);
    const isFooterShown = footer !== undefined && (footer.isSound || hasTableMagic(source));
    if (isFooterShown) yield { kind: 'footer', ...footer };
    if (!isNewerFormat({ footer })) yield* this.#content(footer);
    yield this.#summary();
  }

  *#content(footer: FooterFacts | undefined): Generator<TableFact, void> {
    const named = footer && readMeta(this.#source, footer.metaOffset, footer.metaChecksum);
    // Where a damaged footer leads proves nothing, unless what is there has the checksum.
    let meta = footer?.isSound === true || named?.isVerified === true ? named : undefined;
    let places: readonly BlockPlace[] | undefined;
    if (meta?.index === undefined) {
      const number = this.#numberOf(meta);
      places = number === undefined ? [] : new BlockFinder(this.#source, number).findAll();
      meta ??= this.#metaBehind(places, footer);
      if (meta?.index !== undefined) places = undefined;
    }
    if (meta !== undefined) {
      yield { kind: 'meta', ...meta };
      for (const fault of meta.faults) yield this.#fault(fault);
    }
    const number = this.#numberOf(meta);
    if (number === undefined)
      yield this.#fault(
        this.#corrupt(
          'the number of the table is lost, and blocks are sealed with it: name it 000013.sst',
          0,
        ),
      );
    else yield* this.#namedOtherwise(number);
    if (number !== undefined) yield* this.#allBlocks(number, meta, places);
    if (meta?.isVerified === true && this.#damagedBlocks === 0) yield* this.#compare(meta);
  }

  /** The meta block begins where the blocks end. */
  #metaBehind(places: readonly BlockPlace[], footer: FooterFacts | undefined): MetaFacts | undefined {
    const last = places.at(-1);
    if (last === undefined) return undefined;
    const offset = last.offset + last.size;
    const meta = footer && readMeta(this.#source, offset, footer.metaChecksum);
    return meta?.isVerified === true ? meta : readRestOfMeta(this.#source, offset);
  }

  /** What the blocks are sealed with. */
  #numberOf(meta: MetaFacts | undefined): number | undefined {
    const own = meta?.properties?.number;
    return meta?.isVerified === true ? (own ?? this.#nameNumber) : (this.#nameNumber ?? own);
  }

  *#namedOtherwise(number: number): Generator<TableFact, void> {
    if (this.#nameNumber !== undefined && this.#nameNumber !== number)
      yield this.#fault(this.#corrupt(`table is number ${number} where ${this.#nameNumber} is expected`, 0));
  }

  /** `places`: those that were found, where no index leads to them. */
  *#allBlocks(
    number: number,
    meta: MetaFacts | undefined,
    places: readonly BlockPlace[] | undefined,
  ): Generator<TableFact, void> {
    const index = meta?.index;
    const count = places?.length ?? index?.blockCount ?? 0;
    for (let i = 0; i < count; i++) {
      const place = places?.[i] ?? { offset: index!.blockOffset(i), size: index!.blockSize(i) };
      const separator = meta?.isVerified === true ? index?.separator(i) : undefined;
      yield* this.#block(i, place, number, meta, separator);
    }
    if (places === undefined) return;
    const last = places.at(-1);
    const end = last === undefined ? 0 : last.offset + last.size;
    const metaOffset = meta?.offset ?? this.#source.sizeBytes;
    this.#unreadBytes = Math.max(0, metaOffset - end);
    if (this.#unreadBytes > 0)
      yield this.#fault(
        this.#corrupt(
          `the index is lost and no intact block begins here, so ${this.#unreadBytes} bytes are unread`,
          end,
        ),
      );
  }

  *#block(
    index: number,
    { offset, size }: BlockPlace,
    number: number,
    meta: MetaFacts | undefined,
    separator: Uint8Array | undefined,
  ): Generator<TableFact, void> {
    this.#blocks++;
    this.#storedBytes += size;
    // A base that is not proven would make all sequence numbers wrong.
    const base = meta?.isVerified === true ? meta.properties?.baseSequence : undefined;
    let block: Block | undefined;
    let fault: StorageError | undefined;
    let trailer: BlockTrailer | undefined;
    try {
      const sealed = this.#source.read(offset, size);
      trailer = trailerOf(sealed);
      const content = openBlock(sealed, number, offset, this.#source.path, this.#room);
      block = new Block(content, base ?? 0, this.#source.path, offset);
    } catch (error) {
      fault = faultOf(error);
      // A codec that is not installed: the checksum has matched.
      if (fault.code !== 'STRATA_UNSUPPORTED') trailer = undefined;
    }
    const walk = block && this.#walker.walk(block, separator);
    fault ??= walk?.fault;
    if (fault !== undefined) this.#damagedBlocks++;
    yield {
      kind: 'block',
      index,
      offset,
      storedBytes: size,
      rawBytes: trailer?.rawBytes,
      codec: trailer?.codec,
      restarts: block?.restartCount ?? 0,
      entries: walk?.entries ?? 0,
      tombstones: walk?.tombstones ?? 0,
      firstKey: walk?.firstKey,
      lastKey: walk?.lastKey,
      isSound: fault === undefined,
    };
    if (block !== undefined && walk !== undefined && this.#wantsEntries())
      for (const entry of this.#walker.entriesOf(block, walk.entries))
        yield { kind: 'entry', block: index, isSequenceRelative: base === undefined, ...entry };
    if (fault !== undefined) yield this.#fault(fault);
  }

  /** What the table says of itself must be what its blocks hold. */
  *#compare({ properties, offset }: MetaFacts): Generator<TableFact, void> {
    if (properties === undefined) return;
    const counted: readonly (readonly [what: string, said: number, found: number])[] = [
      ['entries', properties.entryCount, this.#walker.entries],
      ['tombstones', properties.tombstoneCount, this.#walker.tombstones],
      ['raw bytes', properties.rawBytes, this.#walker.rawBytes],
    ];
    for (const [what, said, found] of counted)
      if (said !== found)
        yield this.#fault(
          this.#corrupt(`the properties say ${said} ${what} where the blocks hold ${found}`, offset),
        );
  }

  #fault(error: StorageError): TableFact {
    this.#faults++;
    return { kind: 'fault', error };
  }

  #summary(): TableSummary {
    return {
      kind: 'summary',
      blocks: this.#blocks,
      damagedBlocks: this.#damagedBlocks,
      entries: this.#walker.entries,
      tombstones: this.#walker.tombstones,
      storedBytes: this.#storedBytes,
      rawBytes: this.#walker.rawBytes,
      unreadBytes: this.#unreadBytes,
      faults: this.#faults,
    };
  }

  #corrupt(message: string, offset: number): CorruptionError {
    return new CorruptionError(message, { file: this.#source.path, offset });
  }
}

interface BlockTrailer {
  readonly rawBytes: number;
  readonly codec: CodecName | undefined;
}

function trailerOf(sealed: Uint8Array): BlockTrailer {
  const at = sealed.length - BLOCK_TRAILER_BYTES;
  return { rawBytes: readU32(sealed, at), codec: codecById(sealed[at + 4]!)?.name };
}

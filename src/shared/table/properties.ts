/**
 * The properties of a table: what it holds and how it was made.
 *
 *   properties = (varint tag  varint length  bytes)*        tags: PropertyTag in format.ts
 *
 * A number is a varint that fills its bytes (the codec is its byte on disk); keys are bytes.
 *
 * Invariants: every tag of version 1 is there exactly once. Unknown tags are skipped, so that a later release may add
 *             facts without a new format version; a fact that readers must understand needs one.
 * Thread: any. Pure.
 */
import { copyBytes, VarintReader, varintLength, writeVarint } from '../base/bytes.ts';
import type { CorruptionError } from '../base/errors.ts';
import type { FileNumber, SequenceNumber } from '../base/ids.ts';
import { EXPIRY_STEPS, type TableExpiry } from '../base/version-edit.ts';
import { type CodecName, codecById, codecByName } from './compression.ts';
import { PropertyTag } from './format.ts';

export interface TableProperties {
  readonly number: FileNumber;
  /** What entries count their sequence numbers from. */
  readonly baseSequence: SequenceNumber;
  readonly entryCount: number;
  readonly tombstoneCount: number;
  /** Entries whose key has a newer version in the same table. */
  readonly shadowedCount: number;
  /** Bytes of keys and values before compression. */
  readonly rawBytes: number;
  readonly blockCount: number;
  readonly smallestSequence: SequenceNumber;
  readonly largestSequence: SequenceNumber;
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  /** The codec asked for; single blocks may be stored uncompressed. */
  readonly codec: CodecName;
  /** The format version of the release that wrote the table. */
  readonly creationFormatVersion: number;
  /** As in TableInfo. */
  readonly rangeDeletes?: number | undefined;
  readonly expiry?: TableExpiry | undefined;
}

export function encodeProperties(properties: TableProperties): Uint8Array {
  const values: [tag: number, value: number | Uint8Array][] = [
    [PropertyTag.FileNumber, properties.number],
    [PropertyTag.BaseSequence, properties.baseSequence],
    [PropertyTag.EntryCount, properties.entryCount],
    [PropertyTag.TombstoneCount, properties.tombstoneCount],
    [PropertyTag.RawBytes, properties.rawBytes],
    [PropertyTag.BlockCount, properties.blockCount],
    [PropertyTag.SmallestSequence, properties.smallestSequence],
    [PropertyTag.LargestSequence, properties.largestSequence],
    [PropertyTag.SmallestKey, properties.smallestKey],
    [PropertyTag.LargestKey, properties.largestKey],
    [PropertyTag.Codec, codecByName(properties.codec).id],
    [PropertyTag.CreationFormatVersion, properties.creationFormatVersion],
    [PropertyTag.ShadowedCount, properties.shadowedCount],
  ];
  const { rangeDeletes, expiry } = properties;
  if (rangeDeletes !== undefined) values.push([PropertyTag.RangeDeletes, rangeDeletes]);
  if (expiry !== undefined) values.push([PropertyTag.Expiry, encodeExpiry(expiry)]);
  const lengthOf = (value: number | Uint8Array): number =>
    typeof value === 'number' ? varintLength(value) : value.length;
  let size = 0;
  for (const [tag, value] of values)
    size += varintLength(tag) + varintLength(lengthOf(value)) + lengthOf(value);
  const bytes = new Uint8Array(size);
  let position = 0;
  for (const [tag, value] of values) {
    position = writeVarint(bytes, position, tag);
    position = writeVarint(bytes, position, lengthOf(value));
    if (typeof value === 'number') position = writeVarint(bytes, position, value);
    else {
      bytes.set(value, position);
      position += value.length;
    }
  }
  return bytes;
}

export function decodeProperties(
  bytes: Uint8Array,
  corrupt: (message: string) => CorruptionError,
): TableProperties {
  const values = splitTagged(bytes, corrupt);
  const varint = new VarintReader();
  const key = (tag: number): Uint8Array => {
    const value = values.get(tag);
    if (value === undefined) throw corrupt(`property ${tag} is missing`);
    return copyBytes(value);
  };
  const number = (tag: number): number => {
    const value = key(tag);
    if (varint.read(value, 0, value.length) !== value.length)
      throw corrupt(`property ${tag} is not a number`);
    return varint.value;
  };
  const codec = codecById(number(PropertyTag.Codec));
  if (codec === undefined) throw corrupt('properties name an unknown codec');
  return {
    number: number(PropertyTag.FileNumber) as FileNumber,
    baseSequence: number(PropertyTag.BaseSequence) as SequenceNumber,
    entryCount: number(PropertyTag.EntryCount),
    tombstoneCount: number(PropertyTag.TombstoneCount),
    shadowedCount: number(PropertyTag.ShadowedCount),
    rawBytes: number(PropertyTag.RawBytes),
    blockCount: number(PropertyTag.BlockCount),
    smallestSequence: number(PropertyTag.SmallestSequence) as SequenceNumber,
    largestSequence: number(PropertyTag.LargestSequence) as SequenceNumber,
    smallestKey: key(PropertyTag.SmallestKey),
    largestKey: key(PropertyTag.LargestKey),
    codec: codec.name,
    creationFormatVersion: number(PropertyTag.CreationFormatVersion),
    rangeDeletes: values.has(PropertyTag.RangeDeletes) ? number(PropertyTag.RangeDeletes) : undefined,
    expiry: values.has(PropertyTag.Expiry) ? decodeExpiry(key(PropertyTag.Expiry), corrupt) : undefined,
  };
}

function splitTagged(
  bytes: Uint8Array,
  corrupt: (message: string) => CorruptionError,
): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  const varint = new VarintReader();
  for (let position = 0; position < bytes.length; ) {
    position = varint.read(bytes, position, bytes.length);
    if (position < 0) throw corrupt('a property has a malformed tag');
    const tag = varint.value;
    position = varint.read(bytes, position, bytes.length);
    if (position < 0 || varint.value > bytes.length - position) {
      throw corrupt('a property runs past the end of its section');
    }
    if (values.has(tag)) throw corrupt(`property ${tag} is there twice`);
    values.set(tag, bytes.subarray(position, position + varint.value));
    position += varint.value;
  }
  return values;
}

/** Varints: how many expire, and the moments. */
function encodeExpiry({ count, moments }: TableExpiry): Uint8Array {
  const numbers = [count, ...moments];
  const bytes = new Uint8Array(numbers.reduce((sum, number) => sum + varintLength(number), 0));
  let position = 0;
  for (const number of numbers) position = writeVarint(bytes, position, number);
  return bytes;
}

function decodeExpiry(bytes: Uint8Array, corrupt: (message: string) => CorruptionError): TableExpiry {
  const varint = new VarintReader();
  const numbers: number[] = [];
  for (let position = 0; position < bytes.length; ) {
    position = varint.read(bytes, position, bytes.length);
    if (position < 0) throw corrupt('the moments of expiry are malformed');
    numbers.push(varint.value);
  }
  const [count, ...moments] = numbers;
  if (count === undefined || moments.length !== EXPIRY_STEPS + 1)
    throw corrupt('moments of expiry are missing');
  return { count, moments };
}

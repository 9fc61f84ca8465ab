/**
 * A block's content as a whole (grammar: table/format.ts): where its entries end, its restarts, and bytes compared in it.
 */

/** The content [start, stop): where the entries end and the restarts begin; 0: it is no block's. */
export function endOfEntries(start: u32, stop: u32): u32 {
  if (stop - start < 8) return 0;
  const count = restartCount(stop);
  if (count - 1 >= ((stop - start) >> 2) - 1) return 0;
  const end = stop - ((count + 1) << 2);
  return end <= start ? 0 : end;
}

/** How many restarts the content that ends at `stop` has. */
export function restartCount(stop: u32): u32 {
  return load<u32>(stop - 4);
}

/** Where restart `index` of the content [start, ...) points to, whose entries end at `end`; `end`: outside of them. */
export function restartAt(start: u32, end: u32, index: u32): u32 {
  const offset = load<u32>(end + (index << 2));
  return offset >= end - start ? end : start + offset;
}

/** How many of the first `limit` bytes at a and b are equal before the first that is not. */
export function sharedLength(a: u32, b: u32, limit: u32): u32 {
  for (let n: u32 = 0; n < limit; n += 8) {
    const difference = load<u64>(a + n) ^ load<u64>(b + n);
    if (difference !== 0) return min<u32>(n + ((ctz(difference) >> 3) as u32), limit);
  }
  return limit;
}

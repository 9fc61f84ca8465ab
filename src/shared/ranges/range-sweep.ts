/**
 * Many deleted ranges at once, one over the other: a sweep over their bounds, where RangeMap.assign takes them one by one.
 *
 *   ranges by their start; those that cover the place of the sweep in a heap, the newest on top
 *   each step goes to the next start, or to the end of the newest if that comes first, and notes who is the newest there
 *
 * Thread: any. Pure.
 */
import { compareKeys, headOf, sharedPrefixLength } from '../base/bytes.ts';
import type { BoundaryPiece } from './boundary-chunk.ts';

/** [start, end), deleted by `sequence`; without an end, all from `start` on. */
export interface SweptRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | undefined;
  readonly sequence: number;
}

/** Boundaries in order, as a RangeMap has them: neighbours differ. */
export function sweep(ranges: readonly SweptRange[]): BoundaryPiece[] {
  const byStart = sortedByStart(ranges);
  const active = new NewestFirst();
  const boundaries: BoundaryPiece[] = [];
  let before = 0;
  for (let next = 0; next < byStart.length || active.top !== undefined; ) {
    const top = active.top;
    const range = byStart[next];
    const endsFirst =
      top?.end !== undefined && (range === undefined || compareKeys(top.end, range.start) <= 0);
    if (range === undefined && !endsFirst) break;
    const key = endsFirst ? top.end! : range!.start;
    for (; next < byStart.length && compareKeys(byStart[next]!.start, key) === 0; next++)
      active.push(byStart[next]!);
    for (let old = active.top; old?.end !== undefined && compareKeys(old.end, key) <= 0; old = active.top)
      active.pop();
    const sequence = active.top?.sequence ?? 0;
    if (sequence !== before) boundaries.push({ key, sequence });
    before = sequence;
  }
  return boundaries;
}

/** By numbers made of four bytes of each key, behind what all share: keys lie anywhere in memory. */
function sortedByStart(ranges: readonly SweptRange[]): SweptRange[] {
  const first = ranges[0]?.start;
  if (first === undefined) return [];
  let prefix = first.length;
  for (const { start } of ranges)
    prefix = sharedPrefixLength(first, 0, prefix, start, 0, Math.min(prefix, start.length));
  const heads = new Uint32Array(ranges.length);
  for (let i = 0; i < heads.length; i++) {
    const { start } = ranges[i]!;
    heads[i] = headOf(start, prefix, start.length);
  }
  const order = heads.map((_, i) => i);
  order.sort((a, b) => heads[a]! - heads[b]! || compareKeys(ranges[a]!.start, ranges[b]!.start));
  return Array.from(order, (i) => ranges[i]!);
}

/** A binary heap. */
class NewestFirst {
  readonly #items: SweptRange[] = [];

  get top(): SweptRange | undefined {
    return this.#items[0];
  }

  push(range: SweptRange): void {
    const items = this.#items;
    let at = items.length;
    items.push(range);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (items[parent]!.sequence >= range.sequence) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = range;
  }

  pop(): void {
    const items = this.#items;
    const last = items.pop()!;
    if (items.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]!.sequence > items[child]!.sequence) child++;
      if (items[child]!.sequence <= last.sequence) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
  }
}

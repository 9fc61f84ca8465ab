/**
 * Makes a failing history smaller: leaves operations out, in halves, quarters and so on down to single ones, as long as what
 * is left still fails.
 *
 * Invariants: what is returned has failed when it was tried last, unless the history given never failed again.
 *             At most `attempts` histories are tried: a failure that needs a certain timing may not come again.
 */
export async function reduceHistory<T>(
  operations: readonly T[],
  fails: (operations: readonly T[]) => Promise<boolean>,
  attempts = 300,
): Promise<readonly T[]> {
  let kept = operations;
  let left = attempts;
  for (
    let size = Math.ceil(kept.length / 2);
    size >= 1 && left > 0;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let start = 0; start < kept.length && left > 0; left--) {
      const candidate = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (candidate.length > 0 && (await fails(candidate))) kept = candidate;
      else start += size;
    }
  }
  return kept;
}

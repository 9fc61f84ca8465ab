/**
 * Ingestions that nothing keeps, and that somebody was following when they came: by default a consumer that has kept up is given
 * them nevertheless.
 *
 *   noted      by an ingestion that commits while somebody follows, and that the manifest does not keep
 *   released   when all have it; or with the next log that becomes a table, as then something behind it is not retained
 *
 * Invariants: what is listed is without a gap to what follows it.
 * Thread:     main.     Owns: a pin of the version for each, so that its tables stay.
 */
import type { KeptLoad } from '../manifest/kept-state.ts';

interface LiveLoad {
  readonly load: KeptLoad;
  release(): void;
}

export class LiveLoads {
  #loads: readonly LiveLoad[] = [];

  add(load: KeptLoad, release: () => void): void {
    this.#loads = [...this.#loads, { load, release }];
  }

  /**
   * Those that are left: with something to give to whoever is behind `slowest`, and before what is retained anyway, whose items
   * begin behind `begins`, ascending. `visible`: where all ends.
   */
  listed(slowest: number, begins: readonly number[], visible: number): readonly KeptLoad[] {
    if (this.#loads.length === 0) return [];
    const stays: LiveLoad[] = [];
    for (const one of [...this.#loads].reverse()) {
      const { sequence, after } = one.load;
      const next = Math.min(
        stays[0]?.load.after ?? visible,
        begins.find((begin) => begin >= sequence) ?? visible,
      );
      // It was not visible yet, or is not any more.
      const isFollowed = next === sequence || visible <= after;
      if (slowest < sequence && isFollowed) stays.unshift(one);
      else one.release();
    }
    this.#loads = stays;
    return stays.map(({ load }) => load);
  }

  close(): void {
    for (const { release } of this.#loads) release();
    this.#loads = [];
  }
}

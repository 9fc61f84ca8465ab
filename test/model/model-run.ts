/**
 * One store under random operations, every answer compared with a sorted map's.
 *
 *   step()   picks one operation by weight, carries it out on the store and on the model, compares
 *
 * Buffers handed in are overwritten right after the call, buffers handed out right after they were looked at: a store
 * that keeps or shares one gives a wrong answer later. Time passes when the run says so.
 * Long: one class, whose methods are the operations.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { openEngine } from '../../src/main/engine.ts';
import {
  type Bytes,
  type KeyRange,
  type Scan,
  type ScanOptions,
  type Snapshot,
  type StorageEngine,
  WriteBatch,
} from '../../src/main/index.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { Replica } from '../helpers/feed.ts';
import { KeyGenerator, randomValue } from '../helpers/key-generator.ts';
import type { Random } from '../helpers/rng.ts';
import { SettableClock } from '../helpers/settable-clock.ts';
import {
  type ModelEntry,
  type ModelRange,
  printable,
  SortedModel,
  toBytes,
} from '../helpers/sorted-model.ts';
import { assertEntries, SCRIBBLE, take, takeEntry } from './answers.ts';
import type { OptionSet } from './option-sets.ts';

const KEPT_OPERATIONS = 40;
const MAX_SNAPSHOTS = 4;
const MAX_SCANS = 4;
/** All that a run writes. */
const FOLLOWED = { retainChanges: { bytes: 2 ** 40 } } as const;

interface HeldSnapshot {
  readonly snapshot: Snapshot;
  readonly model: SortedModel;
}

interface HeldScan {
  readonly scan: Scan;
  readonly expected: readonly ModelEntry[];
  at: number;
}

export class ModelRun {
  readonly #random: Random;
  readonly #set: OptionSet;
  readonly #root: string;
  readonly #keys: KeyGenerator;
  readonly #operations: readonly (readonly [weight: number, run: () => Promise<void> | void])[];
  readonly #totalWeight: number;
  #engine!: StorageEngine;
  #directory: string;
  #generation = 0;
  #model = new SortedModel();
  readonly #clock = new SettableClock();
  #snapshots: HeldSnapshot[] = [];
  #scans: HeldScan[] = [];
  #writes = 0;
  #recent: string[] = [];
  #backgroundErrors: unknown[] = [];
  #replica: Replica | undefined;
  opIndex = 0;

  constructor(random: Random, set: OptionSet, root: string) {
    this.#random = random;
    this.#set = set;
    this.#root = root;
    this.#directory = join(root, '0');
    this.#keys = new KeyGenerator(random, set.keys);
    this.#operations = [
      [260, () => this.#put()],
      [50, () => this.#update()],
      [30, () => this.#pass()],
      [90, () => this.#delete()],
      [12, () => this.#deleteRange()],
      [60, () => this.#batch()],
      [40, () => this.#burst()],
      [160, () => this.#get()],
      [40, () => this.#getMany()],
      [60, () => this.#has()],
      [90, () => this.#scan()],
      [25, () => this.#takeSnapshot()],
      [60, () => this.#readSnapshot()],
      [22, () => this.#closeSnapshot()],
      [30, () => this.#openScan()],
      [60, () => this.#stepScan()],
      [8, () => this.#flush()],
      [3, () => this.#compact()],
      [3, () => this.#compactRange()],
      [3, () => this.#reopen()],
      [3, () => this.#crashReopen()],
      [6, () => this.#follow()],
    ];
    this.#totalWeight = this.#operations.reduce((sum, [weight]) => sum + weight, 0);
  }

  async run(count: number): Promise<void> {
    this.#model.nowMs = this.#clock.ms;
    await this.#open();
    for (this.opIndex = 0; this.opIndex < count; this.opIndex++) {
      await this.#step();
      assert.deepEqual(this.#backgroundErrors, [], 'background work failed');
    }
    await this.#reopen();
    this.#compareAll({}, undefined);
    await this.#follow();
    await this.#engine.verify();
    await this.#engine.close();
  }

  /** The latest operations, for the report of a failure. */
  history(): string {
    return this.#recent.join('\n  ');
  }

  async #step(): Promise<void> {
    let ticket = this.#random.below(this.#totalWeight);
    for (const [weight, run] of this.#operations) {
      ticket -= weight;
      if (ticket < 0) return await run();
    }
  }

  /** What is made of nothing but the changes is what the store is, whatever has been flushed, compacted and opened again. */
  async #follow(): Promise<void> {
    this.#note('follow the changes');
    // What is under way beside it (`#flush`) would be in one and not yet in the other.
    await this.#engine.flush();
    await this.#replica!.catchUp(this.#engine);
    this.#replica!.model.nowMs = this.#clock.ms;
    assert.equal(this.#replica!.model.difference(this.#model), undefined, 'what the changes make');
    assert.equal(this.#replica!.model.size, this.#model.size);
  }

  #note(operation: string): void {
    this.#recent.push(`#${this.opIndex} ${operation}`);
    if (this.#recent.length > KEPT_OPERATIONS) this.#recent.shift();
  }

  async #open(): Promise<void> {
    this.#engine = await openEngine(
      this.#directory,
      { ...this.#set.options, ...FOLLOWED },
      { clock: this.#clock },
    );
    this.#replica ??= new Replica(this.#engine.position);
    this.#engine.on('backgroundError', (event) => this.#backgroundErrors.push(event));
  }

  /** As a string where one has the same bytes, else as a buffer of the caller's own that is overwritten afterwards. */
  #give<T>(texts: readonly string[], use: (...given: Bytes[]) => T): T {
    const given = texts.map((text): Bytes => {
      const isPlain = Buffer.byteLength(text) === text.length;
      return isPlain && this.#random.chance(0.3) ? text : toBytes(text);
    });
    try {
      return use(...given);
    } finally {
      for (const bytes of given) if (typeof bytes !== 'string') bytes.fill(SCRIBBLE);
    }
  }

  #newValue(): string {
    return randomValue(this.#random, `${this.#writes++}`);
  }

  async #put(): Promise<void> {
    const key = this.#keys.next();
    const value = this.#newValue();
    this.#note(`put ${printable(key)} ${printable(value)}`);
    const { ttl, moment } = this.#life();
    const options = { ...ttl, ...(this.#random.chance(0.02) ? { sync: true } : {}) };
    const written = this.#give([key, value], (k, v) => this.#engine.put(k!, v!, options));
    await written;
    this.#model.put(key, value, moment);
  }

  /** How long a value lives: most do for ever. */
  #life(): { readonly ttl: { readonly ttl?: number }; readonly moment: number | undefined } {
    if (this.#random.chance(0.85)) return { ttl: {}, moment: undefined };
    const ttl = this.#random.between(1, 100);
    return { ttl: { ttl }, moment: this.#clock.ms + ttl };
  }

  /** Several at once, each of which has to see what the one before it has written. */
  async #update(): Promise<void> {
    const key = this.#random.chance(0.5) ? this.#keys.next() : this.#keys.nearby();
    const count = this.#random.between(1, 4);
    this.#note(`${count} updates of ${printable(key)}`);
    const updates = Array.from({ length: count }, () => {
      const value = this.#random.chance(0.2) ? undefined : this.#newValue();
      const { ttl, moment } = this.#life();
      const current = this.#model.get(key);
      const answer = this.#give([key], (k) =>
        this.#engine.update(
          k!,
          (found) => {
            assert.equal(found && take(found), current, `what an update of ${printable(key)} finds`);
            return value === undefined ? undefined : toBytes(value);
          },
          ttl,
        ),
      );
      if (value === undefined) this.#model.delete(key);
      else this.#model.put(key, value, moment);
      return answer.then((given) => assert.equal(given && take(given), value, 'what an update gives'));
    });
    await Promise.all(updates);
  }

  /** Now and then to the very moment at which something expires, or right before it. */
  #pass(): void {
    const moments = this.#model.keys().map((key) => this.#model.expiresAt(key) ?? Number.POSITIVE_INFINITY);
    const left = Math.min(...moments) - this.#clock.ms;
    const by = left > 100 || this.#random.chance(0.3) ? this.#random.between(1, 50) : left;
    this.#clock.pass(by > 1 && this.#random.chance(0.3) ? by - 1 : by);
    this.#note(`time passes, to ${this.#clock.ms}`);
    this.#model.nowMs = this.#clock.ms;
  }

  async #delete(): Promise<void> {
    const key = this.#random.chance(0.3) ? this.#keys.next() : this.#keys.nearby();
    this.#note(`delete ${printable(key)}`);
    await this.#give([key], (k) => this.#engine.delete(k!));
    this.#model.delete(key);
  }

  async #deleteRange(): Promise<void> {
    this.#note('delete a range');
    await this.#doom((range) => this.#engine.deleteRange(range));
  }

  #doom<T>(use: (range: KeyRange) => T): T {
    const bounds = this.#keys.doomed();
    this.#model.deleteRange(bounds);
    const names = Object.keys(bounds) as (keyof KeyRange)[];
    return this.#give(
      names.map((name) => bounds[name]!),
      (...given) => use(Object.fromEntries(names.map((name, i) => [name, given[i]]))),
    );
  }

  async #batch(): Promise<void> {
    const count = this.#random.chance(0.1) ? this.#random.between(60, 250) : this.#random.between(0, 12);
    this.#note(`batch of ${count}`);
    const batch = new WriteBatch();
    for (let i = 0; i < count; i++) {
      const key = this.#keys.next();
      if (this.#random.chance(0.02)) this.#doom((range) => batch.deleteRange(range));
      else if (this.#random.chance(0.25)) {
        this.#give([key], (k) => batch.delete(k!));
        this.#model.delete(key);
      } else {
        const value = this.#newValue();
        this.#give([key, value], (k, v) => batch.put(k!, v!));
        this.#model.put(key, value);
      }
    }
    const written = this.#engine.write(batch);
    // Its bytes must have been copied: what is in it now must never show up.
    batch.clear().put('never', 'written');
    await written;
  }

  /** Writes in flight together, over one or several turns. */
  async #burst(): Promise<void> {
    const count = this.#random.between(2, 40);
    this.#note(`burst of ${count}`);
    const written: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      const key = this.#keys.next();
      if (this.#random.chance(0.2)) {
        written.push(this.#give([key], (k) => this.#engine.delete(k!)));
        this.#model.delete(key);
      } else {
        const value = this.#newValue();
        written.push(this.#give([key, value], (k, v) => this.#engine.put(k!, v!)));
        this.#model.put(key, value);
      }
      if (this.#random.chance(0.1)) await Promise.resolve();
    }
    await Promise.all(written);
  }

  #moment(): { readonly options: { readonly snapshot?: Snapshot }; readonly model: SortedModel } {
    if (this.#snapshots.length === 0 || this.#random.chance(0.6)) return { options: {}, model: this.#model };
    const { snapshot, model } = this.#random.pick(this.#snapshots);
    return { options: { snapshot }, model };
  }

  async #get(): Promise<void> {
    const key = this.#keys.nearby();
    const { options, model } = this.#moment();
    this.#note(`get ${printable(key)}${options.snapshot === undefined ? '' : ' in a snapshot'}`);
    const read = this.#give([key], (k) =>
      this.#random.chance(0.5) ? this.#engine.getSync(k!, options) : this.#engine.get(k!, options),
    );
    // A write of this key may be under way beside it (`#flush`): before it or after it are both right, nothing else is.
    const before = model.get(key);
    const value = take(await read);
    const after = model.get(key);
    assert.ok(value === before || value === after, `${value} is neither ${before} nor ${after}`);
  }

  async #getMany(): Promise<void> {
    const keys = Array.from({ length: this.#random.below(12) }, () => this.#keys.nearby());
    const { options, model } = this.#moment();
    this.#note(`getMany of ${keys.length}`);
    const values = await this.#give(keys, (...given) => this.#engine.getMany(given, options));
    assert.deepEqual(
      values.map(take),
      keys.map((key) => model.get(key)),
    );
  }

  async #has(): Promise<void> {
    const key = this.#keys.nearby();
    const { options, model } = this.#moment();
    this.#note(`has ${printable(key)}`);
    assert.equal(await this.#give([key], (k) => this.#engine.has(k!, options)), model.get(key) !== undefined);
  }

  #randomRange(): ModelRange {
    const random = this.#random;
    const range: { -readonly [K in keyof ModelRange]: ModelRange[K] } = {};
    if (random.chance(0.4)) range.gt = this.#keys.nearby();
    if (random.chance(0.4)) range.gte = this.#keys.nearby();
    if (random.chance(0.4)) range.lt = this.#keys.nearby();
    if (random.chance(0.4)) range.lte = this.#keys.nearby();
    if (random.chance(0.5)) range.reverse = true;
    if (random.chance(0.4)) range.limit = random.below(20);
    return range;
  }

  #start(range: ModelRange, snapshot: Snapshot | undefined): Scan {
    const { reverse, limit, ...bounds } = range;
    const names = Object.keys(bounds) as (keyof typeof bounds)[];
    return this.#give(
      names.map((name) => bounds[name]!),
      (...given) => {
        const options: ScanOptions = {
          ...Object.fromEntries(names.map((name, i) => [name, given[i]])),
          ...(reverse === undefined ? {} : { reverse }),
          ...(limit === undefined ? {} : { limit }),
          ...(snapshot === undefined ? {} : { snapshot }),
        };
        return this.#engine.scan(options);
      },
    );
  }

  async #scan(): Promise<void> {
    const range = this.#randomRange();
    const { options, model } = this.#moment();
    this.#note(`scan ${JSON.stringify(range)}${options.snapshot === undefined ? '' : ' in a snapshot'}`);
    const scan = this.#start(range, options.snapshot);
    const expected = model.scan(range);
    const actual: ModelEntry[] = [];
    if (this.#random.chance(0.3)) for await (const entry of scan) actual.push(takeEntry(entry));
    else for (const entry of scan) actual.push(takeEntry(entry));
    assertEntries(actual, expected);
  }

  #compareAll(range: ModelRange, held: HeldSnapshot | undefined): void {
    const actual = [...this.#start(range, held?.snapshot)].map(takeEntry);
    assertEntries(actual, (held?.model ?? this.#model).scan(range));
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length >= MAX_SNAPSHOTS) return;
    this.#note('take a snapshot');
    this.#snapshots.push({ snapshot: this.#engine.snapshot(), model: this.#model.clone() });
  }

  #readSnapshot(): void {
    if (this.#snapshots.length === 0) return;
    this.#note('read all of a snapshot');
    this.#compareAll({ reverse: this.#random.chance(0.5) }, this.#random.pick(this.#snapshots));
  }

  #closeSnapshot(): void {
    const held = this.#snapshots.splice(this.#random.below(this.#snapshots.length || 1), 1)[0];
    if (held === undefined) return;
    this.#note('close a snapshot');
    held.snapshot.close();
  }

  #openScan(): void {
    if (this.#scans.length >= MAX_SCANS) this.#scans.shift()!.scan.close();
    const range = this.#randomRange();
    const { options, model } = this.#moment();
    this.#note(`open a scan ${JSON.stringify(range)}`);
    const scan = this.#start(range, options.snapshot);
    this.#scans.push({ scan, expected: model.scan(range), at: 0 });
  }

  #stepScan(): void {
    if (this.#scans.length === 0) return;
    const held = this.#random.pick(this.#scans);
    const count = this.#random.between(1, 30);
    this.#note(`next ${count} of an open scan`);
    const actual = held.scan.nextMany(count).map(takeEntry);
    assertEntries(actual, held.expected.slice(held.at, held.at + count));
    held.at += actual.length;
    if (actual.length < count) this.#scans = this.#scans.filter((other) => other !== held);
  }

  async #flush(): Promise<void> {
    this.#note('flush');
    if (this.#random.chance(0.5)) await this.#engine.flush();
    else await Promise.all([this.#engine.flush(), this.#put(), this.#get()]);
  }

  async #compact(): Promise<void> {
    this.#note('compact');
    const compacted = this.#engine.compact();
    if (this.#random.chance(0.5)) await this.#burst();
    await compacted;
  }

  async #compactRange(): Promise<void> {
    const [start, end] = [this.#keys.nearby(), this.#keys.nearby()].sort();
    this.#note(`compact ${printable(start)} to ${printable(end)}`);
    await this.#give([start!, end!], (from, to) => this.#engine.compact({ start: from!, end: to! }));
  }

  #dropHeld(): void {
    for (const { scan } of this.#scans) scan.close();
    for (const { snapshot } of this.#snapshots) snapshot.close();
    this.#scans = [];
    this.#snapshots = [];
  }

  async #reopen(): Promise<void> {
    this.#note('close and reopen');
    if (this.#random.chance(0.5)) this.#dropHeld();
    await this.#engine.close();
    this.#scans = [];
    this.#snapshots = [];
    await this.#open();
    this.#compareAll({}, undefined);
  }

  /** Leaves the store as it is now, in the middle of whatever it does, and goes on with a copy of its files. */
  async #crashReopen(): Promise<void> {
    this.#note('crash and reopen');
    const abandoned = this.#engine;
    const previous = this.#directory;
    this.#directory = join(this.#root, String(++this.#generation));
    copyOpenStore(previous, this.#directory);
    this.#scans = [];
    this.#snapshots = [];
    await abandoned.close();
    rmSync(previous, { recursive: true });
    await this.#open();
    this.#compareAll({ reverse: this.#random.chance(0.5) }, undefined);
  }
}

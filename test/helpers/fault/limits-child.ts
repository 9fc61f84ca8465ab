/**
 * A process whose system refuses it something, for real: a full disk, a file size limit, no more descriptors.
 *
 *   node limits-child.js <what> <directory>     prints a LimitsReport as JSON
 *
 * The parent sets the limits (ulimit), or the namespace in which this process may mount (unshare).
 */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { StorageEngine } from '../../../src/main/engine.ts';
import { systemErrorCode } from '../../../src/shared/base/errors.ts';
import { seededRandom } from '../rng.ts';

export interface LimitsReport {
  /** The system's code behind the first error, and the store's. */
  readonly causes: readonly (string | undefined)[];
  readonly codes: readonly (string | undefined)[];
  readonly statuses: readonly string[];
  readonly acknowledged: number;
  /** Acknowledged writes that could not be read, while it lasted and after reopening. */
  readonly missing: number;
  readonly missingAfterReopening: number;
  readonly events: readonly string[];
}

const VALUE_BYTES = 1000;

class Child {
  readonly causes: (string | undefined)[] = [];
  readonly codes: (string | undefined)[] = [];
  readonly statuses: string[] = [];
  readonly events: string[] = [];
  acknowledged = 0;
  missing = 0;
  missingAfterReopening = 0;
  readonly directory: string;
  readonly #random = seededRandom(1);
  readonly #values = new Map<string, Uint8Array>();
  #count = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  async open(options: object = {}): Promise<StorageEngine> {
    const engine = await StorageEngine.open(this.directory, {
      threads: 1,
      writeBufferSize: 262_144,
      compression: 'none',
      ...options,
    });
    engine.on('flush', () => this.events.push('flush'));
    engine.on('backgroundError', ({ operation, willRetry }) =>
      this.events.push(`${operation} ${willRetry ? 'will be tried again' : 'failed'}`),
    );
    return engine;
  }

  /** Puts until `count` are done or one fails. */
  async put(engine: StorageEngine, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const key = `key ${String(this.#count++).padStart(6, '0')}`;
      const value = this.#random.bytes(VALUE_BYTES);
      if (!(await this.attempt(engine, engine.put(key, value)))) return;
      this.#values.set(key, value);
      this.acknowledged++;
    }
  }

  async attempt(engine: StorageEngine, work: Promise<unknown>): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      this.codes.push((error as { code?: string }).code);
      this.causes.push(systemErrorCode(error));
      this.statuses.push(engine.status);
      return false;
    }
  }

  async countMissing(engine: StorageEngine): Promise<number> {
    let missing = 0;
    for (const [key, value] of this.#values) {
      const found = await engine.get(key);
      if (found === undefined || !found.equals(value)) missing++;
    }
    return missing;
  }

  async reopen(): Promise<void> {
    const engine = await this.open({ readOnly: true });
    this.missingAfterReopening = await this.countMissing(engine);
    await engine.verify();
    await engine.close();
  }
}

/** A flush finds no room, goes on when there is some; then writes fill the disk. */
async function fullDisk(mountPoint: string): Promise<Child> {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mountPoint]);
  if (mounted.status !== 0) throw new Error(`cannot mount: ${mounted.stderr}`);
  const directory = join(mountPoint, 'store');
  mkdirSync(directory);
  const child = new Child(directory);
  const engine = await child.open();
  await child.put(engine, 100);
  await engine.flush();
  await child.put(engine, 100);
  const ballast = join(mountPoint, 'ballast');
  fillDisk(ballast, 40_000);
  await child.attempt(engine, engine.flush());
  child.missing = await child.countMissing(engine);
  rmSync(ballast);
  const resumed = new Promise((resolve) => engine.once('flush', resolve));
  const alive = setInterval(() => undefined, 1000);
  await resumed;
  clearInterval(alive);
  child.statuses.push(engine.status);
  await child.put(engine, 2000);
  child.missing += await child.countMissing(engine);
  await engine.close();
  await child.reopen();
  return child;
}

function fillDisk(path: string, leaveBytes: number): void {
  const fd = openSync(path, 'w');
  const chunk = Buffer.alloc(4096, 1);
  let size = 0;
  try {
    for (;;) size += writeSync(fd, chunk, 0, chunk.length, size);
  } catch {
    // Full: which is what was wanted.
    ftruncateSync(fd, Math.max(0, size - leaveBytes));
  }
  closeSync(fd);
}

/** The log reaches the largest size a file may have. */
async function fileSize(directory: string): Promise<Child> {
  const child = new Child(directory);
  const engine = await child.open();
  await child.put(engine, 200);
  child.missing = await child.countMissing(engine);
  await engine.close();
  await child.reopen();
  return child;
}

/** More tables than there are descriptors. */
async function descriptors(directory: string): Promise<Child> {
  const child = new Child(directory);
  const held: number[] = [];
  const engine = await child.open({ maxFileSize: 4096, cacheSize: 0, mmap: false });
  await child.put(engine, 200);
  await engine.compact();
  // All but a few of the descriptors this process may have.
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch {
    // EMFILE: which is what was wanted.
    for (const fd of held.splice(-12)) closeSync(fd);
  }
  child.missing = await child.countMissing(engine);
  await child.attempt(engine, engine.put('one more', 'value'));
  for (const fd of held) closeSync(fd);
  child.statuses.push(engine.status);
  await engine.close();
  await child.reopen();
  return child;
}

const [what, directory] = process.argv.slice(2);
if (directory !== undefined) {
  const run = what === 'disk' ? fullDisk : what === 'file-size' ? fileSize : descriptors;
  const { directory: _, ...report } = await run(directory);
  process.stdout.write(JSON.stringify(report satisfies LimitsReport));
}

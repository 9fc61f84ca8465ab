/**
 * The directory a run works in: one, named after the process, removed however the run ends.
 *
 * A run that was killed outright can't clean up; the next one removes what belongs to processes that are gone.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { killAll } from './children.ts';

const NAME = /^stratakv-bench-(\d+)-/;
const EXIT_ON_SIGNAL = 128;

export function makeWorkDirectory(parent: string): string {
  mkdirSync(parent, { recursive: true });
  removeLeftOvers(parent);
  const directory = mkdtempSync(join(parent, `stratakv-bench-${process.pid}-`));
  process.on('exit', () => {
    killAll();
    remove(directory);
  });
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => process.exit(EXIT_ON_SIGNAL + number));
  }
  return directory;
}

export function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

function removeLeftOvers(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) remove(join(parent, name));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

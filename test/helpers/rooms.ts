/**
 * The rooms of the house: the folders of src, from the ground up. Imports run downwards, so whoever reads a file knows everything
 * below it and nothing above; and no circle of files.
 *
 * What the two threads may see of each other is in house-rules.ts (LAYERS).
 */
import { dirname, posix } from 'node:path';

/** From the ground up: a file imports from its own room and from those before it. */
export const ROOMS: readonly string[] = [
  'src/shared/base',
  'src/shared/files',
  'src/shared/wasm/assembly',
  'src/shared/wasm',
  'src/shared/disk',
  'src/shared/ingest',
  'src/shared/ranges',
  'src/shared/table',
  'src/shared/threads',
  'src/shared/merge',
  'src/shared/log',
  'src/shared/changes',
  'src/shared/memtable',
  'src/shared/read',
  'src/shared/transact',
  'src/client',
  'src/workers',
  'src/main/manifest',
  'src/main/locking',
  'src/main/store',
  'src/main/files',
  'src/main/jobs',
  'src/main/write',
  'src/main/open',
  'src/main/changes',
  'src/main/compaction',
  'src/main/inspect',
  'src/main/repair',
  'src/main/ingest',
  'src/main/transact',
  'src/main/copy',
  'src/backup',
  'src/backup/s3',
  'src/main/share',
  'src/main/door',
  'src/main',
  'src/adapters',
  'src/main/cli',
  'src/level',
];

/** What an import from `file` to `target`, both from the root of the project, breaks; undefined: nothing. */
export function roomComplaint(file: string, target: string): string | undefined {
  const [from, to] = [dirname(file), dirname(target)];
  if (!from.startsWith('src/') || !to.startsWith('src/') || from === to) return undefined;
  const [floor, targetFloor] = [ROOMS.indexOf(from), ROOMS.indexOf(to)];
  if (floor < 0 || targetFloor < 0)
    return `${floor < 0 ? from : to} is no room; give it a place in ROOMS (test/helpers/rooms.ts)`;
  if (targetFloor < floor) return undefined;
  return `${from} is below ${to} and may not import ${target}; move what is needed down, or pass it in`;
}

/** Where an import specifier of `file` leads, from the root of the project. */
export function resolveImport(file: string, specifier: string): string {
  return posix.normalize(`${dirname(file)}/${specifier}`);
}

/** Files that import each other in a circle: each circle once, as the paths in it, sorted. */
export function findCircles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  // Tarjan, "Depth-first search and linear graph algorithms" (1972).
  const visit = (file: string): void => {
    order.set(file, order.size);
    lowest.set(file, order.get(file)!);
    stack.push(file);
    for (const target of imports.get(file) ?? []) {
      if (!imports.has(target)) continue;
      if (!order.has(target)) visit(target);
      if (stack.includes(target)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(target)!));
    }
    if (lowest.get(file) !== order.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) circles.push(circle.sort());
  };
  for (const file of imports.keys()) if (!order.has(file)) visit(file);
  return circles;
}

/**
 * `npm run soak -- [minutes]`: hours of work on a fixed live set, in which nothing may grow: memory, handles, threads, disk.
 *
 *   1. fill, then work (workload.ts) until the time is up; a sample every second or so, a line every five
 *   2. compact, close; what is left on the disk must be what the store needs, and the process as small as before
 *   3. the verdict (gauges.ts); exit code 1 when something grew or an answer was wrong
 *
 * STRATA_SEED repeats the operations of a run. STRATA_SOAK_DIRECTORY puts the store on a disk of choice.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseFileName } from '../../src/shared/files/file-names.ts';
import { seededRandom } from '../helpers/rng.ts';
import { BOUNDS, type Gauge, judge, type Sample, takeSample } from './gauges.ts';
import { SOAK_OPTIONS, SoakWorkload } from './workload.ts';

const MIB = 1024 * 1024;
const SAMPLES_PER_RUN = 240;
const LINE_EVERY_MS = 5000;
/** Sockets, pipes and libraries of the process itself, and logs, jobs and the lock of the store. */
const OTHER_HANDLES = 80;
/** Live data, garbage that waits for a compaction or a snapshot, and a compaction's output beside its input. */
const DISK_FACTOR = 8;
/** Once all is compacted: tables, and the logs of an empty memtable. */
const COMPACTED_FACTOR = 1.5;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function line(sample: Sample, workload: SoakWorkload): string {
  const { seconds, rssBytes, bufferBytes, handles, threads, diskBytes, files } = sample;
  return [
    `${seconds.toFixed(0).padStart(6)} s`,
    `rss ${(rssBytes / MIB).toFixed(0)} MiB`,
    `buffers ${(bufferBytes / MIB).toFixed(0)} MiB`,
    `handles ${handles ?? '?'}`,
    `threads ${threads ?? '?'}`,
    `disk ${(diskBytes / MIB).toFixed(1)} MiB in ${files} files`,
    `${workload.writes} writes, ${workload.reads} reads, ${workload.reopenings} reopenings`,
  ].join(', ');
}

async function work(workload: SoakWorkload, directory: string, minutes: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const startedAt = performance.now();
  const runMs = minutes * 60_000;
  const sampleEveryMs = Math.max(250, runMs / SAMPLES_PER_RUN);
  let nextSample = startedAt + sampleEveryMs;
  let nextLine = startedAt + LINE_EVERY_MS;
  for (let now = startedAt; now < startedAt + runMs; now = performance.now()) {
    await workload.round();
    if (now < nextSample) continue;
    samples.push(takeSample(startedAt, directory));
    nextSample = now + sampleEveryMs;
    if (now < nextLine) continue;
    say(line(samples.at(-1)!, workload));
    nextLine = now + LINE_EVERY_MS;
  }
  return samples;
}

/** Compacts and closes; complains about what is left. */
async function windUp(workload: SoakWorkload, directory: string, atStart: Sample): Promise<string[]> {
  const problems: string[] = [];
  await workload.engine.compact();
  const tables = workload.engine.stats().levels.reduce((sum, level) => sum + level.files, 0);
  const { liveBytes } = workload;
  await workload.close();
  // Threads and files of the pool end a moment after it is closed.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const end = takeSample(0, directory);
  const names = readdirSync(directory);
  const kinds = names.map((name) => parseFileName(name)?.kind ?? 'foreign');
  const found = kinds.filter((kind) => kind === 'table').length;
  if (found !== tables)
    problems.push(`${found} tables are left on the disk, of ${tables} that the store has`);
  if (kinds.some((kind) => !['table', 'log', 'manifest', 'lock'].includes(kind)))
    problems.push(`files are left over: ${names.join(' ')}`);
  if (end.diskBytes > COMPACTED_FACTOR * liveBytes + 2 * MIB)
    problems.push(`${end.diskBytes} bytes on the disk after a compaction, for ${liveBytes} that live`);
  for (const gauge of ['handles', 'threads'] as const)
    if ((end[gauge] ?? 0) > (atStart[gauge] ?? 0) + 2)
      problems.push(`${end[gauge]} ${gauge} after closing, ${atStart[gauge]} before opening`);
  return problems;
}

function verdict(samples: readonly Sample[], liveBytes: number): { figures: string; problems: string[] } {
  const ceilings: Partial<Record<Gauge, number>> = {
    handles: SOAK_OPTIONS.maxOpenFiles! + OTHER_HANDLES,
    diskBytes: DISK_FACTOR * liveBytes,
  };
  const trends = judge(samples, ceilings);
  const figures = trends.map(({ gauge, rise, peak }) => {
    const { unit, name } = BOUNDS[gauge];
    return `${name}-rise=${(rise / unit).toFixed(1)} ${name}-peak=${(peak / unit).toFixed(0)}`;
  });
  return { figures: figures.join(' '), problems: trends.flatMap(({ problem }) => problem ?? []) };
}

async function main(): Promise<void> {
  const minutes = Number(process.argv[2] ?? 5);
  if (!(minutes > 0)) throw new Error(`usage: npm run soak -- [minutes], not ${process.argv[2]}`);
  const seed = Number(process.env['STRATA_SEED'] ?? Math.floor(Math.random() * 2 ** 32)) >>> 0;
  say(`soak for ${minutes} minutes; STRATA_SEED=${seed} runs the same operations again`);
  const root = mkdtempSync(join(process.env['STRATA_SOAK_DIRECTORY'] ?? tmpdir(), 'stratakv-soak-'));
  const directory = join(root, 'db');
  const workload = new SoakWorkload(directory, seededRandom(seed));
  const atStart = takeSample(0, root);
  try {
    await workload.open();
    const samples = await work(workload, directory, minutes);
    const { figures, problems } = verdict(samples, workload.liveBytes);
    problems.push(...(await windUp(workload, directory, atStart)));
    say(`FIGURE soak-minutes=${minutes} writes=${workload.writes} reads=${workload.reads} ${figures}`);
    for (const problem of problems) say(`NOT FLAT: ${problem}`);
    say(problems.length === 0 ? 'flat' : `${problems.length} problems`);
    process.exitCode = problems.length === 0 ? 0 : 1;
  } finally {
    await workload.close();
    rmSync(root, { recursive: true, force: true });
  }
}

await main();

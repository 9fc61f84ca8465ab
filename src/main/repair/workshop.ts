/**
 * What all steps of a repair work with: the directory, the jobs, the file numbers, the report.
 *
 * Invariants: new files get numbers past every number on disk. In a dry run nothing is written: `allocateNumber` is never
 *             asked then.
 * Thread:     main.     Owns: the pool.
 */
import { assert } from '../../shared/base/assert.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { ControlBlock } from '../../shared/threads/control-block.ts';
import type { JobContext, JobKind, JobOf, ResultOf } from '../../shared/threads/jobs.ts';
import { OutputNumbers } from '../../shared/threads/output-numbers.ts';
import { JobRunner } from '../jobs/job-runner.ts';
import { WorkerPool } from '../jobs/worker-pool.ts';
import { Counters } from '../store/counters.ts';
import type { ResolvedOptions } from '../store/options.ts';
import { RepairLog } from './repair-report.ts';

export class Workshop {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly options: ResolvedOptions;
  readonly isDryRun: boolean;
  readonly log: RepairLog = new RepairLog();
  readonly #jobs: JobRunner;
  readonly #control = new ControlBlock();

  /** `ofProcess`: on the threads that all stores of the process share. */
  constructor(
    fs: FileSystem,
    directory: string,
    options: ResolvedOptions,
    isDryRun: boolean,
    ofProcess: boolean,
  ) {
    this.fs = fs;
    this.directory = directory;
    this.options = options;
    this.isDryRun = isDryRun;
    const pool = new WorkerPool({ threads: options.threads, ofProcess });
    this.#control.raiseFileNumber(1);
    this.#jobs = new JobRunner(pool, this.#control, fs, directory, new Counters());
  }

  /** Never hands out `number` or a lower one from now on. */
  bumpFileNumber(number: number): void {
    this.#control.raiseFileNumber(number + 1);
  }

  get nextFileNumber(): number {
    return this.#control.nextFileNumber;
  }

  allocateNumber(): FileNumber {
    assert(!this.isDryRun, 'a dry run writes nothing');
    return this.#control.takeFileNumbers(1);
  }

  /** For a job that takes its numbers itself, at most `count`. */
  outputNumbers(count: number): SharedArrayBuffer {
    assert(!this.isDryRun, 'a dry run writes nothing');
    return OutputNumbers.create(count).buffer;
  }

  /** `make` is called again, for new numbers, when a worker has died. */
  run<K extends JobKind>(make: (context: JobContext) => JobOf<K>): Promise<ResultOf[K]> {
    return this.#jobs.run(make, { urgent: false, keepAlive: true });
  }

  close(): Promise<void> {
    return this.#jobs.close();
  }
}

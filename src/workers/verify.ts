/**
 * Verify job: one table, block by block, against its checksums, its order and what the manifest says of it.
 *
 * Thread: any; synchronous. Reads only.
 */
import type { FileSystem } from '../shared/files/file-system.ts';
import { PreadSource } from '../shared/table/block-source.ts';
import { openTableFile } from '../shared/table/table-file.ts';
import type { VerifyJob, VerifyResult } from '../shared/threads/jobs.ts';
import { JobMonitor } from './job-monitor.ts';
import { verifyTable } from './verify-table.ts';

export function verify(job: VerifyJob, fileSystem: FileSystem): VerifyResult {
  const { sizeBytes } = job.table;
  const monitor = new JobMonitor(job, sizeBytes, sizeBytes);
  const file = openTableFile(fileSystem, job.directory, job.table.number);
  try {
    let bytesRead = 0;
    return verifyTable(new PreadSource(file), job.table, (bytes) => {
      bytesRead += bytes;
      monitor.pulse(bytesRead);
    });
  } finally {
    file.close();
  }
}

export class DiskQueue {
  run<T>(start: () => Promise<T>, _urgent: boolean): Promise<T> {
    return start();
  }
}
export class Disk {
  mayWait = true;
  readAheadBytes = 0;
  readonly queue: DiskQueue = new DiskQueue();
  get mayOpen(): boolean {
    return this.mayWait;
  }
  timed<T>(work: () => T): T {
    return work();
  }
  withoutWaiting<T>(attempt: () => T): T {
    this.mayWait = false;
    try {
      return attempt();
    } finally {
      this.mayWait = true;
    }
  }
}

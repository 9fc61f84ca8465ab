/**
 * Measurement: what one child process reports about one store and one workload. Plain data, as it is stored in results.
 */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface Measurement {
  readonly operations: number;
  readonly seconds: number;
  readonly opsPerSecond: number;
  /** Microseconds per call (a call may hold many operations); undefined where the program doesn't say. */
  readonly latencyUs: Latency | null;
  /** How late timers fired, in milliseconds. */
  readonly loopDelayMs: { readonly p99: number; readonly max: number } | null;
  /** All threads of the process, settling included. */
  readonly cpuSeconds: number | null;
  /** Keys and values handed in. */
  readonly userBytes: number;
  /** Handed to the kernel, settling included. */
  readonly writtenBytes: number | null;
  /** After settling. */
  readonly diskBytes: number | null;
  readonly peakMemoryBytes: number | null;
  /** From the first operation until nothing was left to do; null for workloads that only read. */
  readonly settledSeconds: number | null;
  readonly isCalm: boolean;
  /** [seconds since the start, operations so far], about twice a second, for workloads that ask for it. */
  readonly series: readonly (readonly [number, number])[];
  /** Numbers of the workload's own. */
  readonly extra: Readonly<Record<string, number>>;
}

/** What the parent knows of one run of one workload on one store. */
export interface Outcome {
  readonly workload: string;
  readonly store: string;
  readonly round: number;
  readonly measurement: Measurement | undefined;
  /** Why there is none. */
  readonly error: string | undefined;
}

/**
 * Meter: the clock, the latencies and the counters of a measurement, around the phase that counts.
 *
 *   begin()  ->  lap() and record() in the loops  ->  end()  ->  report() once the store has settled
 *
 * Latencies go to Node's own HdrHistogram. A timed call costs two clock reads and a record, 0.4 us here, so a workload
 * of fast operations times one call in `timeEvery`.
 *
 * Not chosen: an histogram package: Node carries the C one (`perf_hooks.createHistogram`).
 *             timeEvery a power of two: batches and blocks have such sizes, and the sample would fall into step.
 */
import {
  createHistogram,
  type IntervalHistogram,
  monitorEventLoopDelay,
  type RecordableHistogram,
} from 'node:perf_hooks';
import type { Measurement } from './measurement.ts';
import { recordSince, type Tally } from './tally.ts';
import {
  cpuSeconds,
  machineCpuSeconds,
  mainThreadCpuSeconds,
  peakMemoryBytes,
  writtenBytes,
} from './usage.ts';

/** The monitor's own interval is part of what it records. */
const LOOP_RESOLUTION_MS = 1;
const SERIES_INTERVAL_MS = 500;
const NS_PER_MS = 1e6;
const NS_PER_US = 1e3;

export class Meter implements Tally {
  operations = 0;
  userBytes = 0;
  /** Set where only a part of the phase counts. */
  busySeconds: number | undefined;
  readonly extra: Record<string, number> = {};
  readonly #latency: RecordableHistogram = createHistogram();
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  readonly #series: [number, number][] = [];
  readonly #limitMs: number;
  #hasSeries = false;
  #beginMs = 0;
  #endMs = 0;
  #beginCpu = 0;
  #beginOwnerCpu: number | undefined;
  #beginMachineCpu = 0;
  #beginWritten: number | undefined;
  #nextSeriesMs = 0;

  constructor(limitSeconds: number) {
    this.#limitMs = limitSeconds * 1000;
  }

  begin(): void {
    this.#loop.enable();
    this.#beginCpu = cpuSeconds();
    this.#beginOwnerCpu = mainThreadCpuSeconds();
    this.#beginMachineCpu = machineCpuSeconds();
    this.#beginWritten = writtenBytes();
    this.#beginMs = performance.now();
  }

  end(): void {
    this.#endMs = performance.now();
    this.#loop.disable();
    this.#noteCpu();
    if (this.#hasSeries) this.#series.push([this.elapsedSeconds, this.operations]);
  }

  get elapsedSeconds(): number {
    return ((this.#endMs || performance.now()) - this.#beginMs) / 1000;
  }

  /** How long the phase should last. */
  get limitSeconds(): number {
    return this.#limitMs / 1000;
  }

  keepSeries(): void {
    this.#hasSeries = true;
  }

  /** Called now and then by the loops: whether the time is up. */
  lap(): boolean {
    const elapsedMs = performance.now() - this.#beginMs;
    if (this.#hasSeries && elapsedMs >= this.#nextSeriesMs) {
      this.#series.push([elapsedMs / 1000, this.operations]);
      this.#nextSeriesMs = elapsedMs + SERIES_INTERVAL_MS;
    }
    return elapsedMs > this.#limitMs;
  }

  record(sinceMs: number): void {
    recordSince(this.#latency, sinceMs);
  }

  /** Takes in what another thread has recorded. */
  absorb(latency: RecordableHistogram): void {
    this.#latency.add(latency);
  }

  report(settledAtMs: number | undefined, isCalm: boolean): Measurement {
    const seconds = this.elapsedSeconds;
    const written = writtenBytes();
    const loop = this.#loop;
    const isLoopKnown = loop.count > 0;
    return {
      operations: this.operations,
      seconds,
      opsPerSecond: this.operations / (this.busySeconds ?? seconds),
      latencyUs: this.#latencies(),
      loopDelayMs: isLoopKnown ? { p99: lateness(loop.percentile(99)), max: lateness(loop.max) } : null,
      cpuSeconds: cpuSeconds() - this.#beginCpu,
      userBytes: this.userBytes,
      writtenBytes:
        written === undefined || this.#beginWritten === undefined ? null : written - this.#beginWritten,
      diskBytes: null,
      peakMemoryBytes: peakMemoryBytes(),
      settledSeconds:
        settledAtMs === undefined ? null : Math.max(settledAtMs - this.#beginMs, seconds * 1000) / 1000,
      isCalm,
      series: this.#series,
      extra: this.extra,
    };
  }

  /**
   * Of the phase itself, without settling: all threads; the main thread, which is what more threads can't share; and other
   * processes, beside whose work a speed says little.
   */
  #noteCpu(): void {
    const owner = mainThreadCpuSeconds();
    const all = cpuSeconds() - this.#beginCpu;
    this.extra['phaseSeconds'] = this.elapsedSeconds;
    this.extra['allCpuSeconds'] = all;
    this.extra['othersCpuSeconds'] = Math.max(0, machineCpuSeconds() - this.#beginMachineCpu - all);
    if (owner !== undefined && this.#beginOwnerCpu !== undefined)
      this.extra['ownerCpuSeconds'] = owner - this.#beginOwnerCpu;
  }

  #latencies(): Measurement['latencyUs'] {
    const latency = this.#latency;
    if (latency.count === 0) return null;
    return {
      p50: latency.percentile(50) / NS_PER_US,
      p99: latency.percentile(99) / NS_PER_US,
      p999: latency.percentile(99.9) / NS_PER_US,
      max: latency.max / NS_PER_US,
    };
  }
}

function lateness(ns: number): number {
  return Math.max(0, ns / NS_PER_MS - LOOP_RESOLUTION_MS);
}

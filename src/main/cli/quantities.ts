/**
 * Numbers for people: bytes, durations, counts, rates. Always `.` as decimal point and `,` between thousands, whatever
 * the locale, as these lines end up in issues and logs.
 */

const BYTE_UNITS: readonly string[] = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${BYTE_UNITS[unit]}`;
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1) return `${Math.round(milliseconds * 1000)} us`;
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const rest = Math.round(seconds) % 60;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${rest} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `count` per second. A duration of zero counts as a microsecond. */
export function formatRate(count: number, milliseconds: number): string {
  return formatCount((count * 1000) / Math.max(milliseconds, 0.001));
}

/** Megabytes (10^6) per second, as disks and networks are sold. */
export function formatByteRate(bytes: number, milliseconds: number): string {
  return `${(bytes / 1000 / Math.max(milliseconds, 0.001)).toFixed(1)} MB/s`;
}

/** The largest time that a Date can be. */
const MAX_TIME_MS = 8.64e15;

export function timeOf(ms: number): string {
  return ms === 0 || ms > MAX_TIME_MS ? `at ${ms}` : new Date(ms).toISOString();
}

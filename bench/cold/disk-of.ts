/**
 * Which disk a directory lies on, as the kernel's control groups name it: major:minor of the whole disk.
 *
 * The device of a directory is a partition, or, for file systems such as btrfs and overlays, a number without a device
 * behind it; for those the source in the mount table is asked.
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const SYSFS = '/sys/dev/block';
const MINOR_LOW_BITS = 0xff;

/** Throws with what is missing. */
export function diskOf(directory: string): string {
  const real = realpathSync(directory);
  const own = deviceName(statSync(real).dev);
  if (existsSync(join(SYSFS, own))) return wholeDisk(own);
  const source = mountSource(real);
  if (source === undefined || !source.startsWith('/dev/') || !existsSync(source))
    throw new Error(`no disk is known behind ${directory} (${source ?? 'no mount'})`);
  return wholeDisk(deviceName(statSync(source).rdev));
}

/** As glibc's `major` and `minor` split a dev_t. */
export function deviceName(device: number): string {
  const major = Math.floor(device / 256) % 4096;
  const minor = (device & MINOR_LOW_BITS) + Math.floor(device / 2 ** 20) * 256;
  return `${major}:${minor}`;
}

function wholeDisk(device: string): string {
  const folder = realpathSync(join(SYSFS, device));
  if (!existsSync(join(folder, 'partition'))) return device;
  return readFileSync(join(dirname(folder), 'dev'), 'utf8').trim();
}

/** Of the deepest mount that holds `path`; see proc_pid_mountinfo(5). */
function mountSource(path: string): string | undefined {
  let deepest = '';
  let source: string | undefined;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [fields, rest] = line.split(' - ');
    const point = fields?.split(' ')[4];
    if (point === undefined || rest === undefined || point.length < deepest.length) continue;
    if (path !== point && !path.startsWith(point === '/' ? '/' : `${point}/`)) continue;
    deepest = point;
    source = rest.split(' ')[1];
  }
  return source;
}

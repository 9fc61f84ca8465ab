/**
 * A time series with retention: readings of some sensors, kept for a week. What is older goes by one `deleteRange`, which costs
 * the same for ten readings and for a million; the disk has its room back soon, by itself.
 *
 *   at:TIME:SENSOR    a reading; TIME in milliseconds since 1970, with leading zeros, so that keys are in the order of time
 *
 * Time comes first in the key: so what is old is one range, and what comes in is written side by side. A store that is asked for
 * single sensors above all would have SENSOR first, and one deleteRange for each.
 *
 * node examples/time-series.mjs [DIRECTORY]     by default a new directory among the temporary files, deleted at the end
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StorageEngine } from 'stratakv';

const MINUTE = 60_000;
const INTERVAL = 5 * MINUTE;
const DAY = 24 * 60 * MINUTE;
const SENSORS = ['cellar', 'garden', 'kitchen', 'roof'];
const KEPT_DAYS = 7;
const PREFIX = 'at:';

/** The first key of a moment. */
function keyAt(time) {
  return `${PREFIX}${String(time).padStart(14, '0')}:`;
}

class Readings {
  constructor(engine) {
    this.engine = engine;
  }

  async record(time, sensor, value) {
    await this.engine.put(keyAt(time) + sensor, String(value));
  }

  /** What one sensor measured on the average, from `from` on and before `to`. */
  async mean(sensor, from, to) {
    let sum = 0;
    let count = 0;
    for await (const [key, value] of this.engine.scan({ gte: keyAt(from), lt: keyAt(to) })) {
      if (!key.toString().endsWith(`:${sensor}`)) continue;
      sum += Number(value);
      count++;
    }
    return count === 0 ? undefined : sum / count;
  }

  async newest() {
    const [entry] = this.engine.scan({ prefix: PREFIX, reverse: true, limit: 1 }).nextMany(1);
    return entry && Number(entry[0].toString().split(':')[1]);
  }

  async count() {
    let count = 0;
    for await (const _ of this.engine.scan({ prefix: PREFIX, values: false })) count++;
    return count;
  }

  /** About how many bytes on disk. */
  async size() {
    return await this.engine.approximateSize({ prefix: PREFIX });
  }

  /** The retention step: to be called once an hour, say. */
  async forgetBefore(time) {
    await this.engine.deleteRange({ gte: PREFIX, lt: keyAt(time) });
  }
}

/** Thirty days, a reading every five minutes, sensor by sensor: not in the order of keys, as ingest() takes any. */
function* history(start) {
  for (const [i, sensor] of SENSORS.entries())
    for (let time = start; time < start + 30 * DAY; time += INTERVAL) {
      const degrees = 15 + 3 * i + 5 * Math.sin((2 * Math.PI * (time % DAY)) / DAY);
      yield [keyAt(time) + sensor, degrees.toFixed(3)];
    }
}

const inKiB = (bytes) => `${Math.round(bytes / 1024)} KiB`;

async function run(directory) {
  // Small files, as there is little data: a file that lies in the range wholly goes without being read.
  const engine = await StorageEngine.open(directory, { maxFileSize: 256 * 1024 });
  try {
    const readings = new Readings(engine);
    const start = Date.UTC(2026, 0, 1);
    const { records } = await engine.ingest(history(start));
    await readings.record(start + 30 * DAY, 'garden', 21.5);
    const now = await readings.newest();
    const before = await readings.size();
    console.log(`loaded ${records} readings, ${inKiB(before)} on disk`);
    console.log(
      `garden, last hour: ${(await readings.mean('garden', now - 60 * MINUTE, now)).toFixed(1)} degrees`,
    );

    const logged = engine.stats().bytesWritten.wal;
    await readings.forgetBefore(now - KEPT_DAYS * DAY);
    const cost = engine.stats().bytesWritten.wal - logged;
    console.log(`retention: one record of ${cost} bytes; ${await readings.count()} readings are left`);

    // Nothing is to be done for the room on disk: this only waits, to show it.
    let after = await readings.size();
    for (let i = 0; i < 300 && after > before / 2; i++) {
      await sleep(100);
      after = await readings.size();
    }
    console.log(`${inKiB(before - after)} of ${inKiB(before)} came back: ${after < before / 2}`);
    console.log(`cellar, ten days ago: ${await readings.mean('cellar', now - 10 * DAY, now - 9 * DAY)}`);
  } finally {
    await engine.close();
  }
}

const given = process.argv[2];
const directory = given ?? (await mkdtemp(join(tmpdir(), 'stratakv-time-series-')));
try {
  await run(directory);
} finally {
  if (given === undefined) await rm(directory, { recursive: true });
}

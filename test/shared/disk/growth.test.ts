/**
 * Threads are added at once as long as they help. The disk is a formula, and time the test's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Growth } from '../../../src/shared/disk/growth.ts';

/** What a disk brings with so many reads at a time, per millisecond. */
type Disk = (carriers: number) => number;

class Scene {
  time = 0;
  carriers = 2;
  readonly growth: Growth = new Growth(() => this.time);

  /** Makes `reads` reads while others wait all the time, with as many carriers as are found to help, up to ten. */
  run(disk: Disk, reads: number, isWanted = true): number {
    for (let i = 0; i < reads; i++) {
      this.time += 1 / disk(this.carriers);
      this.growth.landed(this.carriers, isWanted);
      if (this.carriers < 10 && this.growth.mayGrow()) this.carriers++;
    }
    return this.carriers;
  }
}

test('a disk that bears many reads at a time gets them all, a very slow one too', () => {
  assert.equal(
    new Scene().run((carriers) => carriers / 2, 500),
    10,
  );
  assert.equal(
    new Scene().run((carriers) => carriers / 1000, 100),
    10,
  );
});

test('a disk at its limit gets one more to see, and no other for two seconds', () => {
  const scene = new Scene();
  assert.equal(
    scene.run(() => 2, 4000),
    3,
  );
  assert.equal(
    scene.run(() => 2, 200),
    4,
    'it is tried again',
  );
  assert.equal(
    scene.run(() => 2, 3800),
    4,
  );
});

test('it stops where the disk has its limit', () => {
  assert.equal(
    new Scene().run((carriers) => Math.min(carriers, 5), 5000),
    6,
  );
});

test('reads that nobody waits behind say nothing', () => {
  assert.equal(
    new Scene().run((carriers) => carriers, 1000, false),
    2,
  );
  const scene = new Scene();
  for (let i = 0; i < 100; i++) {
    scene.run((carriers) => carriers, 20);
    scene.run((carriers) => carriers, 1, false);
  }
  assert.equal(scene.carriers, 2, 'nor do short rows of others');
});

test('when threads have ended it begins anew', () => {
  const scene = new Scene();
  assert.equal(
    scene.run((carriers) => carriers, 1000),
    10,
  );
  scene.carriers = 2;
  assert.equal(
    scene.run((carriers) => carriers / 100, 1000),
    10,
  );
});

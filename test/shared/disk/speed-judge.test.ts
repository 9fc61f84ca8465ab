/**
 * The judge trusts a disk after a row of quick reads, and stops trusting it after a slow one. Time is the test's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpeedJudge } from '../../../src/shared/disk/speed-judge.ts';

const QUICK = 0.1;
const SLOW = 2;
const DOUBTFUL = 0.3;

class Scene {
  time = 0;
  readonly judge: SpeedJudge = new SpeedJudge(() => this.time);

  /** How many quick reads in a row it takes to be trusted. */
  quickReadsAsked(): number {
    for (let count = 0; ; count++) {
      if (this.judge.isTrusting) return count;
      this.judge.landed(QUICK);
    }
  }

  /** Trusted, and after so long a slow read in the call. */
  trustFor(ms: number): void {
    this.quickReadsAsked();
    this.time += ms;
    this.judge.inCall(SLOW);
    assert.equal(this.judge.isTrusting, false);
  }
}

test('it is careful until 64 reads in a row were quick; a slow one begins the row again', () => {
  const scene = new Scene();
  assert.equal(scene.quickReadsAsked(), 64);
  const other = new Scene();
  for (let i = 0; i < 63; i++) other.judge.landed(QUICK);
  other.judge.landed(0.5);
  assert.equal(other.quickReadsAsked(), 64);
});

test('one slow read in the call ends its trust; quick ones do not', () => {
  const scene = new Scene();
  scene.quickReadsAsked();
  for (let i = 0; i < 10_000; i++) scene.judge.inCall(QUICK);
  scene.judge.inCall(1);
  assert.equal(scene.judge.isTrusting, true);
  scene.judge.inCall(1.01);
  assert.equal(scene.judge.isTrusting, false);
});

test('three doubtful reads of 64 end its trust; as many of more do not', () => {
  const scene = new Scene();
  scene.quickReadsAsked();
  for (let round = 0; round < 100; round++) {
    scene.judge.inCall(DOUBTFUL);
    scene.judge.inCall(DOUBTFUL);
    for (let i = 0; i < 62; i++) scene.judge.inCall(QUICK);
  }
  assert.equal(scene.judge.isTrusting, true);
  for (let i = 0; i < 3; i++) scene.judge.inCall(DOUBTFUL);
  assert.equal(scene.judge.isTrusting, false);
});

test('trust that was misplaced at once makes it ask for twice as many, up to 4,096', () => {
  const scene = new Scene();
  const asked: number[] = [];
  for (let i = 0; i < 8; i++) {
    asked.push(scene.quickReadsAsked());
    scene.trustFor(999);
  }
  assert.deepEqual(asked, [64, 128, 256, 512, 1024, 2048, 4096, 4096]);
});

test('trust that lasted ten seconds makes it ask for 64 again; that lasted less, for as many as before', () => {
  const scene = new Scene();
  scene.trustFor(0);
  scene.trustFor(0);
  scene.trustFor(1000);
  assert.equal(scene.quickReadsAsked(), 256);
  scene.trustFor(9999);
  assert.equal(scene.quickReadsAsked(), 256);
  scene.trustFor(10_000);
  assert.equal(scene.quickReadsAsked(), 64);
});

test('reads in the call are no reason to trust, and reads off the thread none to stop', () => {
  const scene = new Scene();
  for (let i = 0; i < 1000; i++) scene.judge.inCall(QUICK);
  assert.equal(scene.judge.isTrusting, false);
  scene.quickReadsAsked();
  scene.judge.landed(SLOW);
  assert.equal(scene.judge.isTrusting, true);
});

/**
 * The limits of the cold benchmark, on folders that look like the kernel's control groups of both versions.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { deviceName } from '../../bench/cold/disk-of.ts';
import { countReads, makeLimits } from '../../bench/cold/limits.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

describe('makeLimits()', () => {
  const sizes = { readsPerSecond: 2000, memoryBytes: 400, disk: '8:0' };
  const name = `stratakv-bench-${process.pid}`;

  /** A process id that nobody has any more. */
  const deadProcess = (): number => spawnSync(process.execPath, ['-e', '']).pid;

  function fakeRoot(t: TestContext, version: 1 | 2): string {
    const root = temporaryDirectory(t);
    if (version === 2) {
      writeFileSync(join(root, 'cgroup.controllers'), 'io memory\n');
      writeFileSync(join(root, 'cgroup.subtree_control'), 'memory\n');
    } else {
      for (const controller of ['blkio', 'memory']) {
        mkdirSync(join(root, controller));
        writeFileSync(join(root, controller, 'cgroup.procs'), '');
      }
    }
    return root;
  }

  test('version 1: a group for the disk and one for the memory, which a process joins', (t) => {
    const root = fakeRoot(t, 1);
    const limits = makeLimits(sizes, root);
    limits.admit(77);
    const read = (...parts: string[]): string => readFileSync(join(root, ...parts), 'utf8');
    assert.equal(read('blkio', name, 'blkio.throttle.read_iops_device'), '8:0 2000');
    assert.equal(read('memory', name, 'memory.limit_in_bytes'), '400');
    for (const controller of ['blkio', 'memory']) assert.equal(read(controller, name, 'cgroup.procs'), '77');
  });

  test('version 2: one group, with the controllers passed on to it', (t) => {
    const root = fakeRoot(t, 2);
    const limits = makeLimits(sizes, root);
    limits.admit(77);
    const read = (...parts: string[]): string => readFileSync(join(root, ...parts), 'utf8');
    assert.equal(limits.version, 2);
    assert.equal(read('cgroup.subtree_control'), '+io');
    assert.equal(read(name, 'io.max'), '8:0 riops=2000');
    assert.equal(read(name, 'memory.max'), '400');
    assert.equal(read(name, 'cgroup.procs'), '77');
  });

  test('removes what a run that was killed has left, and nobody else', (t) => {
    const root = fakeRoot(t, 1);
    const dead = join(root, 'blkio', `stratakv-bench-${deadProcess()}`);
    const alive = join(root, 'memory', `stratakv-bench-${process.ppid}`);
    for (const folder of [dead, alive]) mkdirSync(folder);
    makeLimits(sizes, root);
    assert.ok(!existsSync(dead) && existsSync(alive));
  });

  test('says why there are none, and leaves nothing', (t) => {
    assert.throws(() => makeLimits(sizes, temporaryDirectory(t)), /no control group "blkio"/);
    const root = fakeRoot(t, 2);
    // As a controller that refuses its setting.
    writeFileSync(join(root, 'cgroup.subtree_control'), 'io memory');
    mkdirSync(join(root, name));
    assert.throws(() => makeLimits(sizes, root), /EEXIST/);
    assert.deepEqual(readdirSync(root), ['cgroup.controllers', 'cgroup.subtree_control']);
  });

  test('countReads() understands both kinds, and a disk that was not asked yet', (t) => {
    const file = join(temporaryDirectory(t), 'stat');
    const count = (text: string): number => {
      writeFileSync(file, text);
      return countReads({ file, disk: '254:0' });
    };
    assert.equal(count('54:0 Read 1\n254:0 Read 1234\n254:0 Write 5\nTotal 1240\n'), 1234);
    assert.equal(count('8:0 rios=9\n254:0 rbytes=4096 wbytes=1 rios=12 wios=7 dbytes=0\n'), 12);
    assert.equal(count('Total 0\n'), 0);
  });

  test('deviceName() splits a device number as the C library does', () => {
    assert.deepEqual([0xfe00, 0x10301, 0x12300845].map(deviceName), ['254:0', '259:1', '8:74565']);
  });
});

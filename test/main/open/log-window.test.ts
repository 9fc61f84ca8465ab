/**
 * A log is judged a piece at a time as it is judged whole: whatever the window, and wherever it is damaged.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RecoveredLog, readLog, walkLog } from '../../../src/main/open/log-reader.ts';
import { LogWindow } from '../../../src/main/open/log-window.ts';
import { StorageError } from '../../../src/shared/base/errors.ts';
import { buildLog, type LogGroup, resealRecord } from '../../helpers/log-files.ts';
import { MemoryFile } from '../../helpers/memory-file.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const NUMBER = 12;
/** Less than the largest record, than a record of several entries, than a value; and more than the log. */
const WINDOWS = [128, 300, 1024, 5000, 1 << 20];

/** Records of all kinds: small, of many entries, with values that are longer than a window, notes. */
const GROUPS: readonly LogGroup[] = [
  { entries: [['a', 'x']] },
  { entries: Array.from({ length: 200 }, (_, i) => [`key ${i}`, i % 7 === 0 ? undefined : `value ${i}`]) },
  { timeMs: 5000 },
  { entries: [['large', 'v'.repeat(9000)]], syncedUpTo: 60 },
  {
    entries: [
      ['', ''],
      ['large', 'w'.repeat(4000)],
      ['z', undefined],
    ],
  },
  { entries: Array.from({ length: 50 }, (_, i) => [`n${i}`, 'u'.repeat(i * 7)]) },
];
const LOG = buildLog({ number: NUMBER, firstSequence: 100, startedAtMs: 4000, groups: GROUPS });

function inPieces(bytes: Uint8Array, byteLength: number): RecoveredLog {
  const file = new MemoryFile('12.log', bytes);
  const window = LogWindow.sliding(byteLength);
  const walk = walkLog(window, '12.log', NUMBER, bytes.length);
  let step = walk.next();
  for (; step.done !== true; step = walk.next()) {
    window.read(file);
    assert.ok(window.bytes.length === byteLength && window.loadedUpTo - window.base <= byteLength);
  }
  return step.value;
}

/** What the thorough reader says of the log as far as it is sound, or what it throws. */
function outcome(judge: () => RecoveredLog): unknown {
  try {
    return judge();
  } catch (error) {
    assert.ok(error instanceof StorageError, String(error));
    const { code, message, offset } = error as StorageError & { offset?: number };
    return { code, message, offset };
  }
}

test('a sound log is what it is, however small the pieces', () => {
  const whole = readLog(LOG.bytes, '12.log', NUMBER);
  assert.equal(whole.validBytes, LOG.bytes.length);
  for (const byteLength of WINDOWS)
    assert.deepEqual(inPieces(LOG.bytes, byteLength), whole, `window of ${byteLength}`);
});

test('where records are damaged, in pieces as much counts as before the damage', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let i = 0; i < 400; i++) {
    const bytes = LOG.bytes.slice();
    const at = random.below(bytes.length);
    bytes[at]! ^= 1 + random.below(255);
    const intact = LOG.offsets.findLast((offset) => offset <= at)!;
    for (const byteLength of WINDOWS)
      assert.equal(inPieces(bytes, byteLength).validBytes, intact, `byte ${at}, window of ${byteLength}`);
  }
});

test('forged records are refused in pieces for the reason for which they are refused whole', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  let refused = 0;
  for (let i = 0; i < 400; i++) {
    const bytes = LOG.bytes.slice();
    const record = random.below(LOG.offsets.length - 1);
    const [start, end] = [LOG.offsets[record]!, LOG.offsets[record + 1]!];
    // Not the length, which would end the record elsewhere.
    const at = start + 19 + random.below(end - start - 19);
    bytes[at]! ^= 1 + random.below(255);
    resealRecord(bytes, start, end, NUMBER);
    const whole = outcome(() => readLog(bytes, '12.log', NUMBER));
    if (whole instanceof Object && 'code' in whole) refused++;
    for (const byteLength of WINDOWS)
      assert.deepEqual(
        outcome(() => inPieces(bytes, byteLength)),
        whole,
        `byte ${at}, window of ${byteLength}`,
      );
  }
  assert.ok(refused > 20, `${refused} were refused`);
});

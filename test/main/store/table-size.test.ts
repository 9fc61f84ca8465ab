/** Tables grow with their level, so that there are not too many of them; a limit that was given holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveOptions } from '../../../src/main/store/options.ts';
import { fileSizeFor } from '../../../src/main/store/table-size.ts';
import { level } from '../../../src/shared/base/ids.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

const MIB = 1024 * 1024;

function versionOf(levelMib: number): Version {
  return Version.empty.apply({
    added: [{ level: level(7), table: tableMeta(1, 'a', 'b', { sizeBytes: levelMib * MIB }) }],
    removed: [],
  });
}

test('fileSizeFor() doubles the default, at most twice, where a level would have more than a thousand tables', () => {
  const options = resolveOptions();
  const sizes = [0, 1, 32 * 1024, 33 * 1024, 64 * 1024, 65 * 1024, 1e6].map((mib) =>
    fileSizeFor(versionOf(Math.max(mib, 1)), level(7), options),
  );
  assert.deepEqual(
    sizes.map((size) => size / MIB),
    [32, 32, 32, 64, 64, 128, 128],
  );
  assert.equal(fileSizeFor(versionOf(1e6), level(6), options), 32 * MIB, 'a small level of a large store');
});

test('fileSizeFor() keeps a maxFileSize that was given, and starts from half of a small write buffer', () => {
  assert.equal(fileSizeFor(versionOf(1e6), level(7), resolveOptions({ maxFileSize: 2 * MIB })), 2 * MIB);
  assert.equal(fileSizeFor(versionOf(1e6), level(7), resolveOptions({ maxFileSize: 32 * MIB })), 32 * MIB);
  assert.equal(fileSizeFor(versionOf(1e6), level(7), resolveOptions({ writeBufferSize: 2 * MIB })), 4 * MIB);
});

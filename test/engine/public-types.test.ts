/**
 * The published types: everything a user can reach from index.d.ts is typed, `any` and `unknown` holes included.
 *
 * Reads the declarations that the build wrote next to the tests; where Node runs the sources there are none.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as stratakv from '../../src/main/index.ts';

const INDEX = fileURLToPath(new URL('../../src/main/index.d.ts', import.meta.url));

/** index.d.ts and every declaration file that it leads to. */
function declarations(): Map<string, string> {
  const texts = new Map<string, string>();
  const visit = (path: string): void => {
    if (texts.has(path)) return;
    const text = readFileSync(path, 'utf8');
    texts.set(path, text);
    for (const [, specifier] of text.matchAll(/from\s+["'](\.[^"']+)["']/g)) {
      visit(join(dirname(path), specifier!.replace(/\.[jt]s$/, '.d.ts')));
    }
  };
  visit(INDEX);
  return texts;
}

test('the public types hold no any', { skip: !existsSync(INDEX) && 'run from the build' }, () => {
  const texts = declarations();
  assert.ok(texts.size > 5, 'found what index.d.ts leads to');
  for (const [path, text] of texts) {
    const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/\/\/.*$/gm, '');
    assert.doesNotMatch(code, /\bany\b/, path);
  }
});

test('the classes of the contract are exported, and the errors are one family', () => {
  assert.deepEqual(Object.keys(stratakv).sort(), [
    'CorruptionError',
    'StorageEngine',
    'StorageError',
    'WriteBatch',
  ]);
  const error = new stratakv.CorruptionError('x', { file: 'f', offset: 3 });
  assert.ok(error instanceof stratakv.StorageError && error instanceof Error);
  assert.deepEqual([error.code, error.file, error.offset], ['STRATA_CORRUPTION', 'f', 3]);
});

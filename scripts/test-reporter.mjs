/**
 * Reporter for node --test: a line per test file, failures in full, counts at the end.
 *
 *   ok   shared/bytes.test.js               14 tests   0.1 s
 *   FAIL main/engine.test.js                31 tests   2.4 s
 *
 * Tests are counted under the file that defines them, which may be a helper: node says no more.
 * Not chosen: the built-in `spec`, which prints thousands of lines for a suite that passes, and `dot`, which on Node 20
 *             doesn't say what failed.
 */
import { relative, sep } from 'node:path';
import { inspect } from 'node:util';

export default async function* report(events) {
  const files = new Map();
  const failures = [];
  const skipped = [];
  const outputs = [];
  let current;
  for await (const { type, data } of events) {
    if (type === 'test:stderr' || type === 'test:stdout') {
      outputs.push(data.message);
      continue;
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const file = fileOf(files, data);
    // Events come file by file, however many run at a time.
    if (current !== undefined && file !== current) yield fileLine(current);
    current = file;
    if (data.details?.type !== 'suite') file.tests += 1;
    if (data.skip !== undefined) skipped.push(`${file.name}: ${data.name} (${data.skip})`);
    if (data.nesting === 0) file.milliseconds += data.details?.duration_ms ?? 0;
    // `# todo` tests may fail, and a parent that failed only because a child did adds nothing.
    if (type === 'test:fail' && data.todo === undefined) {
      file.isFailed = true;
      if (data.details?.error?.failureType !== 'subtestsFailed') failures.push({ file, data });
    }
  }
  if (current !== undefined) yield fileLine(current);
  for (const message of failures.length > 0 ? outputs : []) yield message;
  for (const { file, data } of failures) yield `\n--- ${file.name}: ${data.name}\n${describe(data)}\n`;
  for (const line of skipped) yield `skipped ${line}\n`;
  const tests = [...files.values()].reduce((sum, file) => sum + file.tests, 0);
  yield `\n${tests} tests in ${files.size} files, ${failures.length} failed, ${skipped.length} skipped\n`;
}

function fileOf(files, data) {
  const path = data.file ?? data.name;
  let file = files.get(path);
  if (file === undefined) {
    const name = relative('dist/test', path).split(sep).join('/');
    file = { name, tests: 0, milliseconds: 0, isFailed: false };
    files.set(path, file);
  }
  return file;
}

function fileLine({ name, tests, milliseconds, isFailed }) {
  const count = `${tests} tests`.padStart(10);
  const seconds = `${(milliseconds / 1000).toFixed(1)} s`.padStart(9);
  return `${isFailed ? 'FAIL' : 'ok  '} ${name.padEnd(48)} ${count} ${seconds}\n`;
}

function describe(data) {
  const error = data.details?.error;
  const cause = error?.cause ?? error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause);
}

/**
 * Scenario tests as text (the idea is Pebble's): a file of cases, each a command with its input and what came out.
 *
 *   # a comment, kept
 *   compact snapshots=10,20        the command, and arguments as key=value or bare words
 *   a@25 a@18-                     input lines
 *   ----
 *   a@25                           output, up to a blank line
 *
 * UPDATE=1 runs the commands and writes what came out into the file, for review with git diff.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

export interface Scenario {
  readonly command: string;
  readonly args: ReadonlyMap<string, string>;
  readonly input: readonly string[];
}

/** The source tree's testdata: compiled tests run from a build directory below the project's root. */
const TESTDATA = join(process.cwd(), 'test', 'testdata');

/** Registers one test per case of test/testdata/`name`; `run` returns the output. */
export function runScenarios(name: string, run: (scenario: Scenario) => string): void {
  const path = join(TESTDATA, name);
  const blocks = readFileSync(path, 'utf8').trimEnd().split(/\n\n+/);
  const isUpdate = process.env['UPDATE'] === '1';
  const rewritten = blocks.map((block) => {
    const lines = block.split('\n');
    const separator = lines.indexOf('----');
    const commandAt = lines.findIndex((line) => !line.startsWith('#'));
    if (commandAt < 0) return block;
    const scenario = parse(lines.slice(commandAt, separator < 0 ? undefined : separator));
    const title = `${name}: ${describe(lines.slice(0, commandAt), lines[commandAt]!)}`;
    if (isUpdate) {
      const output = run(scenario).trimEnd();
      return [...lines.slice(0, separator < 0 ? undefined : separator), '----', output].join('\n').trimEnd();
    }
    test(title, () => {
      assert.ok(separator > 0, 'the case has no ---- line; UPDATE=1 adds it');
      assert.equal(run(scenario).trimEnd(), lines.slice(separator + 1).join('\n'));
    });
    return block;
  });
  if (isUpdate) writeFileSync(path, `${rewritten.join('\n\n')}\n`);
}

function parse(lines: readonly string[]): Scenario {
  const [command = '', ...words] = lines[0]!.split(/\s+/);
  const args = new Map<string, string>();
  for (const word of words) {
    const [key = '', value = ''] = word.split('=', 2);
    args.set(key, value);
  }
  return { command, args, input: lines.slice(1) };
}

function describe(comments: readonly string[], command: string): string {
  const said = comments.map((line) => line.replace(/^#\s*/, '')).join(' ');
  return said === '' ? command : said;
}

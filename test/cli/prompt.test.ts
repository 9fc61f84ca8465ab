/** Commands from a pipe: the prompt without a terminal. And what the terminal's prompt is made of. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Output } from '../../src/main/cli/output.ts';
import { buildLineProgram, complete } from '../../src/main/cli/prompt.ts';
import { Session } from '../../src/main/cli/session.ts';
import { historyPath, readHistory, writeHistory } from '../../src/main/cli/user-files.ts';
import { splitWords } from '../../src/main/cli/words.ts';
import { runCli, runLines } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('a piped session runs line by line and prints results only', async (t) => {
  const { exitCode, stdout, stderr } = await runLines(temporaryDirectory(t), [
    'put greeting "hello world"',
    '',
    '# a remark',
    'get greeting',
    "put 'a b' c",
    'flush',
    'compact',
    'scan',
    'exit',
    'put never run',
  ]);
  assert.deepEqual([exitCode, stderr], [0, '']);
  assert.equal(stdout, 'hello world\na b => c\ngreeting => hello world\n');
});

test('a piped session goes on after errors and ends with the exit code of the last one', async (t) => {
  const db = temporaryDirectory(t);
  const { exitCode, stdout, stderr } = await runLines(db, ['frobnicate', 'put k v', 'get absent', 'get k']);
  assert.deepEqual([exitCode, stdout], [3, 'v\n']);
  assert.deepEqual(stderr.split('\n'), [
    "stratakv: line 1: unknown command 'frobnicate'; see stratakv help",
    'stratakv: line 3: not found',
    '',
  ]);
  assert.equal((await runLines(db, ['get absent', 'put "unclosed v'])).exitCode, 2);
});

test('a piped session reads before it creates: get fails, put creates, get finds', async (t) => {
  const db = join(temporaryDirectory(t), 'new');
  const { exitCode, stdout, stderr } = await runLines(db, [
    'get k',
    'put k v',
    'get k',
    'destroy',
    'destroy --yes',
    'get k',
  ]);
  assert.equal(stdout, 'v\n');
  assert.match(stderr, /line 1: .*does not exist[^\n]*\n.*line 4: [^\n]*--yes\n.*line 6: .*does not exist/);
  assert.equal(exitCode, 1);
});

test('a last line without a line end is a command too, and no input is no error', async (t) => {
  const db = temporaryDirectory(t);
  assert.equal((await runCli(db, [], 'put k v\r\nget k')).stdout, 'v\n');
  assert.equal((await runCli(db, [], '')).exitCode, 0);
});

test('load - is refused where the commands come from standard input', async (t) => {
  const { exitCode, stderr } = await runLines(temporaryDirectory(t), ['load -']);
  assert.equal(exitCode, 2);
  assert.match(stderr, /name a file/);
});

test('splitWords() splits as a shell does, without expanding', () => {
  assert.deepEqual(splitWords('  put  k   v '), ['put', 'k', 'v']);
  assert.deepEqual(splitWords(`put "two words" 'it is' ""`), ['put', 'two words', 'it is', '']);
  assert.deepEqual(splitWords('a"b c"d \\"x it\\\'s'), ['ab cd', '"x', "it's"]);
  assert.deepEqual(splitWords(String.raw`"say \"hi\"\n\t\\" '\n' "C:\dir"`), [
    'say "hi"\n\t\\',
    '\\n',
    'C:\\dir',
  ]);
  assert.deepEqual(splitWords(''), []);
  assert.throws(() => splitWords('put "a b'), /double quote is not closed/);
  assert.throws(() => splitWords("put 'a b"), /single quote is not closed/);
  assert.throws(() => splitWords('put a\\'), /backslash at the end/);
});

test('complete() offers commands first, then the options of the command', () => {
  const program = lineProgram();
  assert.deepEqual(complete(program, 'sc'), [['scan '], 'sc']);
  assert.ok(complete(program, '')[0].includes('help '));
  assert.deepEqual(complete(program, 'de')[0], ['delete ', 'delete-range ', 'destroy ']);
  assert.deepEqual(complete(program, 'scan a --re'), [['--reverse '], '--re']);
  assert.deepEqual(complete(program, 'scan a'), [[], 'a']);
  assert.deepEqual(complete(program, 'bogus --x'), [[], '--x']);
});

test('complete() offers names of files where a command takes a path, and in no other place', (t) => {
  const program = lineProgram();
  const folder = temporaryDirectory(t);
  mkdirSync(join(folder, 'in'));
  for (const name of ['a b.json', 'a.tsv', '.hidden', "it's"]) writeFileSync(join(folder, name), '');
  const offered = (line: string): string[] =>
    complete(program, line)[0].map((hit) => hit.slice(folder.length + 1));
  assert.deepEqual(offered(`load ${folder}/`), ['a\\ b.json ', 'a.tsv ', 'in/', "it\\'s "]);
  assert.deepEqual(offered(`load --skip-bad ${folder}/a\\ `), ['a\\ b.json ']);
  assert.deepEqual(offered(`load ${folder}/.h`), ['.hidden ']);
  assert.deepEqual(offered(`checkpoint ${folder}/in`), ['in/']);
  assert.deepEqual(offered(`put ${folder}/a`), []);
  assert.deepEqual(offered(`load ${folder}/absent/x`), []);
  const [completed] = complete(program, `load ${folder}/a\\ `)[0];
  assert.deepEqual(splitWords(`load ${completed!}`), ['load', join(folder, 'a b.json')]);
});

test('exit with something behind it is bad usage, and the session goes on', async (t) => {
  const { exitCode, stdout, stderr } = await runLines(temporaryDirectory(t), [
    'put k v',
    'exit extra',
    'get k',
    'quit',
  ]);
  assert.deepEqual([exitCode, stdout], [2, 'v\n']);
  assert.match(stderr, /line 2: exit takes no arguments: 'extra'/);
});

function lineProgram(): ReturnType<typeof buildLineProgram> {
  return buildLineProgram({
    session: new Session('unused'),
    out: new Output(new PassThrough(), new PassThrough()),
    isReadingStdin: true,
    signal: new AbortController().signal,
    ask: undefined,
  });
}

test('history is kept for the user alone and never fails', {
  skip: isWindows() && 'modes are POSIX',
}, async (t) => {
  const path = join(temporaryDirectory(t), 'state', 'stratakv', 'history');
  assert.deepEqual(readHistory(path), []);
  assert.equal(await writeHistory(path, ['put a 1', 'get a']), undefined);
  assert.deepEqual(readHistory(path), ['put a 1', 'get a']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.match((await writeHistory(join(path, 'below-a-file'), ['x'])) ?? '', /ENOTDIR|EEXIST/);
  assert.equal(readFileSync(path, 'utf8'), 'put a 1\nget a\n');
  mkdirSync(join(path, '..', 'directory'));
  assert.deepEqual(readHistory(join(path, '..', 'directory')), []);
});

test('historyPath() follows STRATAKV_HISTORY, and empty means none', () => {
  assert.equal(historyPath({ STRATAKV_HISTORY: '/x/y' }), '/x/y');
  assert.equal(historyPath({ STRATAKV_HISTORY: '' }), undefined);
  assert.match(historyPath({}) ?? '', /stratakv.history$/);
});

function isWindows(): boolean {
  return process.platform === 'win32';
}

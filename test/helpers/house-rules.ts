/**
 * The house rules as functions from one source file (or all of them) to complaints. Each complaint says what to do
 * instead. `test/tidy.test.ts` runs them over the tree and shows that each one fires.
 *
 * Not chosen: lint plugins. These rules are about this project's layers and words, and a test needs no configuration.
 */
import { checkComments } from './prose-rules.ts';
import { findCircles, resolveImport, roomComplaint } from './rooms.ts';
import { findFunctions, type SourceViews, viewSource } from './source-text.ts';

export interface SourceFile {
  /** From the root of the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

interface ViewedFile extends SourceFile, SourceViews {}

type Complain = (file: SourceFile, offset: number, message: string) => void;

const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/** Packages and builtins that one file (or folder) wraps for everybody else. */
const SINGLE_IMPORTERS: readonly {
  readonly modules: RegExp;
  readonly allowed: readonly string[];
  readonly instead: string;
}[] = [
  {
    modules: /^(?:node:)?fs(?:\/promises)?$/,
    allowed: [
      'src/shared/files/node-file-system.ts',
      'src/shared/files/restricted-sync.ts',
      'src/shared/files/lock-files.ts',
      'src/shared/disk/reader-thread.ts',
      'src/main/cli/user-files.ts',
    ],
    instead:
      'take a FileSystem (src/shared/files/file-system.ts), so that tests can put a faulty disk under it',
  },
  {
    modules: /^piscina$/,
    allowed: ['src/main/jobs/job-threads.ts'],
    instead: 'go through src/main/jobs/worker-pool.ts',
  },
  {
    modules: /^lru-cache$/,
    allowed: ['src/shared/read/table-cache.ts'],
    instead: 'go through src/shared/read/table-cache.ts',
  },
  {
    modules: /^crc-32$/,
    allowed: ['src/shared/base/checksum.ts'],
    instead: 'call src/shared/base/checksum.ts',
  },
  {
    modules: /^(?:snappyjs|snappy|lz4-napi)$/,
    allowed: ['src/shared/table/compression.ts', 'src/shared/table/seal-block.ts'],
    instead: 'call src/shared/table/seal-block.ts, or compression.ts there to decompress',
  },
  {
    modules: /^(?:commander|cli-progress)$|^node:readline/,
    allowed: ['src/main/cli/'],
    instead: 'keep terminal matters in src/main/cli',
  },
];

/** Not tied to a file, but to being wrapped once. */
const ONE_IMPORTER_AT_MOST: readonly string[] = ['comlink', 'koffi'];

/** Folders under src, and the folders under src each may import from. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  shared: ['shared'],
  workers: ['workers', 'shared'],
  main: ['main', 'shared', 'backup'],
  backup: ['backup', 'main', 'shared'],
  client: ['client', 'shared'],
  adapters: ['adapters', 'main', 'shared'],
  level: ['level', 'main', 'client', 'shared'],
};
/** The one file that names the workers: by URL, and, for jobs on main's own thread, by an import() that comes with the first. */
const WORKER_GATE = 'src/main/jobs/worker-pool.ts';

const SHARED_MEMORY_HOMES: readonly string[] = [
  'src/shared/threads/control-block.ts',
  'src/shared/threads/disk-use.ts',
  'src/shared/ingest/chunk.ts',
  'src/shared/ingest/latch.ts',
  'src/shared/threads/output-numbers.ts',
  'src/shared/memtable/',
  'src/shared/threads/view-slots.ts',
];
/** The one file that asks the platform for time. */
const TIME_HOME = 'src/shared/base/timers.ts';
const TIMERS = 'setTimeout|clearTimeout|setInterval|clearInterval|setImmediate|clearImmediate|queueMicrotask';

const CONSOLE_HOMES: readonly string[] = ['src/main/cli/', 'bench/', 'scripts/', 'examples/'];
/** These hold the banned words as patterns and samples. */
const RULE_FILES: readonly string[] = [
  'test/helpers/house-rules.ts',
  'test/helpers/prose-rules.ts',
  'test/tidy.test.ts',
];

/** What no file may say. `in`: which view of the file is searched. */
const BANNED: readonly {
  readonly pattern: RegExp;
  readonly in: 'text' | 'noComments' | 'code';
  readonly instead: string;
  readonly allowed?: readonly string[];
  /** Only files below this folder. */
  readonly under?: string;
}[] = [
  {
    // Classes of the language, of which every context of node:vm has its own, and classes that applications replace.
    pattern:
      /\binstanceof\s+(?:\w*Error|Uint8Array|\w*Array|(?:Shared)?ArrayBuffer|DataView|Buffer|(?:Weak)?(?:Map|Set|Ref)|Promise|Object|Function|Date|RegExp|URL|DOMException|AbortSignal|EventEmitter|EventTarget)\b(?<!\b(?:Storage|Corruption|StaleManifest|WorkerFault|Codec|Command|Commander)Error)|\.constructor\s*[!=]==?|\.constructor\.name\b/,
    in: 'code',
    instead:
      'false for values of another realm: isError(), types.isUint8Array() and the like, or look at what is used',
    under: 'src/',
  },
  {
    pattern:
      /\bperformance\.|\bDate\.now\b|\bnew Date\(\s*\)|\bprocess\.(?:nextTick|hrtime|uptime)\b|\bglobalThis\.(?:set|clear|queue)|\bAbortSignal\.timeout\b/,
    in: 'code',
    instead: `a clock of the application's tests may be false: take timers and now() from ${TIME_HOME}`,
    // Keyv's moments are of the clock that the application has.
    allowed: [TIME_HOME, 'src/adapters/keyv.ts'],
    under: 'src/',
  },
  {
    pattern: /\bconsole\./,
    in: 'code',
    instead: 'no console output from a library: emit an event or throw',
    allowed: CONSOLE_HOMES,
  },
  { pattern: /\bdebugger\b/, in: 'code', instead: 'remove the debugger statement' },
  { pattern: /\.only\(|\bonly: true\b/, in: 'code', instead: 'run one test with --test-name-pattern' },
  {
    pattern: /\b(?:test|it|describe|suite)\.skip\(|\.skip\(\s*\)|\bskip: true\b/,
    in: 'code',
    instead: "say why: t.skip('reason') or { skip: 'reason' }",
  },
  { pattern: /\b(?:FIXME|TODO|XXX)\b/, in: 'text', instead: 'do it now, or write an issue' },
  {
    pattern: /@ts-(?:ignore|nocheck)/,
    in: 'text',
    instead: 'fix the type, or use @ts-expect-error with a reason in a test',
  },
  {
    pattern: /\bas any\b|:\s*any\b|<any\b|\bany>/,
    in: 'code',
    instead: 'use unknown and narrow it, or name the type',
  },
  {
    pattern: /^\s*\/\/\s*(?:import|export)\b.*\bfrom\b/m,
    in: 'text',
    instead: 'delete the commented-out import; git remembers it',
  },
];

/** Every complaint about `files`, as `path:line: what, and what to do instead`. */
export function checkHouseRules(files: readonly SourceFile[]): string[] {
  const complaints: string[] = [];
  const complain: Complain = (file, offset, message) => {
    const line = file.text.slice(0, offset).split('\n').length;
    complaints.push(`${file.path}:${line}: ${message}`);
  };
  const viewed = files.map((file): ViewedFile => ({ ...file, ...viewSource(file.text) }));
  for (const file of viewed) {
    checkHeader(file, complain);
    checkSize(file, complain);
    checkImports(file, complain);
    checkSharedMemory(file, complain);
    checkBanned(file, complain);
    checkTimers(file, complain);
    checkEmptyCatch(file, complain);
    checkProse(file, complain);
  }
  checkOneImporterAtMost(viewed, complain);
  checkCircles(viewed, complain);
  return complaints;
}

function checkHeader(file: ViewedFile, complain: Complain): void {
  if (/^(?:#!.*\n)?\/\*\*[\s\S]*?\w/.test(file.text)) return;
  complain(
    file,
    0,
    'open the file with a header comment: what it is, then Invariants, Thread, Owns, Not chosen',
  );
}

/** A header line `Long: <reason>` excuses a file and its functions. */
function checkSize(file: ViewedFile, complain: Complain): void {
  const header = file.text.slice(0, file.text.indexOf('*/'));
  if (/^\s*\*?\s*Long:\s*\S+/m.test(header)) return;
  const lineCount = file.text.trimEnd().split('\n').length;
  if (lineCount > LINES_MAX) {
    complain(file, 0, `${lineCount} lines; split it by concept (at most ${LINES_MAX}, or say why: "Long:")`);
  }
  for (const { head, startLine, lineCount } of findFunctions(file.code)) {
    // A describe block is a chapter, not a function: its tests are measured one by one.
    if (lineCount <= FUNCTION_LINES_MAX || /^(?:describe|suite)\(/.test(head)) continue;
    const name = head.length > 60 ? `...${head.slice(-57)}` : head;
    const advice = `extract its steps (at most ${FUNCTION_LINES_MAX} lines, or say why: "Long:")`;
    complain(file, offsetOfLine(file.text, startLine), `${lineCount} lines in "${name}"; ${advice}`);
  }
}

function offsetOfLine(text: string, line: number): number {
  return text.split('\n', line - 1).join('\n').length + (line > 1 ? 1 : 0);
}

interface Import {
  readonly specifier: string;
  readonly offset: number;
}

const IMPORT =
  /(?:\bfrom\s*|\bimport\s*|\bimport\s*\(\s*|\brequire(?:\.resolve)?\s*\(\s*)(['"])(?<specifier>[^'"\n]+)\1/g;

function findImports(file: ViewedFile): Import[] {
  return [...file.noComments.matchAll(IMPORT)].map((match) => ({
    specifier: match.groups!['specifier']!,
    offset: match.index,
  }));
}

function checkImports(file: ViewedFile, complain: Complain): void {
  const layer = /^src\/(\w+)\//.exec(file.path)?.[1];
  if (layer === undefined) return;
  for (const { specifier, offset } of findImports(file)) {
    for (const { modules, allowed, instead } of SINGLE_IMPORTERS) {
      if (modules.test(specifier) && !isIn(file.path, allowed)) {
        complain(file, offset, `only ${allowed.join(' and ')} may import ${specifier}; ${instead}`);
      }
    }
    if (specifier.startsWith('.')) checkLayer(file, layer, specifier, offset, complain);
  }
  const workerPath = /['"`](?:\.\.?\/)+workers\//.exec(file.noComments);
  if (layer === 'main' && workerPath !== null && file.path !== WORKER_GATE) {
    complain(file, workerPath.index, `only ${WORKER_GATE} names the workers; send it a job`);
  }
}

function checkLayer(
  file: ViewedFile,
  layer: string,
  specifier: string,
  offset: number,
  complain: Complain,
): void {
  const target = resolveImport(file.path, specifier);
  const isLate = /^import\s*\(/.test(file.noComments.slice(offset));
  if (file.path === WORKER_GATE && isLate && target.startsWith('src/workers/')) return;
  const targetLayer = /^src\/(\w+)\//.exec(target)?.[1];
  const allowed = LAYERS[layer] ?? [];
  if (targetLayer !== undefined && allowed.includes(targetLayer)) {
    const complaint = roomComplaint(file.path, target);
    if (complaint !== undefined) complain(file, offset, complaint);
    return;
  }
  const instead =
    layer === 'main'
      ? 'send a job through worker-pool.ts'
      : `move what is needed to src/${allowed.at(-1)}, or pass it in`;
  complain(file, offset, `src/${layer} may not import ${target}; ${instead}`);
}

function checkCircles(files: readonly ViewedFile[], complain: Complain): void {
  const sources = files.filter(({ path }) => path.startsWith('src/'));
  const imports = new Map(
    sources.map((file) => [
      file.path,
      findImports(file)
        .filter(({ specifier }) => specifier.startsWith('.'))
        .map(({ specifier }) => resolveImport(file.path, specifier)),
    ]),
  );
  for (const circle of findCircles(imports)) {
    const first = sources.find(({ path }) => path === circle[0])!;
    complain(first, 0, `a circle of imports: ${circle.join(', ')}; move what they share down, or pass it in`);
  }
}

function checkSharedMemory(file: ViewedFile, complain: Complain): void {
  if (!file.path.startsWith('src/') || isIn(file.path, SHARED_MEMORY_HOMES)) return;
  const match = /\bnew SharedArrayBuffer\b|\bAtomics\./.exec(file.code);
  if (match === null) return;
  const instead = `give the layout's own file a method (${SHARED_MEMORY_HOMES.join(', ')})`;
  complain(file, match.index, `shared memory is touched only where its layout is written down; ${instead}`);
}

function checkBanned(file: ViewedFile, complain: Complain): void {
  if (RULE_FILES.includes(file.path)) return;
  for (const { pattern, in: view, instead, allowed, under = '' } of BANNED) {
    const match = pattern.exec(file[view]);
    if (match === null || isIn(file.path, allowed ?? []) || !file.path.startsWith(under)) continue;
    complain(file, match.index, `"${match[0].trim()}": ${instead}`);
  }
}

/** A timer that is not imported from the one place for them is the global one, or that of a module that tests patch. */
function checkTimers(file: ViewedFile, complain: Complain): void {
  if (!file.path.startsWith('src/') || isIn(file.path, [TIME_HOME])) return;
  const instead = `a timer of the application's tests may be false: import it from ${TIME_HOME}`;
  const module = findImports(file).find(({ specifier }) =>
    /^(?:node:)?(?:timers|perf_hooks)\b/.test(specifier),
  );
  if (module !== undefined) complain(file, module.offset, `"${module.specifier}": ${instead}`);
  const imported = /\bimport\s*\{([^}]*)\}\s*from\s*'[./\w]*\/timers\.ts'/.exec(file.noComments)?.[1] ?? '';
  for (const match of file.code.matchAll(new RegExp(`(?<![\\w$.#])(?:${TIMERS})(?![\\w$])`, 'g'))) {
    if (new RegExp(`\\b${match[0]}\\b`).test(imported)) continue;
    complain(file, match.index, `"${match[0]}": ${instead}`);
    return;
  }
}

/** A comment inside is an answer to "why may this be ignored?", so it counts as content. */
function checkEmptyCatch(file: ViewedFile, complain: Complain): void {
  for (const match of file.code.matchAll(
    /\bcatch\s*(?:\([^)]*\))?\s*\{(\s*)\}|\.catch\(\(\)\s*=>\s*\{(\s*)\}\)/g,
  )) {
    if (/\/[/*]/.test(file.text.slice(match.index, match.index + match[0].length))) continue;
    complain(file, match.index, 'empty catch: handle the error, or say in a comment why it may be ignored');
  }
}

function checkProse(file: ViewedFile, complain: Complain): void {
  if (RULE_FILES.includes(file.path)) return;
  for (const { offset, message } of checkComments(file.text, file.noComments))
    complain(file, offset, message);
}

function checkOneImporterAtMost(files: readonly ViewedFile[], complain: Complain): void {
  for (const module of ONE_IMPORTER_AT_MOST) {
    const importers = files.filter(
      (file) =>
        file.path.startsWith('src/') && findImports(file).some(({ specifier }) => specifier === module),
    );
    for (const file of importers.slice(1)) {
      complain(file, 0, `${importers[0]!.path} already imports ${module}; go through it`);
    }
  }
}

/** `homes` are paths of files, or of folders (ending in a slash). */
function isIn(path: string, homes: readonly string[]): boolean {
  return homes.some((home) => (home.endsWith('/') ? path.startsWith(home) : path === home));
}

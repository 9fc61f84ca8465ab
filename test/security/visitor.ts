/**
 * Goes through every way into the stores it is told of, one after the other, in a process of its own: so that a hang, a
 * crash or a process that grows is seen from outside.
 *
 *   node visitor.js [look | read | all] directory...
 *   prints a line of JSON per directory (Visit), after it is through with it
 *
 *   look    open read-only, look at everything
 *   read    besides: repair --dry-run
 *   all     besides: open and write, flush, compact; repair; open again; destroy
 */
import { readFileSync, writeSync } from 'node:fs';
import { type EngineOptions, StorageEngine, StorageError } from '../../src/main/index.ts';

export interface Visit {
  readonly directory: string;
  /** What came of each step: 'ok' or the code of its error. */
  readonly steps: Readonly<Record<string, string>>;
  /** Messages of the errors. */
  readonly messages: readonly string[];
  /** The most memory that the process has had so far. */
  readonly maxRssBytes: number;
}

const OPTIONS: EngineOptions = { threads: 0, writeBufferSize: 65_536, cacheSize: 1 << 20, mmap: false };

class Visitor {
  readonly steps: Record<string, string> = {};
  readonly messages: string[] = [];

  async step(name: string, run: () => unknown): Promise<boolean> {
    try {
      await run();
      this.steps[name] = 'ok';
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.steps[name] = error.code;
      this.messages.push(error.message);
      return false;
    }
  }

  async look(name: string, engine: StorageEngine): Promise<void> {
    await this.step(`${name} get`, () => engine.get('key-000001'));
    await this.step(`${name} scan`, () => count(engine.scan()));
    await this.step(`${name} reverse`, () => count(engine.scan({ reverse: true })));
    await this.step(`${name} verify`, () => engine.verify());
  }

  async open(
    name: string,
    path: string,
    options: EngineOptions,
    use: (engine: StorageEngine) => Promise<void>,
  ) {
    let engine: StorageEngine | undefined;
    await this.step(`${name} open`, async () => {
      engine = await StorageEngine.open(path, { ...OPTIONS, ...options });
    });
    if (engine === undefined) return;
    const opened = engine;
    await use(opened);
    await this.step(`${name} close`, () => opened.close());
  }
}

function count(scan: Iterable<unknown>): number {
  let entries = 0;
  for (const _ of scan) entries++;
  return entries;
}

/** Linux counts what the parent had at the fork into resourceUsage(). */
function maxRssBytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/VmHWM:\s*(\d+) kB/.exec(status)![1]) * 1024;
}

async function visit(path: string, mode: string): Promise<Visit> {
  const visitor = new Visitor();
  await visitor.open('read-only', path, { readOnly: true }, (engine) => visitor.look('read-only', engine));
  if (mode !== 'look') await visitor.step('dry-run', () => StorageEngine.repair(path, { dryRun: true }));
  if (mode === 'all') {
    await visitor.open('first', path, {}, async (engine) => {
      await visitor.step('first put', () => engine.put('visitor', 'was here'));
      await visitor.step('first flush', () => engine.flush());
      await visitor.step('first compact', () => engine.compact());
    });
    await visitor.step('repair', () => StorageEngine.repair(path));
    await visitor.open('second', path, {}, (engine) => visitor.look('second', engine));
    await visitor.step('destroy', () => StorageEngine.destroy(path));
  }
  const { steps, messages } = visitor;
  return { directory: path, steps, messages, maxRssBytes: maxRssBytes() };
}

const [mode = '', ...directories] = process.argv.slice(2);
for (const directory of directories) writeSync(1, `${JSON.stringify(await visit(directory, mode))}\n`);

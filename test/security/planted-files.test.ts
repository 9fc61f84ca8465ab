/**
 * Something else in the place of each file of a store: a link, a FIFO, a device, a socket, a directory, a hard link. No
 * way into the store hangs or crashes, and nothing outside the directory is read into it, changed or deleted.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { copyTo, pagedStore, portrait, soundStore, visitAll } from './hostile-stores.ts';
import type { Visit } from './visitor.ts';

const needsUnix = { skip: process.platform === 'win32' && 'needs FIFOs and links' };

/** Puts something at `path`, where a file of the store was; `outside` is a folder of somebody else's. */
type Plant = (path: string, outside: string) => void | Promise<void>;

const PLANTS: Readonly<Record<string, Plant>> = {
  'link to a file outside': (path, outside) => symlinkSync(join(outside, 'precious'), path),
  // What is behind it is the very file, so that only the link itself can be the reason to refuse it.
  'link to the file, moved outside': (path, outside) => {
    const moved = join(outside, 'moved');
    if (existsSync(`${path}.was`)) renameSync(`${path}.was`, moved);
    symlinkSync(moved, path);
  },
  'link to nowhere': (path, outside) => symlinkSync(join(outside, 'nothing'), path),
  'link to itself': (path) => symlinkSync(path, path),
  'link to endless zeros': (path) => symlinkSync('/dev/zero', path),
  'link to a directory': (path, outside) => symlinkSync(outside, path),
  FIFO: (path) => {
    execFileSync('mkfifo', [path]);
  },
  directory: (path) => {
    mkdirSync(path);
    writeFileSync(join(path, 'precious'), 'inside a directory');
  },
  socket: async (path) => {
    const server = createServer();
    // A relative path, as the names of sockets are short; closing the server would remove it.
    await new Promise<void>((resolve) => server.listen(path, resolve));
    server.unref();
  },
};

type PagedStore = Awaited<ReturnType<typeof pagedStore>>;

/** Which file is replaced, and by what name it goes in a given store. */
const PLACES: Readonly<Record<string, (store: PagedStore) => string>> = {
  'manifest.json': () => 'manifest.json',
  'manifest.json.tmp': () => 'manifest.json.tmp',
  LOCK: () => 'LOCK',
  'a live table': (store) => store.table,
  'a live log': (store) => store.log,
  'a page of the manifest': (store) => store.page,
  'the first name of a page of the manifest': (store) => `${store.page}.new`,
  'an orphaned page': () => '000900.tables',
  'an orphaned new page': () => '000901.tables.new',
  'an orphaned table': () => '000900.sst',
  'an orphaned log': () => '000000.log',
  'a file set aside': () => '000001.sst.set-aside',
};
/** Without these there is no store that could be opened. */
const NEEDED: readonly string[] = ['manifest.json', 'a live table', 'a live log', 'a page of the manifest'];

/** Of the files that every opening needs each kind has a quarter, of the others a fifth; `npm run prove` has all. */
function placesFor(kind: string): string[] {
  const kindNumber = Object.keys(PLANTS).indexOf(kind);
  const isFull = process.env['STRATA_SWEEP'] === 'full';
  return Object.keys(PLACES).filter(
    (place, i) => isFull || (i + kindNumber) % (NEEDED.includes(place) ? 4 : 5) === 0,
  );
}

interface Planted {
  readonly what: string;
  readonly place: string;
  /** Of the file that was replaced. */
  readonly path: string;
  readonly store: PagedStore;
  readonly outside: string;
}

async function plant(t: TestContext, sound: PagedStore, place: string, kind: string): Promise<Planted> {
  const folder = temporaryDirectory(t);
  const store = { ...sound, path: join(folder, 'db') };
  const outside = join(folder, 'outside');
  copyTo(sound, store.path);
  mkdirSync(outside);
  writeFileSync(join(outside, 'precious'), 'precious');
  writeFileSync(join(outside, '000001.sst'), 'a table of another store');
  const path = join(store.path, PLACES[place]!(store));
  if (existsSync(path)) renameSync(path, `${path}.was`);
  await PLANTS[kind]!(path, outside);
  rmSync(`${path}.was`, { force: true });
  return { what: `${kind} in place of ${place}`, place, path, store, outside };
}

function check({ what, place, path, outside }: Planted, before: readonly string[], visit: Visit): void {
  const { steps, messages } = visit;
  const story = `${what}: ${JSON.stringify(steps)}`;
  assert.equal(portrait(outside), before[0], `outside, after ${story}`);
  // Repair may set it aside by renaming; nothing may delete it or write into it.
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined && !lstatSync(path).isFile())
    assert.equal(portrait(path), before[1], story);
  const isRefused = /STRATA_(?:IO|CORRUPTION)/.test(
    `${steps['read-only open']} ${steps['read-only verify']}`,
  );
  assert.equal(isRefused, NEEDED.includes(place), story);
  assert.doesNotMatch(messages.join('\n'), /precious|a table of another store/, 'content in a message');
}

test(
  'something else in place of a file: refused or passed over, not touched, not waited for',
  needsUnix,
  async (t) => {
    const sound = await pagedStore(t);
    const kinds = Object.keys(PLANTS).map((kind) => ({ kind, places: placesFor(kind) }));
    const planted: Planted[] = [];
    for (const { kind, places } of kinds)
      for (const place of places) planted.push(await plant(t, sound, place, kind));
    const before = planted.map(({ outside, path }) => [portrait(outside), portrait(path)]);
    // One visitor for all: to start one takes longer than a visit. It says at which store it hangs.
    const visits = visitAll(
      planted.map(({ store }) => store.path),
      'all',
    );
    let i = 0;
    for (const { kind, places } of kinds)
      await t.test(kind, () => {
        for (const _ of places) {
          check(planted[i]!, before[i]!, visits[i]!);
          i++;
        }
      });
    t.diagnostic(`FIGURE planted-files=${planted.length} escapes=0 hangs=0`);
  },
);

test(
  'a hard link in place of LOCK is not written through, one in place of a table is not written to',
  needsUnix,
  async (t) => {
    const store = await soundStore(t);
    const folder = temporaryDirectory(t);
    const table = join(folder, 'table');
    const victim = join(folder, 'victim');
    writeFileSync(victim, '');
    rmSync(join(store.path, 'LOCK'));
    linkSync(victim, join(store.path, 'LOCK'));
    linkSync(join(store.path, store.table), table);
    const before = [portrait(victim), portrait(table)];
    const [visit] = visitAll([store.path], 'all');
    assert.equal(visit!.steps['second verify'], 'ok', JSON.stringify(visit));
    assert.deepEqual([portrait(victim), portrait(table)], before);
  },
);

test('foreign files and folders in a store outlive opening, compaction, repair and destruction', async (t) => {
  const store = await soundStore(t);
  const foreign = [
    'notes.txt',
    '.hidden',
    'manifest.json.bak',
    'manifest.json~',
    'MANIFEST.JSON',
    'lock',
    'LOCK.old',
    '1.sst',
    '0000012.sst',
    '00000000000000000012.sst',
    '000012.SST',
    '000012.sst.tmp',
    '000012.sst.set-aside-1',
    '000012.ldb',
    '12345.log',
    'x000012.log',
    '000012.log ',
    '000012.log\n',
    '-00012.log',
    '+00012.log',
    '0x0012.log',
    '1e0012.log',
    '００００12.log',
    '9007199254740993.sst',
    '%2e%2e',
    '...',
    '__proto__',
    'constructor',
    'CON',
    'x'.repeat(255),
  ].filter((name) => process.platform === 'linux' || /^[\w.~-]{1,99}$/.test(name));
  for (const name of foreign) writeFileSync(join(store.path, name), `of somebody else: ${name}`);
  mkdirSync(join(store.path, 'folder', '000077.sst'), { recursive: true });
  writeFileSync(join(store.path, 'folder', '000078.sst'), 'deeper');
  const [visit] = visitAll([store.path], 'all');
  assert.ok(
    Object.values(visit!.steps).every((outcome) => outcome === 'ok'),
    JSON.stringify(visit),
  );
  for (const name of foreign)
    assert.equal(readFileSync(join(store.path, name), 'utf8'), `of somebody else: ${name}`);
  assert.equal(readFileSync(join(store.path, 'folder', '000078.sst'), 'utf8'), 'deeper');
  assert.deepEqual(
    visitAll([store.path], 'read').map(({ steps }) => steps['read-only open']),
    ['STRATA_NO_DATABASE'],
    'nothing of the store is left',
  );
  t.diagnostic(`FIGURE foreign-files=${foreign.length + 1} touched=0`);
});

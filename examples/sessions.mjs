/**
 * Sessions that end by themselves: created with `ttl`, kept alive by being used, gone at their moment, to the millisecond, for
 * every read. Nobody sweeps: what has expired leaves memory and disk by itself.
 *
 *   session:USER:TOKEN    what the session holds, JSON
 *
 * The token alone is what a browser has, so USER stands in it: `alice.8d3f...`. All sessions of a user are one prefix.
 *
 * node examples/sessions.mjs [DIRECTORY]     by default a new directory among the temporary files, which is deleted at the end
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StorageEngine } from 'stratakv';

class Sessions {
  constructor(engine, ttl) {
    this.engine = engine;
    this.ttl = ttl;
  }

  /** Returns the token. */
  async create(user, data = {}) {
    const token = `${user}.${randomBytes(16).toString('hex')}`;
    await this.engine.put(keyOf(token), JSON.stringify(data), { ttl: this.ttl });
    return token;
  }

  /** Undefined: no such session, or it has ended. */
  async read(token) {
    const value = await this.engine.get(keyOf(token));
    return value && JSON.parse(value.toString());
  }

  /**
   * Starts its time again and changes what it holds. Undefined when it has ended: `update` reads and writes in one step, so a
   * session that ends in between does not come back to life.
   */
  async touch(token, change = (data) => data) {
    const renew = (value) => value && JSON.stringify(change(JSON.parse(value.toString())));
    const value = await this.engine.update(keyOf(token), renew, { ttl: this.ttl });
    return value && JSON.parse(value.toString());
  }

  async end(token) {
    await this.engine.delete(keyOf(token));
  }

  /** Ends all sessions of a user, in one record. */
  async endAll(user) {
    await this.engine.deleteRange({ prefix: `session:${user}:` });
  }

  /** How long it still lasts, in milliseconds; undefined: it has ended. */
  async remaining(token) {
    const moment = await this.engine.expiresAt(keyOf(token));
    return moment && Math.max(0, moment - Date.now());
  }

  async count(user) {
    let count = 0;
    for await (const _ of this.engine.scan({ prefix: `session:${user}:`, values: false })) count++;
    return count;
  }
}

function keyOf(token) {
  const at = token.lastIndexOf('.');
  return `session:${token.slice(0, at)}:${token.slice(at + 1)}`;
}

async function run(directory) {
  let engine = await StorageEngine.open(directory);
  try {
    let sessions = new Sessions(engine, 60_000);
    const short = new Sessions(engine, 400);
    const browser = await sessions.create('alice', { views: 0 });
    const phone = await short.create('alice', { views: 0 });
    await sessions.create('bob');
    console.log(`alice has ${await sessions.count('alice')} sessions`);

    await sessions.touch(browser, (data) => ({ views: data.views + 1 }));
    await sessions.touch(browser, (data) => ({ views: data.views + 1 }));
    const { views } = await sessions.read(browser);
    const minute = await sessions.remaining(browser);
    console.log(`the browser saw ${views} pages; a minute is left: ${minute > 30_000 && minute <= 60_000}`);

    while ((await short.read(phone)) !== undefined) await sleep(20);
    console.log(
      `the phone's session has ended; a touch brings it back: ${(await short.touch(phone)) !== undefined}`,
    );
    console.log(`alice has ${await sessions.count('alice')} session`);

    // The moment is in the store: a restart neither ends a session nor prolongs it.
    const before = await engine.expiresAt(keyOf(browser));
    await engine.close();
    engine = await StorageEngine.open(directory);
    sessions = new Sessions(engine, 60_000);
    console.log(
      `after a restart it ends at the same moment: ${(await engine.expiresAt(keyOf(browser))) === before}`,
    );

    await sessions.endAll('alice');
    console.log(`alice has ${await sessions.count('alice')} sessions, bob ${await sessions.count('bob')}`);
  } finally {
    await engine.close();
  }
}

const given = process.argv[2];
const directory = given ?? (await mkdtemp(join(tmpdir(), 'stratakv-sessions-')));
try {
  await run(directory);
} finally {
  if (given === undefined) await rm(directory, { recursive: true });
}

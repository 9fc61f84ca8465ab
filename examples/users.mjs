/**
 * An HTTP service of users whose e-mail addresses are unique, with pages by cursor, that shuts down gracefully.
 *
 *   user:ID         a user, JSON
 *   email:EMAIL     its ID: the index that keeps addresses unique
 *
 * Both keys change in one transaction, so they never disagree; of two requests that take the same address at once, one gets 409.
 *   POST /users {email, name}   201, or 409: the address is taken       GET /users?limit=N&after=ID   a page, and where it ends
 *   PUT /users/ID {email}       200, 404, 409                           GET /users/by-email/EMAIL     200, 404
 *   DELETE /users/ID            204, 404
 *
 * node examples/users.mjs             makes some requests of its own, in a directory among the temporary files, and ends
 * node examples/users.mjs DIRECTORY   serves, on PORT, until SIGINT or SIGTERM
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageEngine } from 'stratakv';

const parse = (value) => value && JSON.parse(value.toString());
const problem = (status, error) => ({ status, body: { error } });
const NOT_FOUND = problem(404, 'no such user');
const TAKEN = problem(409, 'this address is taken');

async function create(engine, { email, name }) {
  if (typeof email !== 'string' || typeof name !== 'string') return problem(400, 'email and name, please');
  // Counted outside of the transaction, so that new users don't conflict with each other; a number may stay unused.
  const count = await engine.update('count', (value) => String(Number(value ?? 0) + 1));
  const user = { id: count.toString().padStart(9, '0'), email, name };
  return await engine.transaction(async (tx) => {
    if (await tx.has(`email:${email}`)) return TAKEN;
    tx.put(`email:${email}`, user.id);
    tx.put(`user:${user.id}`, JSON.stringify(user));
    return { status: 201, body: user };
  });
}

async function move(engine, id, { email }) {
  if (typeof email !== 'string') return problem(400, 'email, please');
  return await engine.transaction(async (tx) => {
    const user = parse(await tx.get(`user:${id}`));
    if (user === undefined) return NOT_FOUND;
    const owner = await tx.get(`email:${email}`);
    if (owner !== undefined && owner.toString() !== id) return TAKEN;
    tx.delete(`email:${user.email}`);
    tx.put(`email:${email}`, id);
    tx.put(`user:${id}`, JSON.stringify({ ...user, email }));
    return { status: 200, body: { ...user, email } };
  });
}

async function remove(engine, id) {
  return await engine.transaction(async (tx) => {
    const user = parse(await tx.get(`user:${id}`));
    if (user === undefined) return NOT_FOUND;
    tx.delete(`email:${user.email}`);
    tx.delete(`user:${id}`);
    return { status: 204 };
  });
}

/** A cursor is the last id of a page: the next begins behind it, whatever came or went. ';' is the sign behind ':'. */
async function list(engine, query) {
  const limit = Math.min(Number(query.get('limit') ?? 20), 100);
  if (!Number.isInteger(limit) || limit < 1) return problem(400, 'limit is a number from 1 up');
  const users = [];
  for await (const [, value] of engine.scan({ gt: `user:${query.get('after') ?? ''}`, lt: 'user;', limit }))
    users.push(parse(value));
  return { status: 200, body: { users, after: users.length === limit ? users.at(-1).id : undefined } };
}

/** Reads both keys of one moment. A transaction that writes nothing never conflicts. */
async function byEmail(engine, email) {
  return await engine.transaction(async (tx) => {
    const id = await tx.get(`email:${email}`);
    return id === undefined ? NOT_FOUND : { status: 200, body: parse(await tx.get(`user:${id}`)) };
  });
}

async function answer(engine, request) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const [, collection, first, second] = pathname.split('/').map(decodeURIComponent);
  if (collection !== 'users') return problem(404, 'no such thing');
  if (request.method === 'GET' && first === undefined) return await list(engine, searchParams);
  if (request.method === 'GET' && first === 'by-email') return await byEmail(engine, second);
  if (request.method === 'DELETE') return await remove(engine, first);
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.method === 'POST') return await create(engine, parse(Buffer.concat(chunks)));
  if (request.method === 'PUT') return await move(engine, first, parse(Buffer.concat(chunks)));
  return problem(405, 'not allowed');
}

/** `close` lets requests that have begun end, then closes the store. */
async function serve(directory, port) {
  const engine = await StorageEngine.open(directory);
  const server = createServer(async (request, response) => {
    const { status, body } = await answer(engine, request).catch((error) =>
      error.name === 'SyntaxError' ? problem(400, 'no JSON') : problem(500, error.code ?? 'failed'),
    );
    response.writeHead(status, { 'content-type': 'application/json' }).end(body && JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(port, resolve));
  const close = async () => {
    await new Promise((resolve) => server.close(resolve));
    await engine.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/users`, close };
}

async function demonstrate(url) {
  const send = (path, method, body) => fetch(url + path, { method, body: body && JSON.stringify(body) });
  const some = Array.from({ length: 60 }, (_, i) => ({
    email: `user${i % 20}@example.org`,
    name: `User ${i}`,
  }));
  const statuses = await Promise.all(some.map(async (user) => (await send('', 'POST', user)).status));
  const count = (status) => statuses.filter((one) => one === status).length;
  console.log(`60 sign-ups with 20 addresses: ${count(201)} created, ${count(409)} refused`);
  const ids = [];
  for (let after = ''; after !== undefined; ) {
    const page = await (await send(`?limit=8&after=${after}`, 'GET')).json();
    ids.push(...page.users.map(({ id }) => id));
    after = page.after;
  }
  console.log(`${ids.length} users in pages of 8`);
  const { id } = await (await send('/by-email/user3@example.org', 'GET')).json();
  console.log(
    `to an address that is taken: ${(await send(`/${id}`, 'PUT', { email: 'user4@example.org' })).status}`,
  );
  console.log(`to a new address: ${(await send(`/${id}`, 'PUT', { email: 'new@example.org' })).status}`);
  console.log(`found by the old one: ${(await send('/by-email/user3@example.org', 'GET')).status}`);
  console.log(`deleted: ${(await send(`/${id}`, 'DELETE')).status}`);
}

const given = process.argv[2];
const directory = given ?? (await mkdtemp(join(tmpdir(), 'stratakv-users-')));
const { url, close } = await serve(directory, given === undefined ? 0 : Number(process.env.PORT ?? 8080));
if (given === undefined) {
  try {
    await demonstrate(url).finally(close);
  } finally {
    await rm(directory, { recursive: true });
  }
} else {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, close);
  console.log(`serving ${url}`);
}

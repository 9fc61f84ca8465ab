import { readdirSync, rmSync } from 'node:fs';
import * as b from './dist/src/backup/index.js';
import { StorageEngine } from './dist/src/main/index.js';

rmSync('/tmp/arch1', { recursive: true, force: true });
const e = await StorageEngine.open('/tmp/arch1/db');
await e.put('a', '1');
const t = b.directoryTarget('/tmp/arch1/t');
await b.backup(e, t);
const log = b.archive(e, t, { intervalMs: 20 });
log.on('error', (x) => console.log('ERR', x));
log.on('shipped', (x) => console.log(x));
await e.put('a', '2');
const p = e.position;
await log.close();
console.log(log.status, readdirSync('/tmp/arch1/t', { recursive: true }));
await e.close();
console.log(await b.restore(t, '/tmp/arch1/r', { position: p }).catch((x) => x));

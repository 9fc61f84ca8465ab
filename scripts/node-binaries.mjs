/**
 * Binaries of Node out of npm packages: other versions, another processor, another C library.
 *
 * Everything is unpacked into a folder that the caller gives, by `npm pack`, which runs no install script.
 *
 * Invariants: what cannot be had is an Error that says which command said so; nothing outside of the folder is changed.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The binary of the newest Node of this major version in `folder`: x64 or arm64, Linux. */
export function nodeOf(folder, major, processor = process.arch) {
  return join(unpack(folder, `node-linux-${processor}@${major}`), 'bin', 'node');
}

/** The npm that belongs to this process, as arguments for its Node; for child processes that start npm. */
export function npmCli() {
  const given = process.env.npm_execpath ?? '';
  if (/npm-cli\.c?js$/.test(given)) return given;
  return realpathSync(run('sh', ['-c', 'command -v npm']).trim());
}

/** Fetches a package and returns the folder with its files. */
function unpack(folder, name) {
  const home = join(folder, name.replaceAll(/[^a-z0-9.]/gi, '-'));
  mkdirSync(home, { recursive: true });
  const args = [npmCli(), 'pack', name, '--loglevel=error', '--pack-destination', home];
  const archive = run(process.execPath, args).trim().split('\n').at(-1);
  run('tar', ['-xzf', join(home, archive), '-C', home]);
  return join(home, 'package');
}

const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:';
/** Of Debian's; a loader of musl's takes these for its own libc and libm. */
const LIBRARIES = ['libstdc++.so.6', 'libgcc_s.so.1'];

/**
 * A Node built for musl, with the environment that it needs. There is no package of one. pnpm's executable for musl is one, with
 * a program in it and a mark that says so; with the mark taken back it is Node. It wants a libstdc++ for musl, which neither npm
 * nor Debian has: Debian's own does, with the few functions of glibc that it calls added (scripts/musl-shim.c).
 */
export function muslNode(folder) {
  const binary = readFileSync(join(unpack(folder, '@pnpm/linuxstatic-x64@11'), 'pnpm'));
  const mark = binary.indexOf(`${FUSE}1`);
  if (mark < 0) throw new Error('@pnpm/linuxstatic-x64 is no Node with a program in it any more');
  binary.write('0', mark + FUSE.length);
  const home = join(folder, 'musl');
  mkdirSync(home, { recursive: true });
  const node = join(home, 'node');
  writeFileSync(`${node}.new`, binary, { mode: 0o755 });
  renameSync(`${node}.new`, node);
  for (const name of LIBRARIES) {
    const path = run('gcc', [`-print-file-name=${name}`]).trim();
    copyFileSync(path, join(home, name));
  }
  const shim = join(dirname(fileURLToPath(import.meta.url)), 'musl-shim.c');
  // Under this name libstdc++ asks for it.
  const name = 'ld-linux-x86-64.so.2';
  const options = ['-shared', '-fPIC', '-O1', '-fno-builtin', '-nostdlib', `-Wl,-soname,${name}`];
  run('gcc', [...options, '-o', join(home, name), shim]);
  return { node, env: { LD_LIBRARY_PATH: home } };
}

/** What a command prints; it has to end well. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) {
    const lines = `${result.stderr}${result.stdout}`.trim().split('\n');
    // npm's last line is where its log is.
    const said = lines
      .filter((line) => !/complete log of this run/.test(line))
      .slice(-3)
      .join(' ');
    throw new Error(`${[command, ...args].join(' ')}: ${said || (result.signal ?? result.status)}`);
  }
  return result.stdout;
}

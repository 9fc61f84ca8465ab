/**
 * The declarations that the package ships, from those that tsc wrote for each file: dist/lib/types.d.cts has whatever an entry
 * exports and what that names, each entry has a list of its names, for ES modules and for CommonJS.
 *
 * One set for both: in a program where one file imports the package and another requires it, a StorageEngine of one is a
 * StorageEngine of the other, in the types as when it runs. A file of CommonJS can be imported by both kinds of modules, the
 * other way round it takes TypeScript 5.3 and a cast.
 *
 *   1. split every file into its statements, comments and strings aside
 *   2. follow the names: from the entries' exports, through imports and re-exports, to declarations; and from what those name
 *   3. write them down, older forms where TypeScript 5.0 does not know the newer: typed arrays without their buffer's type,
 *      iterators without that of their end; those of an entry that needs an optional package in a file of its own
 *
 * Invariants: two declarations of one name end the build, as does a statement that is not understood.
 * Not chosen: the packages that roll declarations up. They need TypeScript's own parser, which version 7 does
 *             not offer, or a newer Node than the build. What tsc writes is regular.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { ENTRIES, nameOf, WITH_PEER } from './entries.mjs';

const DECLARATION =
  /^(export )?(default )?(?:declare )?(?:abstract )?(?:class|interface|type|function|const|let|enum|namespace) (\w+)/;
const NAMES = /^(?:import|export)(?: type)? \{([^}]*)\}(?: from ['"]([^'"]+)['"])?;$/;
const WHOLE = /^(?:import)(?: type)? \* as (\w+) from ['"]([^'"]+)['"];$/;
const GENERIC_BUFFERS =
  /\b(Buffer|DataView|(?:Uint8|Int32|Uint32|Float64|BigInt64|BigUint64)Array)<ArrayBuffer(?:Like)?>/g;

/** The type of what an iterator returns at its end, which it takes from version 5.6 on. */
const ITERATORS = /\b((?:Async)?Iterable(?:Iterator)?<\w+), undefined>/g;

/** Writes dist/lib/*.d.ts and *.d.cts. */
export function writeDeclarations(dist) {
  const files = new Map();
  const fileAt = (path) => {
    if (!files.has(path)) files.set(path, readDeclarations(path));
    return files.get(path);
  };
  const lib = join(dist, 'lib');
  const kept = new Keeper(fileAt);
  const lists = new Map();
  for (const [subpath, module] of Object.entries(ENTRIES)) {
    const path = join(dist, 'src', `${module}.d.ts`);
    const list = [...fileAt(path).exports.keys()].map((name) => {
      const found = kept.keep(path, name);
      return found === name ? name : `${found} as ${name}`;
    });
    lists.set(subpath, list);
  }
  const placeOf = (file) => relative(join(dist, 'src'), file);
  const homes = new Map(
    Object.entries(WITH_PEER).map(([subpath, folder]) => [folder, `types-${nameOf(subpath)}`]),
  );
  const homeOf = (file) => homes.get(placeOf(file).split(sep)[0]) ?? 'types';
  for (const [subpath, list] of lists) {
    const text = ['types', ...homes.values()]
      .map((home) => [
        home,
        list.filter((item) => homeOf(kept.pathOf(item.split(' as ')[0])) === home).sort(),
      ])
      .filter(([, items]) => items.length > 0)
      .map(([home, items]) => `export { ${items.join(', ')} } from './${home}.cjs';\n`)
      .join('');
    for (const extension of ['.d.ts', '.d.cts']) writeFileSync(join(lib, nameOf(subpath) + extension), text);
  }
  for (const home of ['types', ...homes.values()])
    writeFileSync(join(lib, `${home}.d.cts`), kept.text(placeOf, homeOf, home));
}

/** The declarations that are wanted, each once. */
class Keeper {
  #fileAt;
  /** Name -> { path, text }. */
  #kept = new Map();
  /** Package -> names imported from it, as they are written in an import. */
  #packages = new Map();

  constructor(fileAt) {
    this.#fileAt = fileAt;
  }

  /** Keeps what `name` means to those who import the file, and gives its name here. */
  keep(path, name) {
    const local = this.#fileAt(path).exports.get(name);
    if (local === undefined) throw new Error(`${path} does not export ${name}`);
    if (local.from !== undefined) return this.#follow(path, local);
    return this.#keepLocal(path, local.name);
  }

  #follow(path, { from, name }) {
    if (from.startsWith('.')) return this.keep(sourceOf(path, from), name);
    const names = this.#packages.get(from) ?? new Set();
    this.#packages.set(from, names.add(name));
    return name;
  }

  #keepLocal(path, name) {
    const { declarations, imports } = this.#fileAt(path);
    const imported = imports.get(name);
    if (imported !== undefined) return this.#follow(path, imported);
    const declared = declarations.get(name);
    const known = this.#kept.get(name);
    if (known !== undefined) {
      if (known.path !== path)
        throw new Error(`${name} is declared in ${path} and in ${known.path}; rename one`);
      return name;
    }
    const kept = { path, statements: declared.map(({ text }) => text) };
    this.#kept.set(name, kept);
    for (const { names } of declared) {
      for (const used of names) {
        if (used === name || (!declarations.has(used) && !imports.has(used))) continue;
        const found = this.#keepLocal(path, used);
        if (found !== used) kept.statements = kept.statements.map((text) => renamed(text, used, found));
      }
    }
    return name;
  }

  /** Where a name that is kept was declared; of a package's: nowhere. */
  pathOf(name) {
    return this.#kept.get(name)?.path ?? '';
  }

  /** The file of the declarations whose home it is; what they name of the others, and of packages, is imported. */
  text(shown, homeOf, home) {
    const own = [...this.#kept.values()].filter(({ path }) => homeOf(path) === home);
    const used = new Set(own.flatMap(({ statements }) => statements.join('\n').match(/[A-Za-z_$][\w$]*/g)));
    const sources = new Map([...this.#packages].map(([from, names]) => [from, [...names]]));
    for (const [name, { path }] of this.#kept)
      if (homeOf(path) !== home) {
        const from = `./${homeOf(path)}.cjs`;
        sources.set(from, [...(sources.get(from) ?? []), name]);
      }
    const imports = [...sources]
      .map(([from, names]) => [from, names.filter((name) => used.has(name.split(' as ').at(-1))).sort()])
      .filter(([, names]) => names.length > 0)
      .map(([from, names]) => `import type { ${names.join(', ')} } from '${from}';\n`);
    const bodies = own.map(({ path, statements }) => `// ${shown(path)}\n${statements.join('\n')}\n`);
    const all = `/// <reference types="node" />\n${imports.sort().join('')}\n${bodies.join('\n')}`;
    return `${all.replace(GENERIC_BUFFERS, '$1').replace(ITERATORS, '$1>')}export {};\n`;
  }
}

function renamed(text, from, to) {
  return text.replace(new RegExp(`(?<![.\\w$])${from}(?![\\w$])`, 'g'), to);
}

function sourceOf(path, specifier) {
  return resolve(dirname(path), specifier.replace(/\.[jt]s$/, '.d.ts'));
}

/** The statements of a file by what they are: declarations by name, imports and exports by the name they give. */
function readDeclarations(path) {
  const declarations = new Map();
  const imports = new Map();
  const exports = new Map();
  for (const { text, code } of splitStatements(readFileSync(path, 'utf8'))) {
    const list = NAMES.exec(text.slice(text.length - code.length));
    const whole = WHOLE.exec(text.slice(text.length - code.length));
    const declared = DECLARATION.exec(code);
    if (list !== null) {
      const target = code.startsWith('import') ? imports : exports;
      for (const { name, as } of namesIn(list[1])) target.set(as, { name, from: list[2] });
    } else if (whole !== null) {
      throw new Error(`${path}: ${text} is not understood here`);
    } else if (declared !== null) {
      const [, isExported, isDefault, name] = declared;
      const names = new Set(code.match(/(?<![.\w$])[A-Za-z_$][\w$]*/g));
      const plain = text.replace(
        /^(export )?(default )?(?=(?:declare|abstract|interface|type|class) ?)/m,
        'export ',
      );
      declarations.set(name, [...(declarations.get(name) ?? []), { text: plain, names }]);
      if (isExported !== undefined) exports.set(isDefault === undefined ? name : 'default', { name });
    } else if (/^export default (\w+);$/.test(code)) {
      exports.set('default', { name: /(\w+);$/.exec(code)[1] });
    } else if (code !== 'export {};') {
      throw new Error(`${path}: this statement is not understood: ${text}`);
    }
  }
  // A list without `from` names what is declared or imported here.
  for (const [as, { name, from }] of exports)
    if (from === undefined && imports.has(name)) exports.set(as, imports.get(name));
  return { declarations, imports, exports };
}

function namesIn(list) {
  return list
    .split(',')
    .map((item) => item.trim().replace(/^type /, ''))
    .filter((item) => item !== '')
    .map((item) => {
      const [name, as = name] = item.split(' as ');
      return { name, as };
    });
}

/** The statements of a file, each with the comment right before it; in `code` comments and strings are blank. */
function splitStatements(source) {
  const blank = source.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g,
    (match) => match.replace(/[^\n]/g, ' '),
  );
  const statements = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < blank.length; i++) {
    const c = blank[i];
    if (c === '{' || c === '(' || c === '[') depth++;
    else if (c === '}' || c === ')' || c === ']') depth--;
    if (depth > 0) continue;
    const isEnd =
      c === ';' ||
      (c === '}' && /^\s*(?:\n|$)/.test(blank.slice(i + 1, i + 3)) && !isTypeAlias(blank, start));
    if (!isEnd) continue;
    const code = blank.slice(start, i + 1).trimStart();
    const comment = /\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*$/.exec(source.slice(start, i + 1 - code.length));
    const text = `${comment === null ? '' : `${comment[0].trim()}\n`}${source.slice(i + 1 - code.length, i + 1)}`;
    statements.push({ text, code });
    start = i + 1;
  }
  const rest = blank.slice(start).trim();
  if (rest !== '') throw new Error(`this is no statement: ${rest}`);
  return statements;
}

/** Ends with a semicolon, whatever braces are in it. */
function isTypeAlias(blank, start) {
  return !/^(?:export )?(?:default )?(?:declare )?(?:abstract )?(?:class|interface|enum|namespace|function)\b/.test(
    blank.slice(start).trimStart(),
  );
}

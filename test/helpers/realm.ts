/**
 * Loads modules in a context of their own, as jest and vitest's vm pools do: their Error, Uint8Array, Map and Promise are others
 * than those of Node's own modules. Needs `--experimental-vm-modules`.
 *
 *   ES modules       vm.SourceTextModule, linked by the context's own registry
 *   CommonJS         a function of the context, with a require() of its own
 *   node:*, .node    the real ones: that is the point
 */
import { readFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import vm from 'node:vm';

/** What Node adds to the language, which these runners hand on. */
const NODE_GLOBALS = [
  'AbortController',
  'AbortSignal',
  'Buffer',
  'DOMException',
  'Event',
  'EventTarget',
  'MessageChannel',
  'MessageEvent',
  'MessagePort',
  'TextDecoder',
  'TextEncoder',
  'URL',
  'clearImmediate',
  'clearInterval',
  'clearTimeout',
  'performance',
  'queueMicrotask',
  'setImmediate',
  'setInterval',
  'setTimeout',
  'structuredClone',
] as const;

type Namespace = Record<string, unknown>;

export class Realm {
  readonly context: vm.Context;
  readonly #modules = new Map<string, Promise<vm.Module>>();
  readonly #commonJs = new Map<string, { exports: unknown }>();

  constructor() {
    const globals: Namespace = { process: Object.create(process) as unknown };
    for (const name of NODE_GLOBALS) globals[name] = Reflect.get(globalThis, name);
    this.context = vm.createContext(globals);
    globals['globalThis'] = vm.runInContext('globalThis', this.context);
  }

  /** The namespace of the module at `url`. */
  async import(url: string): Promise<Namespace> {
    const module = await this.#evaluated(await this.#load(url));
    return module.namespace as Namespace;
  }

  /** Evaluates `source` as a module of this realm. */
  async run(source: string, url: string): Promise<Namespace> {
    const module = await this.#evaluated(this.#compile(source, url));
    return module.namespace as Namespace;
  }

  async #evaluated(module: vm.Module): Promise<vm.Module> {
    if (module.status === 'unlinked') await module.link(this.#link);
    await module.evaluate();
    return module;
  }

  readonly #link = async (specifier: string, referrer: vm.Module): Promise<vm.Module> =>
    await this.#load(resolve(specifier, referrer.identifier));

  #load(url: string): Promise<vm.Module> {
    let module = this.#modules.get(url);
    if (module === undefined) {
      module = this.#make(url);
      this.#modules.set(url, module);
    }
    return module;
  }

  async #make(url: string): Promise<vm.Module> {
    if (!url.startsWith('file:')) return this.#synthetic(url, (await import(url)) as Namespace);
    const path = fileURLToPath(url);
    const source = readFileSync(path, 'utf8');
    if (isEsModule(path)) return this.#compile(source, url);
    const exported = this.#require(path) as Namespace;
    return this.#synthetic(url, { ...exported, default: exported });
  }

  #compile(source: string, url: string): vm.Module {
    return new vm.SourceTextModule(source, {
      identifier: url,
      context: this.context,
      initializeImportMeta: (meta) => {
        meta.url = url;
      },
      importModuleDynamically: async (specifier: string) =>
        await this.#evaluated(await this.#load(resolve(specifier, url))),
    });
  }

  #synthetic(url: string, exported: Namespace): vm.Module {
    const names = Object.keys(exported);
    const fill = function (this: vm.SyntheticModule): void {
      for (const name of names) this.setExport(name, exported[name]);
    };
    return new vm.SyntheticModule(names, fill, { identifier: url, context: this.context });
  }

  #require(path: string): unknown {
    const known = this.#commonJs.get(path);
    if (known !== undefined) return known.exports;
    const outer = createRequire(path);
    if (path.endsWith('.node')) return outer(path);
    const module = { exports: {} as unknown };
    this.#commonJs.set(path, module);
    const source = readFileSync(path, 'utf8');
    if (path.endsWith('.json')) module.exports = JSON.parse(source);
    else {
      const require = (name: string): unknown =>
        name.startsWith('node:') || builtinModules.includes(name)
          ? outer(name)
          : this.#require(outer.resolve(name));
      const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
      const run = vm.runInContext(wrapped, this.context, { filename: path }) as (...parts: unknown[]) => void;
      run(module.exports, Object.assign(require, { resolve: outer.resolve }), module, path, dirname(path));
    }
    return module.exports;
  }
}

function resolve(specifier: string, from: string): string {
  if (specifier.startsWith('node:') || specifier.startsWith('file:')) return specifier;
  if (builtinModules.includes(specifier)) return `node:${specifier}`;
  if (specifier.startsWith('.')) return new URL(specifier, from).href;
  // Node's own answer, with the conditions of an import.
  return import.meta.resolve(specifier, from) ?? pathToFileURL(createRequire(from).resolve(specifier)).href;
}

/** As Node tells them apart: by the name, else by the nearest package.json. */
function isEsModule(path: string): boolean {
  if (/\.[mc]js$/.test(path)) return path.endsWith('.mjs');
  if (!path.endsWith('.js')) return false;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    try {
      const { type } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { type?: string };
      return type === 'module';
    } catch {
      // No package.json here: the folder above has one.
      if (dirname(folder) === folder) return false;
    }
  }
}

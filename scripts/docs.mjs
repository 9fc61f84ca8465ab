/**
 * `npm run docs`: the documentation site, into dist/site.
 *
 *   1. the packages of site/ (the generators), as its lockfile says
 *   2. site/pages: README, docs and the other pages of site/sections.mjs, with the links that lead to no page made absolute;
 *      the list of examples; the API reference, from the docstrings of the entry points (typedoc)
 *   3. dist/site (VitePress, with a search that runs in the browser)
 *   4. every link of the result to a page, an anchor or a file of its own is followed
 *
 * `npm run docs -- --serve`: shows it at http://localhost:4173 afterwards.
 *
 * Invariants: a link that leads nowhere, or a page of docs/ that is in no section, fails it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { REPOSITORY, SECTIONS } from '../site/sections.mjs';
import { ENTRIES } from './entries.mjs';
import { root } from './setup.mjs';

const SITE = join(root, 'site');
const PAGES = join(SITE, 'pages');
const OUT = join(root, 'dist', 'site');
/** Everything a page may be shown with. */
const ASSET = /\.(?:svg|png)$/;

function run(command, args, cwd = root) {
  const result = spawnSync(command, args, { cwd, stdio: 'inherit', shell: process.platform === 'win32' });
  if (result.status !== 0) fail(`${command} ${args.join(' ')} failed`);
}

function fail(message) {
  console.error(`docs: ${message}`);
  process.exit(1);
}

function install() {
  const stamp = join(SITE, 'node_modules', '.package-lock.json');
  const isThere = existsSync(stamp) && readdirSync(join(SITE, 'node_modules')).includes('vitepress');
  if (!isThere) run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], SITE);
}

/** A link of `page` as it is on the site. */
function mapped(page, link, pages, assets) {
  if (/^(?:[a-z]+:|#|\/)/i.test(link)) return link;
  const [path, anchor = ''] = link.split(/(?=#)/);
  const target = posix.normalize(posix.join(posix.dirname(page), path));
  if (pages.has(target)) {
    const to = target === 'README.md' ? 'index.md' : target;
    const from = page === 'README.md' ? 'index.md' : page;
    const relative = posix.relative(posix.dirname(from), to);
    return `${relative.startsWith('.') ? relative : `./${relative}`}${anchor}`;
  }
  if (target === 'examples' || target === 'examples/')
    return posix.relative(posix.dirname(page), 'examples.md');
  if (ASSET.test(target) && existsSync(join(root, target))) {
    assets.add(target);
    return `/${target}`;
  }
  if (!existsSync(join(root, target))) fail(`${page}: ${link} leads nowhere`);
  return `${REPOSITORY}/blob/main/${target}${anchor}`;
}

/** The text with each link mapped, code left as it is. */
function withLinks(page, text, pages, assets) {
  let isCode = false;
  return text
    .split('\n')
    .map((line) => {
      if (/^\s*```/.test(line)) isCode = !isCode;
      if (isCode) return line;
      return line.replace(/\]\(([^)\s]+)\)/g, (_, link) => `](${mapped(page, link, pages, assets)})`);
    })
    .join('\n');
}

function titleOf(text, page) {
  return /^# (.+)$/m.exec(text)?.[1]?.replaceAll('`', '') ?? fail(`${page} has no title`);
}

/** What the header comment of an example says in its first sentence. */
function examplesPage() {
  const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.mjs'));
  const items = names.map((name) => {
    const text = readFileSync(join(root, 'examples', name), 'utf8');
    const header = /\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? fail(`examples/${name} has no header`);
    const prose = header.replace(/^ ?\* ?/gm, '').trim();
    return `## ${name}\n\n${prose.split('\n\n')[0].replaceAll('\n', ' ')}\n\n\`\`\`js\n${text.trim()}\n\`\`\`\n`;
  });
  const intro =
    'Programs that come with the package; each runs by itself: `node node_modules/stratakv/examples/queue.mjs`.';
  return `# Examples\n\n${intro}\n\n${items.join('\n')}`;
}

function writePages() {
  rmSync(PAGES, { recursive: true, force: true });
  const listed = SECTIONS.flatMap(({ pages }) => pages);
  const pages = new Set(listed);
  const assets = new Set();
  const sidebar = [];
  for (const { title, pages: names } of SECTIONS) {
    const items = names.map((page) => {
      const text = page === 'examples.md' ? examplesPage() : readFileSync(join(root, page), 'utf8');
      const name = page === 'README.md' ? 'index.md' : page;
      const file = join(PAGES, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, withLinks(page, text, pages, assets));
      return { text: titleOf(text, page), link: `/${name.replace(/(?:index)?\.md$/, '')}` };
    });
    sidebar.push({ text: title, items });
  }
  for (const asset of assets) cpSync(join(root, asset), join(PAGES, 'public', asset));
  return sidebar;
}

/** The API reference: a page for each class, interface and function. */
function writeApi() {
  const options = {
    entryPoints: Object.values(ENTRIES).map((module) => `../src/${module}.ts`),
    tsconfig: '../tsconfig.json',
    plugin: ['typedoc-plugin-markdown'],
    out: 'pages/api',
    readme: 'none',
    entryFileName: 'index.md',
    hideBreadcrumbs: true,
    excludePrivate: true,
    excludeExternals: true,
    excludeInternal: true,
    disableSources: true,
    skipErrorChecking: true,
    sanitizeComments: true,
    useHTMLEncodedBrackets: true,
    // Names of other entry points are text there: a program may import one without the other.
    validation: { invalidLink: false, notExported: true, notDocumented: false },
    logLevel: 'Warn',
    name: 'API',
  };
  const file = join(SITE, 'typedoc.json');
  writeFileSync(file, JSON.stringify(options, undefined, 2));
  run(process.execPath, [join(SITE, 'node_modules', 'typedoc', 'bin', 'typedoc'), '--options', file], SITE);
  rmSync(file);
}

/** Follows every link of the site to itself. */
function checkLinks() {
  const files = readdirSync(OUT, { recursive: true }).map((name) => name.split('\\').join('/'));
  const html = files.filter((name) => name.endsWith('.html'));
  const ids = new Map(
    html.map((name) => {
      const text = readFileSync(join(OUT, name), 'utf8');
      return [
        name,
        { text, ids: new Set([...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => decode(id))) },
      ];
    }),
  );
  const dead = [];
  let count = 0;
  for (const [name, { text }] of ids)
    for (const [, link] of text.matchAll(/\s(?:href|src)="([^"]+)"/g)) {
      if (/^(?:[a-z]+:|\/\/)/i.test(link)) continue;
      count++;
      const [path, anchor] = decode(link).split('#');
      const target =
        path === ''
          ? name
          : posix.normalize(path.startsWith('/') ? path.slice(1) : posix.join(posix.dirname(name), path));
      const page = [target, `${target}.html`, posix.join(target, 'index.html')].find(
        (file) => files.includes(file) && ASSET_OR_PAGE.test(file),
      );
      if (page === undefined) dead.push(`${name}: ${link}`);
      else if (anchor && page.endsWith('.html') && !ids.get(page).ids.has(anchor))
        dead.push(`${name}: ${link}, no such place`);
    }
  if (dead.length > 0) fail(`links that lead nowhere:\n${[...new Set(dead)].join('\n')}`);
  console.log(`docs: ${html.length} pages, ${count} links within the site, none dead: dist/site`);
}

const ASSET_OR_PAGE = /\.\w+$/;

function decode(text) {
  return decodeURIComponent(text.replaceAll('&amp;', '&').replaceAll('&#39;', "'").replaceAll('&quot;', '"'));
}

install();
const sidebar = writePages();
writeApi();
sidebar.splice(3, 0, { text: 'API', items: apiItems() });
writeFileSync(join(PAGES, 'sidebar.json'), JSON.stringify({ sidebar }));
run(process.execPath, [join(SITE, 'node_modules', 'vitepress', 'bin', 'vitepress.js'), 'build', '.'], SITE);
checkLinks();
if (process.argv.includes('--serve'))
  run(
    process.execPath,
    [join(SITE, 'node_modules', 'vitepress', 'bin', 'vitepress.js'), 'preview', '.'],
    SITE,
  );

/** An entry of the side bar for each module that a program can import. */
function apiItems() {
  const items = Object.keys(ENTRIES).map((subpath) => {
    const name = posix.join('stratakv', subpath);
    return { text: name.replace(/\/$/, ''), link: `/api/${name.replace(/\/$/, '')}/` };
  });
  return items.map((item) =>
    existsSync(join(PAGES, item.link, 'index.md')) ? item : fail(`no page ${item.link}`),
  );
}

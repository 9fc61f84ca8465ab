/** The documentation site; its pages are made by scripts/docs.mjs (`npm run docs`), which also checks the links of the result. */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitepress';
import { REPOSITORY } from '../sections.mjs';

const { sidebar } = JSON.parse(readFileSync(new URL('../pages/sidebar.json', import.meta.url), 'utf8'));

export default defineConfig({
  title: 'stratakv',
  description: 'An embedded ordered key-value store for Node.js, without native code',
  srcDir: 'pages',
  outDir: '../dist/site',
  cacheDir: '../dist/site-cache',
  base: process.env.SITE_BASE ?? '/',
  cleanUrls: false,
  lastUpdated: false,
  markdown: {
    // As GitHub makes them: the pages are read there, too, and link to each other's places.
    anchor: { slugify: anchorOf },
  },
  themeConfig: {
    search: { provider: 'local' },
    sidebar,
    outline: [2, 3],
    nav: [
      { text: 'Start', link: '/' },
      { text: 'API', link: '/api/' },
      { text: 'Benchmarks', link: '/docs/benchmarks' },
      { text: 'Changelog', link: '/CHANGELOG' },
    ],
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
  },
});

function anchorOf(heading) {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');
}

/**
 * The pages of the documentation site, by section: every page of docs/ is in one of them (test/site.test.ts).
 *
 * A page is a file of the repository. What the site has besides is made by scripts/docs.mjs: the list of examples, and the API
 * reference.
 */
export const SECTIONS = [
  {
    title: 'Start',
    pages: ['README.md', 'docs/options.md', 'docs/errors.md', 'docs/stats.md', 'examples.md'],
  },
  {
    title: 'Guide',
    pages: [
      'docs/ranges-and-expiry.md',
      'docs/transactions.md',
      'docs/changes.md',
      'docs/ingestion.md',
      'docs/threads.md',
      'docs/cli.md',
      'docs/bundlers.md',
      'docs/from-level.md',
      'docs/keyv-and-unstorage.md',
    ],
  },
  {
    title: 'Operations',
    pages: [
      'docs/running.md',
      'docs/upgrading.md',
      'docs/compatibility.md',
      'docs/durability.md',
      'docs/checkpoints.md',
      'docs/backup.md',
      'docs/containers.md',
      'docs/bounds.md',
      'docs/trace.md',
      'docs/inspect.md',
      'SECURITY.md',
    ],
  },
  { title: 'Inside', pages: ['docs/architecture.md', 'docs/format.md', 'CONTRIBUTING.md', 'CHANGELOG.md'] },
  { title: 'Benchmarks', pages: ['docs/benchmarks.md'] },
];

/** Where links lead that are to no page of the site. */
export const REPOSITORY = 'https://github.com/stratakv/stratakv';

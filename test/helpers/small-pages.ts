/** Limits that give the manifest of the smallest store pages, and make every edit split and join them. */
import type { PageLimits } from '../../src/main/manifest/manifest-pages.ts';

export const SMALL_PAGES: PageLimits = {
  maxInlineTables: 1,
  minInlineTables: 0,
  maxPageTables: 3,
  minPageTables: 2,
  maxPageBytes: 128 * 1024,
};

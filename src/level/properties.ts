/**
 * getProperty(): what LevelDB tells as text, out of the engine's own figures.
 *
 *   leveldb.stats                  a table: level, files, size; then what compaction has done in all
 *   leveldb.sstables               per level its tables, each `number:bytes['first key' .. 'last key']`
 *   leveldb.num-files-at-levelN    a number, as text
 *
 * Anything else is the empty string, as it is there.
 *
 * Invariants: LevelDB's levels 0 to 6 are always there; our last one, 7, where it has tables.
 * Thread:     that of the engine. Pure.
 */
import type { TableInfo } from '../shared/base/version-edit.ts';

const MIB = 1048576;
/** LevelDB has seven. */
const LEAST_LEVELS = 7;

/** What an engine has to tell. */
export interface PropertySource {
  readonly levels: readonly (readonly TableInfo[])[];
  readonly compactions: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export function propertyOf(property: string, source: () => PropertySource): string {
  if (property === 'leveldb.stats') return statsOf(source());
  if (property === 'leveldb.sstables') return tablesOf(source());
  const level = /^leveldb\.num-files-at-level(\d{1,3})$/.exec(property)?.[1];
  if (level === undefined) return '';
  const { levels } = source();
  return Number(level) < Math.max(LEAST_LEVELS, levels.length)
    ? String(levels[Number(level)]?.length ?? 0)
    : '';
}

function statsOf({ levels, compactions, readBytes, writtenBytes }: PropertySource): string {
  const lines = [
    '                               Compactions',
    'Level  Files Size(MB)',
    '--------------------------------------------------',
  ];
  levels.forEach((tables, level) => {
    if (tables.length === 0 && level > 0) return;
    const bytes = tables.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
    lines.push(
      `${String(level).padStart(3)} ${String(tables.length).padStart(8)} ${(bytes / MIB).toFixed(0).padStart(8)}`,
    );
  });
  const read = (readBytes / MIB).toFixed(1);
  const written = (writtenBytes / MIB).toFixed(1);
  lines.push(`Compactions ${compactions}, Read(MB) ${read}, Write(MB) ${written}`);
  return `${lines.join('\n')}\n`;
}

function tablesOf({ levels }: PropertySource): string {
  let text = '';
  for (let level = 0; level < Math.max(LEAST_LEVELS, levels.length); level++) {
    const tables = levels[level] ?? [];
    if (level >= LEAST_LEVELS && tables.length === 0) continue;
    text += `--- level ${level} ---\n`;
    for (const { number, sizeBytes, smallestKey, largestKey } of tables)
      text += ` ${number}:${sizeBytes}['${printable(smallestKey)}' .. '${printable(largestKey)}']\n`;
  }
  return text;
}

/** As LevelDB prints keys: what is not printable ASCII as \xhh. */
function printable(key: Uint8Array): string {
  let text = '';
  for (const byte of key)
    text +=
      byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  return text;
}

